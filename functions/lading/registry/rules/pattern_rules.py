"""Rules per repository, with exceptions."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

from lading.registry.globs import matches


@dataclass(frozen=True, slots=True)
class PatternRules:
    """Rules and exceptions, as REPOSITORY:SUBJECT, both globs. Their order does not matter."""

    SUBJECT: ClassVar[str]
    """Name, in errors, of the part after the colon."""

    rules: tuple[str, ...] = ()
    exceptions: tuple[str, ...] = ()

    @classmethod
    def parse(cls, texts: Sequence[str]) -> Self:
        """Parse rules, and exceptions, which have the prefix `!`. Raises ValueError with the text that is neither."""
        for text in texts:
            repository, colon, subject = text.removeprefix("!").partition(":")
            if not (repository and colon and subject) or ":" in subject:
                raise ValueError(f"{text} is not REPOSITORY:{cls.SUBJECT}")
        exceptions = tuple(text[1:] for text in texts if text.startswith("!"))
        return cls(tuple(text for text in texts if not text.startswith("!")), exceptions)

    def rule(self, repository: str, subject: str) -> str:
        """Return the first rule that applies to a subject in a repository, or ""."""
        name = f"{repository}:{subject}"
        # Neither repositories nor subjects contain a colon, so the glob's colon can only match this one.
        if any(matches(exception, name) for exception in self.exceptions):
            return ""
        return next((rule for rule in self.rules if matches(rule, name)), "")

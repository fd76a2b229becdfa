"""Rules for repositories: what is so in which of them, with exceptions."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

from lading.registry.globs import matches


@dataclass(frozen=True, slots=True)
class Rules:
    """Rules and exceptions, as REPOSITORY:WHAT, both globs. They stand in whatever order."""

    SUBJECT: ClassVar[str]
    """What stands behind the colon, as errors call it."""

    rules: tuple[str, ...] = ()
    exceptions: tuple[str, ...] = ()

    @classmethod
    def parse(cls, texts: Sequence[str]) -> Self:
        """Read rules as they are written, exceptions with a `!` before them. Raises ValueError, naming what is none."""
        for text in texts:
            repository, colon, what = text.removeprefix("!").partition(":")
            if not (repository and colon and what) or ":" in what:
                raise ValueError(f"{text} is not REPOSITORY:{cls.SUBJECT}")
        exceptions = tuple(text[1:] for text in texts if text.startswith("!"))
        return cls(tuple(text for text in texts if not text.startswith("!")), exceptions)

    def rule(self, repository: str, what: str) -> str:
        """Return the rule that holds for something in a repository, or ""."""
        name = f"{repository}:{what}"
        # No repository and nothing in one holds a colon, so the colon of the glob can only meet the colon of the name.
        if any(matches(exception, name) for exception in self.exceptions):
            return ""
        return next((rule for rule in self.rules if matches(rule, name)), "")

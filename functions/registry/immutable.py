"""Immutable tags: created once, then neither moved nor deleted.

    prod/*:v*           every tag v… in every repository below prod
    !prod/*:v*-rc*      except release candidates

A tag is immutable where a rule matches and no exception does, in whatever order they stand. No tag is special.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from functions.registry.errors import immutable
from functions.registry.globs import matches


@dataclass(frozen=True, slots=True)
class ImmutableTags:
    """The rules and exceptions, as REPOSITORY:TAG, both globs."""

    rules: tuple[str, ...] = ()
    exceptions: tuple[str, ...] = ()

    @classmethod
    def of(cls, texts: Sequence[str]) -> "ImmutableTags":
        """Rules as they are written, exceptions with a `!` before them. Raises ValueError, saying which is none."""
        for text in texts:
            repository, colon, tag = text.removeprefix("!").partition(":")
            if not (repository and colon and tag) or ":" in tag:
                raise ValueError(f"{text} is not REPOSITORY:TAG")
        exceptions = tuple(text[1:] for text in texts if text.startswith("!"))
        return cls(tuple(text for text in texts if not text.startswith("!")), exceptions)

    def rule(self, repository: str, tag: str) -> str:
        """The rule by which a tag is immutable, or ""."""
        name = f"{repository}:{tag}"
        # No repository and no tag holds a colon, so the colon of the glob can only meet the colon of the name.
        if any(matches(exception, name) for exception in self.exceptions):
            return ""
        return next((rule for rule in self.rules if matches(rule, name)), "")

    def check(self, repository: str, tag: str) -> None:
        """Raises TAG_IMMUTABLE, naming the rule, where the tag is immutable."""
        if rule := self.rule(repository, tag):
            raise immutable(tag, rule)

"""Immutable tags: created once, then neither moved nor deleted.

    prod/*:v*           every tag v… in every repository below prod
    !prod/*:v*-rc*      except release candidates

A tag is immutable where a rule matches and no exception does, in whatever order they stand. No tag is special.
"""

from dataclasses import dataclass
from typing import ClassVar

from lading.registry.errors import tag_immutable
from lading.registry.repository_rules import Rules


@dataclass(frozen=True, slots=True)
class ImmutableTags(Rules):
    """The rules and exceptions, as REPOSITORY:TAG."""

    SUBJECT: ClassVar[str] = "TAG"

    def check(self, repository: str, tag: str) -> None:
        """Raises TAG_IMMUTABLE, naming the rule, where the tag is immutable."""
        if rule := self.rule(repository, tag):
            raise tag_immutable(tag, rule)

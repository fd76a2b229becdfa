"""Immutable tags: created once, never moved or deleted.

    prod/*:v*           every tag v… in every repository below prod
    !prod/*:v*-rc*      except release candidates

A tag is immutable if a rule matches and no exception does; their order does not matter. No tag has a special meaning.
"""

from dataclasses import dataclass
from typing import ClassVar

from lading.registry.errors import tag_immutable
from lading.registry.rules.repository_rules import Rules


@dataclass(frozen=True, slots=True)
class ImmutableTags(Rules):
    """Rules and exceptions, as REPOSITORY:TAG."""

    SUBJECT: ClassVar[str] = "TAG"

    def check(self, repository: str, tag: str) -> None:
        """Raise TAG_IMMUTABLE with the rule if the tag is immutable."""
        if rule := self.rule(repository, tag):
            raise tag_immutable(tag, rule)

"""Immutable tags: created once, never moved or deleted.

    prod/*:v*           every tag v… in every repository below prod
    !prod/*:v*-rc*      except release candidates

A tag is immutable if a rule matches and no exception does; their order does not matter. No tag has a special meaning.
"""

from dataclasses import dataclass
from typing import ClassVar

from lading.registry.rules.pattern_rules import PatternRules


@dataclass(frozen=True, slots=True)
class ImmutableTags(PatternRules):
    """Rules and exceptions, as REPOSITORY:TAG."""

    SUBJECT: ClassVar[str] = "TAG"

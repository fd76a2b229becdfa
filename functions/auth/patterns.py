"""Patterns of repository names: a name, in which `*` stands for any text, slashes and none included.

team-a/*    all repositories below team-a
team-a*     those, team-a itself, and team-abc
*           all repositories
"""

import re
from collections.abc import Iterable
from typing import Final

from functions.registry import globs

_PATTERN: Final = re.compile(r"[a-z0-9._/*-]{1,255}")


def is_pattern(text: str) -> bool:
    """Whether `text` can be a pattern: what a name can have, and `*`."""
    return _PATTERN.fullmatch(text) is not None


def matches(patterns: Iterable[str], repository: str) -> bool:
    """Whether the name of a repository matches one of the patterns."""
    return any(globs.matches(pattern, repository) for pattern in patterns)


def onward(patterns: Iterable[str], after: str) -> str | None:
    """Behind what to look on for the names behind `after` that match: it, or a later text; None where there are none.

    A listing so goes past what it would not show. All names that match begin as the pattern does, up to its first `*`.
    """
    places = []
    for pattern in patterns:
        beginning, star, _ = pattern.partition("*")
        if beginning > after or (star and after.startswith(beginning)):
            # Shorter by a letter, the beginning is before all names that it begins.
            places.append(max(after, beginning[:-1]))
    return min(places, default=None)


def covered(patterns: Iterable[str]) -> tuple[str, ...]:
    """The patterns, sorted, without those all of whose names another one matches."""
    different = sorted(set(patterns))
    # A star in the one can only be met by a star in the other, so what matches the pattern's text matches its names.
    return tuple(
        each for each in different if not any(globs.matches(other, each) for other in different if other != each)
    )

"""Patterns of repository names: a name, in which `*` stands for any text, slashes and none included.

team-a/*    all repositories below team-a
team-a*     those, team-a itself, and team-abc
*           all repositories
"""

import re
from collections.abc import Iterable
from typing import Final

from functions.registry import globs

_STARS: Final = re.compile(r"\*+")
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
    # Two stars say no more than one; and written alike, no two patterns match all of each other's names.
    different = sorted({_STARS.sub("*", each) for each in patterns})
    beginning_so: dict[str, list[str]] = {}
    for each in different:
        if "*" in each:
            beginning_so.setdefault(each.partition("*")[0], []).append(each)

    def is_covered(text: str) -> bool:
        # A star in the one can only be met by a star in the other, so what matches the pattern's text matches its
        # names. Not all are compared with all: there may be a thousand, at each request for a token.
        others = (other for end in range(len(text) + 1) for other in beginning_so.get(text[:end], ()))
        return any(other != text and globs.matches(other, text) for other in others)

    return tuple(each for each in different if not is_covered(each))

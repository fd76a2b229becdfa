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


def covered(patterns: Iterable[str]) -> tuple[str, ...]:
    """The patterns, sorted, without those all of whose names another one matches."""
    different = sorted(set(patterns))
    # A star in the one can only be met by a star in the other, so what matches the pattern's text matches its names.
    return tuple(
        each for each in different if not any(globs.matches(other, each) for other in different if other != each)
    )

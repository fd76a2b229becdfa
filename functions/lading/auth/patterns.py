"""Patterns of repository names: a name in which `*` matches any text, including slashes and the empty text.

team-a/*    all repositories below team-a
team-a*     those, team-a itself, and team-abc
*           all repositories
"""

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from lading.registry import globs

_STARS: Final = re.compile(r"\*+")
_PATTERN: Final = re.compile(r"[a-z0-9._/*-]{1,255}")

AFTER_NAMES: Final = "~"
"""Sorts after every character of a name."""


def is_pattern(text: str) -> bool:
    """Return whether `text` is a valid pattern: the characters of a name, and `*`."""
    return _PATTERN.fullmatch(text) is not None


def matches(patterns: Iterable[str], repository: str) -> bool:
    """Return whether the name of a repository matches one of the patterns."""
    return any(globs.matches(pattern, repository) for pattern in patterns)


@dataclass(frozen=True, slots=True)
class ExactNames:
    """Part of a listing that is looked up by name: sorted patterns without `*`."""

    names: Sequence[str]


@dataclass(frozen=True, slots=True)
class NameRange:
    """Part of a listing that is scanned: names that begin with `prefix` and sort after `after`.

    whole  whether all of them match
    """

    prefix: str
    after: str
    whole: bool


class Patterns:
    """Index of patterns for matching many names: a caller may have a thousand, and a listing matches each name.

    max_globs_per_name  upper bound of the globs that one name is compared with
    """

    def __init__(self, patterns: Iterable[str]) -> None:
        """Index `patterns`; see also `compiled`."""
        exact = set[str]()
        self._globs: dict[str, list[str]] = {}
        for pattern in {_STARS.sub("*", each) for each in patterns}:
            prefix, star, _ = pattern.partition("*")
            if star:
                self._globs.setdefault(prefix, []).append(pattern)
            else:
                exact.add(pattern)
        for prefix, globs_of_prefix in self._globs.items():
            # No other glob with this prefix matches more.
            if f"{prefix}*" in globs_of_prefix:
                globs_of_prefix[:] = [f"{prefix}*"]
        self._exact = frozenset(exact)
        self._lengths = sorted({len(prefix) for prefix in self._globs})
        prefixes: list[str] = []
        for prefix in sorted(self._globs):
            if not prefixes or not prefix.startswith(prefixes[-1]):
                prefixes.append(prefix)
        self._prefixes = frozenset(prefixes)
        self.max_globs_per_name = max(map(self._count_globs, self._globs), default=0)
        self._parts = sorted([*prefixes, *(name for name in exact if not _is_below(name, prefixes))])

    def matches(self, name: str) -> bool:
        """Return whether a name matches one of the patterns. Only globs whose prefix it begins with are compared."""
        return name in self._exact or any(
            globs.matches(glob, name)
            for length in self._lengths[: bisect_right(self._lengths, len(name))]
            for glob in self._globs.get(name[:length], ())
        )

    def _count_globs(self, name: str) -> int:
        """Return the number of globs that a name with this beginning is compared with."""
        lengths = self._lengths[: bisect_right(self._lengths, len(name))]
        return sum(len(self._globs.get(name[:length], ())) for length in lengths)

    def parts(self, after: str) -> Iterator[ExactNames | NameRange]:
        """Yield, in order, the parts of a listing of the names after `after`."""
        at = bisect_right(self._parts, after)
        before = self._parts[at - 1] if at else ""
        if before in self._prefixes and after.startswith(before) and after < before + AFTER_NAMES:
            yield self._range(before, after)
        while at < len(self._parts):
            if self._parts[at] in self._prefixes:
                yield self._range(self._parts[at], just_before(self._parts[at]))
                at += 1
            else:
                end = next((each for each in range(at, len(self._parts)) if self._parts[each] in self._prefixes), None)
                yield ExactNames(self._parts[at:end])
                at = len(self._parts) if end is None else end

    def _range(self, prefix: str, after: str) -> NameRange:
        return NameRange(prefix, after, f"{prefix}*" in self._globs.get(prefix, ()))


@lru_cache(64)
def compiled(patterns: tuple[str, ...]) -> Patterns:
    """Return the index of `patterns`, cached: a caller needs the same one repeatedly."""
    return Patterns(patterns)


def just_before(prefix: str) -> str:
    """Return a text that sorts before all names with `prefix` and after all names that sort before those."""
    return f"{prefix[:-1]}{chr(ord(prefix[-1]) - 1)}{AFTER_NAMES}" if prefix else ""


def _is_below(name: str, prefixes: Sequence[str]) -> bool:
    """Return whether a name begins with one of `prefixes`, which are sorted and none of which begins with another."""
    at = bisect_right(prefixes, name)
    return at > 0 and name.startswith(prefixes[at - 1])


def without_covered(patterns: Iterable[str]) -> tuple[str, ...]:
    """Return the patterns, sorted, without those whose names another pattern matches all."""
    # Adjacent stars are equal to one. Once normalized, no two different patterns match the same set of names.
    normalized = sorted({_STARS.sub("*", each) for each in patterns})
    by_prefix: dict[str, list[str]] = {}
    for each in normalized:
        if "*" in each:
            by_prefix.setdefault(each.partition("*")[0], []).append(each)

    def is_covered(text: str) -> bool:
        # A star of the covered pattern is only matched by a star of the covering one, so a glob that matches the
        # pattern's text matches all its names. The index avoids comparing each with each: there may be a thousand, at
        # each request for a token.
        others = (other for end in range(len(text) + 1) for other in by_prefix.get(text[:end], ()))
        return any(other != text and globs.matches(other, text) for other in others)

    return tuple(each for each in normalized if not is_covered(each))

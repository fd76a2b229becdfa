"""Patterns of repository names: a name, in which `*` stands for any text, slashes and none included.

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
    """Whether `text` can be a pattern: what a name can have, and `*`."""
    return _PATTERN.fullmatch(text) is not None


def matches(patterns: Iterable[str], repository: str) -> bool:
    """Whether the name of a repository matches one of the patterns."""
    return any(globs.matches(pattern, repository) for pattern in patterns)


@dataclass(frozen=True, slots=True)
class ExactNames:
    """A part of a listing that is looked up by name: sorted names that are patterns themselves."""

    names: Sequence[str]


@dataclass(frozen=True, slots=True)
class NameRange:
    """A part of a listing that is scanned: names that begin with `prefix`, after the text `after`.

    whole  whether all of them match
    """

    prefix: str
    after: str
    whole: bool


class Patterns:
    """Patterns, prepared for many names: what a caller may read can be a thousand, and a listing asks for each name.

    max_globs_per_name  with how many of them a name is compared at most
    """

    def __init__(self, patterns: Iterable[str]) -> None:
        """Prepare `patterns`; see also `compiled`."""
        exact = set[str]()
        self._globs: dict[str, list[str]] = {}
        for pattern in {_STARS.sub("*", each) for each in patterns}:
            prefix, star, _ = pattern.partition("*")
            if star:
                self._globs.setdefault(prefix, []).append(pattern)
            else:
                exact.add(pattern)
        for prefix, found in self._globs.items():
            # No other of these matches more.
            if f"{prefix}*" in found:
                found[:] = [f"{prefix}*"]
        self._exact = frozenset(exact)
        self._lengths = sorted({len(prefix) for prefix in self._globs})
        prefixes: list[str] = []
        for prefix in sorted(self._globs):
            if not prefixes or not prefix.startswith(prefixes[-1]):
                prefixes.append(prefix)
        self._prefixes = frozenset(prefixes)
        self.max_globs_per_name = max(map(self._globs_of, self._globs), default=0)
        self._parts = sorted([*prefixes, *(name for name in exact if not _is_below(name, prefixes))])

    def matches(self, name: str) -> bool:
        """Whether a name matches one of the patterns: asks only the globs whose text up to the star it begins with."""
        return name in self._exact or any(
            globs.matches(glob, name)
            for length in self._lengths[: bisect_right(self._lengths, len(name))]
            for glob in self._globs.get(name[:length], ())
        )

    def _globs_of(self, name: str) -> int:
        """Return with how many globs a name that begins so is compared."""
        lengths = self._lengths[: bisect_right(self._lengths, len(name))]
        return sum(len(self._globs.get(name[:length], ())) for length in lengths)

    def parts(self, after: str) -> Iterator[ExactNames | NameRange]:
        """Yield, in order, all that a listing of the names after `after` must look at."""
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
    """Return prepared patterns, the same for the same ones: a caller asks again and again."""
    return Patterns(patterns)


def just_before(prefix: str) -> str:
    """Return a text before all names that begin with `prefix`, and after all names that are before those."""
    return f"{prefix[:-1]}{chr(ord(prefix[-1]) - 1)}{AFTER_NAMES}" if prefix else ""


def _is_below(name: str, prefixes: Sequence[str]) -> bool:
    """Whether a name begins with one of some sorted prefixes, none of which begins with another."""
    at = bisect_right(prefixes, name)
    return at > 0 and name.startswith(prefixes[at - 1])


def without_covered(patterns: Iterable[str]) -> tuple[str, ...]:
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

"""Globs: texts in which `*` stands for any text, slashes and none included. Everything else stands for itself."""

from functools import lru_cache
from typing import Final

MAX_COMPILED: Final = 20_000
"""Globs that are remembered in parts: each request compares with the same ones."""


def matches(glob: str, text: str) -> bool:
    """Whether `text` matches, in time that grows with both lengths, and no faster.

    A regular expression with many stars could take for ever.
    """
    first, *others = _parts(glob)
    if not others:
        return glob == text
    *middle, last = others
    if not text.startswith(first) or not text.endswith(last):
        return False
    at, end = len(first), len(text) - len(last)
    for part in middle:
        found = text.find(part, at, max(at, end))
        if found < 0:
            return False
        at = found + len(part)
    return at <= end


@lru_cache(MAX_COMPILED)
def _parts(glob: str) -> tuple[str, ...]:
    """What stands between the stars."""
    return tuple(glob.split("*"))

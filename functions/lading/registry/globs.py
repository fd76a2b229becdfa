"""Globs: `*` matches any text, including slashes and the empty text. Every other character matches itself."""

from functools import lru_cache
from typing import Final

MAX_COMPILED: Final = 20_000
"""Globs whose parts are cached: every request matches against the same ones."""


def matches(glob: str, text: str) -> bool:
    """Return whether `text` matches `glob`, in time proportional to the product of their lengths at most.

    A regular expression with many stars can take exponential time.
    """
    first, *others = _parts(glob)
    if not others:
        return glob == text
    *middle, last = others
    if not text.startswith(first) or not text.endswith(last):
        return False
    start, end = len(first), len(text) - len(last)
    for part in middle:
        position = text.find(part, start, max(start, end))
        if position < 0:
            return False
        start = position + len(part)
    return start <= end


@lru_cache(MAX_COMPILED)
def _parts(glob: str) -> tuple[str, ...]:
    """Return the texts between the stars."""
    return tuple(glob.split("*"))

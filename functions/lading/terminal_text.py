"""Text for a terminal: none that a client or a file wrote can control it, or forge a line, and its width there."""

import unicodedata
from typing import Final

WIDE: Final = ("W", "F")
"""The classes of East Asian width whose characters take two cells (Unicode Standard Annex 11)."""


def escape(text: str) -> str:
    """Return a text with its control and format characters written out, so that none reaches the terminal."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


def escape_lines(text: str) -> str:
    """Return a text of several lines, which are this program's own, with all other control characters written out."""
    return "\n".join(map(escape, text.split("\n")))


def text_width(text: str) -> int:
    """Return the cells that a text takes in a terminal: two for wide characters, none for combining ones."""
    if text.isascii():
        return len(text)
    return sum(_character_width(each) for each in text)


def _character_width(character: str) -> int:
    if unicodedata.category(character) in ("Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in WIDE else 1

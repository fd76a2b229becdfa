"""Numbers of things in texts for people."""

from typing import Final

VOWELS: Final = "aeiou"


def counted(number: int, noun: str, plural: str = "") -> str:
    """Return a number of things: `1 day`, `3 days`, `2 policies`.

    Args:
        number: how many.
        noun: the singular; words before it do not change.
        plural: of the noun, where English has another one than with -s, or -ies after a consonant and y.
    """
    return f"{number} {noun if number == 1 else plural or _plural(noun)}"


def _plural(noun: str) -> str:
    return f"{noun[:-1]}ies" if noun.endswith("y") and noun[-2:-1] not in VOWELS else f"{noun}s"

r"""Encoding of untrusted text for log lines: bounded in length, and unable to terminate or forge a field.

All characters except printable ASCII are percent-encoded, and so are `%`, `"`, `\`, `,`, `=` and, except in user
agents, the space. So no value looks like `name=value`, and a search for that matches only fields.
"""

from functools import lru_cache
from typing import Final
from urllib.parse import quote

ABSENT: Final = "-"
"""A field without a value."""

MAX_FIELD: Final = 255
"""Maximum characters of a field before the encoding: as many as a repository's name may have."""

MAX_ID: Final = 128
"""Maximum characters of a request id from a client or a proxy."""

MAX_AGENT: Final = 200
"""Maximum characters of a user agent: docker's has some 150."""

MAX_PATH: Final = 1024
"""Maximum characters of a path: a SHA-512 digest in the repository with the longest name makes some 400."""

_SAFE: Final = "".join(map(chr, range(0x21, 0x7F))).translate({ord(char): None for char in '%"\\,='})
_SAFE_IN_QUOTES: Final = f" {_SAFE}"


def field(text: str, limit: int = MAX_FIELD) -> str:
    """Return `text` as one word, or ABSENT where it is empty."""
    return _encoded(text[:limit]) if text else ABSENT


def header_field(value: str, limit: int) -> str:
    """Return the value of a header, which WSGI decodes as Latin-1, as one word, or ABSENT where it is empty."""
    return _encoded(value[:limit], encoding="latin-1") if value else ABSENT


def agent(value: str) -> str:
    """Return a user agent for use between quotation marks, with its spaces, or ABSENT where it is empty."""
    return _encoded(value[:MAX_AGENT], _SAFE_IN_QUOTES, "latin-1") if value else ABSENT


@lru_cache(maxsize=1024)
def _encoded(text: str, safe: str = _SAFE, encoding: str = "utf-8") -> str:
    """Return the percent-encoded text, cached since a few clients send most requests."""
    return quote(text, safe=safe, encoding=encoding, errors="replace")

r"""Text from outside as it stands in a line of a log: of bounded length, and unable to end or imitate a field.

Whatever is not printable ASCII is percent-encoded, and so are `%`, `"`, `\`, `,`, `=` and, but for user agents, the
space. So no value looks like `name=value`, and a search for that finds fields alone.
"""

from functools import lru_cache
from typing import Final
from urllib.parse import quote

ABSENT: Final = "-"
"""A field without a value."""

MAX_FIELD: Final = 255
"""Characters of a field before it is encoded: as many as a repository's name has."""

MAX_ID: Final = 128
"""Characters of an id that a client, or a proxy, gave a request."""

MAX_AGENT: Final = 200
"""Characters of a user agent: docker's has some 150."""

MAX_PATH: Final = 1024
"""Characters of a path: a digest of SHA-512 in the repository with the longest name has some 400."""

_SAFE: Final = "".join(map(chr, range(0x21, 0x7F))).translate({ord(char): None for char in '%"\\,='})
_SAFE_IN_QUOTES: Final = f" {_SAFE}"


def field(text: str, limit: int = MAX_FIELD) -> str:
    """Return `text` as one word, or NONE where it is empty."""
    return _encoded(text[:limit]) if text else ABSENT


def header_field(value: str, limit: int) -> str:
    """Return the value of a header, which WSGI decodes as Latin-1, as one word, or NONE where it is empty."""
    return _encoded(value[:limit], encoding="latin-1") if value else ABSENT


def agent(value: str) -> str:
    """Return a user agent, for use between quotation marks: it keeps its spaces. NONE where it is empty."""
    return _encoded(value[:MAX_AGENT], _SAFE_IN_QUOTES, "latin-1") if value else ABSENT


@lru_cache(maxsize=1024)
def _encoded(text: str, safe: str = _SAFE, encoding: str = "utf-8") -> str:
    """Return the percent-encoded text. Few clients send many requests, so most are remembered."""
    return quote(text, safe=safe, encoding=encoding, errors="replace")

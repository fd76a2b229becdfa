"""Large bodies, made as they are sent."""

import hashlib
from collections.abc import Iterator

CHUNK_SIZE = 1024 * 1024


def zeros(size: int) -> Iterator[bytes]:
    """`size` bytes, in pieces; nobody holds more than one of them."""
    piece = bytes(CHUNK_SIZE)
    for at in range(0, size, CHUNK_SIZE):
        yield piece[: min(CHUNK_SIZE, size - at)]


def digest_of_zeros(size: int) -> str:
    """The digest of the same bytes."""
    hasher = hashlib.sha256()
    for piece in zeros(size):
        hasher.update(piece)
    return f"sha256:{hasher.hexdigest()}"

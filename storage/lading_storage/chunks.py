"""Iterators over the chunks of something that is open."""

from collections.abc import Generator, Iterable


def primed(chunks: Generator[bytes]) -> Generator[bytes]:
    """Run a generator to its first `yield`, whose value is discarded, and return it.

    `close` of a generator that has not begun runs none of its code. Of a primed one it also closes what the generator
    has opened if not a single chunk was read.
    """
    next(chunks)
    return chunks


def close_chunks(chunks: Iterable[bytes]) -> None:
    """Close what the chunks are read from, such as a file or a connection. A list, or a plain iterator, has nothing."""
    close = getattr(chunks, "close", None)
    if close is not None:
        close()

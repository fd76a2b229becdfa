"""Random damage to files, as a fuzzer does it, and a limit of what it may cost to read them."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from random import Random
from types import FrameType
from typing import Final

INTERESTING: Final = (
    b"\0",
    b"\xff",
    b"\x80",
    b"\x7f",
    b"\n",
    b"\t",
    b"\0\0\0\0",
    b"\xff\xff\xff\xff",
    b"\0\0\0\x80",
    b"9" * 11,
)


def damaged(content: bytes, draw: Random) -> bytes:
    """Return content with a few bytes changed, removed, repeated or replaced by limits of numbers."""
    result = bytearray(content)
    for _ in range(draw.choice((1, 2, 5, 50))):
        at = draw.randrange(len(result) + 1)
        match draw.randrange(5):
            case 0:
                result[at : at + 1] = bytes([draw.randrange(256)])
            case 1:
                piece = draw.choice(INTERESTING)
                result[at : at + len(piece)] = piece
            case 2:
                del result[at : at + draw.choice((1, 4, 512))]
            case 3:
                result[at:at] = result[at : at + draw.choice((1, 4, 512))]
            case _:
                source = draw.randrange(len(result) + 1)
                size = draw.choice((4, 16, 512))
                result[at : at + size] = result[source : source + size]
    return bytes(result)


class TooSlowError(BaseException):
    """More than the processor time that one file may take. No Exception, because extractors may raise any."""


@contextmanager
def limited_time(seconds: float) -> Iterator[None]:
    """Raise TooSlowError where a block takes more processor time."""

    def stop(signal_number: int, frame: FrameType | None) -> None:
        raise TooSlowError

    before = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)

"""Several ranges of one blob: what is read for them, and how often."""

from collections.abc import Iterator
from itertools import pairwise

import pytest

from lading.http.byteranges import MAX_GAP, byteranges
from tests.support import images

CONTENT = images.blob(10 * MAX_GAP)


class Opened:
    """A blob that notes what is opened of it, and what is closed."""

    def __init__(self, size: int) -> None:
        """Return chunks of `size` bytes."""
        self.size = size
        self.spans: list[tuple[int, int]] = []
        self.closed = 0

    def open(self, start: int, stop: int) -> Iterator[bytes]:
        self.spans.append((start, stop))
        return self._chunks(start, stop)

    def _chunks(self, start: int, stop: int) -> Iterator[bytes]:
        try:
            for at in range(start, stop, self.size):
                yield CONTENT[at : min(at + self.size, stop)]
        finally:
            self.closed += 1


def content_of(ranges: list[tuple[int, int]], opened: Opened) -> list[bytes]:
    """The content of each part."""
    parts = byteranges(ranges, len(CONTENT), "a/b", opened.open)
    boundary = parts.media_type.rpartition("=")[2].encode()
    content = b"".join(parts.chunks)
    assert len(content) == parts.size
    return [part.partition(b"\r\n\r\n")[2].removesuffix(b"\r\n") for part in content.split(b"--" + boundary)[1:-1]]


@pytest.mark.parametrize("size", [1, 7, 1000, MAX_GAP, 10 * MAX_GAP])
def test_near_ranges_are_opened_once(size: int) -> None:
    opened = Opened(size)
    ranges = [(3 + 50 * number, 3 + 50 * number + number % 50) for number in range(1, 100)]
    ranges = [(start, stop) for start, stop in ranges if start < stop]
    assert content_of(ranges, opened) == [CONTENT[start:stop] for start, stop in ranges]
    assert opened.spans == [(ranges[0][0], ranges[-1][1])]
    assert opened.closed == 1


@pytest.mark.parametrize(("gap", "openings"), [(0, 1), (MAX_GAP, 1), (MAX_GAP + 1, 3)])
def test_what_is_far_is_opened_by_itself(gap: int, openings: int) -> None:
    opened = Opened(5000)
    starts = [number * (10 + gap) for number in range(3)]
    ranges = [(start, start + 10) for start in starts]
    assert content_of(ranges, opened) == [CONTENT[start:stop] for start, stop in ranges]
    assert len(opened.spans) == opened.closed == openings
    # No more is read than what is asked for and the gaps.
    assert sum(stop - start for start, stop in opened.spans) == 30 + (2 * gap if openings == 1 else 0)
    assert all(before[1] < after[0] for before, after in pairwise(opened.spans))


def test_of_a_client_that_leaves_nothing_stays_open() -> None:
    opened = Opened(1000)
    parts = byteranges([(0, 40_000), (40_001, 80_000)], len(CONTENT), "a/b", opened.open)
    next(parts.chunks)
    parts.chunks.close()  # type: ignore[attr-defined]  # a generator
    assert opened.closed == 1

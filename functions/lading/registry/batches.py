"""Committing many things in as few commits as the metadata store takes.

A commit is atomic, so it cannot be split by the store: who makes the writes says what may stand in commits of its own.

    in_batches(digests, lambda some: settle(lambda: self._delete(some)))

Where the writes are known beforehand, `size` fills the commits by what they count; else a batch that proves too large
is halved. Whoever can only commit all at once catches TooLarge, and does first in batches what may be done before.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Final, TypeVar

from lading_storage.commit_size import BATCH_SIZE
from lading_storage.errors import TooLarge

T = TypeVar("T")

MAX_BATCH: Final = 100
"""Things of one batch: a large commit fails more often, since it relies on more."""


def in_batches(
    things: Sequence[T],
    commit: Callable[[Sequence[T]], object],
    *,
    size: Callable[[T], int] = lambda thing: 0,
    max_items: int = MAX_BATCH,
) -> None:
    """Commit things in order, in batches of as many as fit.

    Args:
        things: all that is to be committed; nothing is done where there are none.
        commit: commits some of them in one commit, or raises TooLarge, and is then called with half as many. It settles
            lost races itself.
        size: the bytes that one thing adds to a commit: commit_size.size_of its writes.
        max_items: things in one batch.

    Raises:
        TooLarge: one thing alone is too large; what stands before it is committed.
    """
    waiting = [*batches(things, size, max_items)]
    waiting.reverse()
    while waiting:
        batch = waiting.pop()
        try:
            commit(batch)
        except TooLarge:
            if len(batch) == 1:
                raise
            half = len(batch) // 2
            waiting += [batch[half:], batch[:half]]


def batches(things: Sequence[T], size: Callable[[T], int], max_items: int = MAX_BATCH) -> Iterator[Sequence[T]]:
    """Return things in batches of at most `max_items` things and BATCH_SIZE bytes, or of one larger thing."""
    start, total = 0, 0
    for number, thing in enumerate(things):
        added = size(thing)
        if number > start and (number - start == max_items or total + added > BATCH_SIZE):
            yield things[start:number]
            start, total = number, 0
        total += added
    if start < len(things):
        yield things[start:]

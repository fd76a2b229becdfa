"""Split a large change into batches, each of which fits into one commit of the metadata store.

A commit is atomic, so the store cannot split it: the caller decides which items may be committed apart.

    in_batches(digests, lambda batch: retry_on_conflict(lambda: self._delete(batch)))

Where the size of the writes is known in advance, `size` fills each batch up to the limit. Otherwise a batch that turns
out too large is halved. A caller that must commit everything at once catches TooLarge, and commits in batches
beforehand whatever may come first.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Final, TypeVar

from lading_storage.commit_size import BATCH_SIZE
from lading_storage.errors import TooLarge

T = TypeVar("T")

MAX_BATCH: Final = 100
"""Items in one batch: the more preconditions a commit has, the more often it conflicts."""


def in_batches(
    items: Sequence[T],
    commit: Callable[[Sequence[T]], object],
    *,
    size: Callable[[T], int] = lambda item: 0,
    max_items: int = MAX_BATCH,
) -> None:
    """Commit items in order, in batches that are as large as possible.

    Args:
        items: the items to commit; without any, `commit` is not called.
        commit: commits a batch in one commit. Where it raises TooLarge, it is called again with each half of the batch.
            It retries conflicts itself.
        size: returns the bytes that one item adds to a commit (commit_size.size_of its writes).
        max_items: the maximum number of items in one batch.

    Raises:
        TooLarge: a single item is too large; the items before it are committed.
    """
    pending = [*batches(items, size, max_items)]
    pending.reverse()
    while pending:
        batch = pending.pop()
        try:
            commit(batch)
        except TooLarge:
            if len(batch) == 1:
                raise
            half = len(batch) // 2
            pending += [batch[half:], batch[:half]]


def batches(items: Sequence[T], size: Callable[[T], int], max_items: int = MAX_BATCH) -> Iterator[Sequence[T]]:
    """Yield batches of at most `max_items` items and BATCH_SIZE bytes; an item that is larger has its own batch."""
    start, total = 0, 0
    for index, item in enumerate(items):
        item_size = size(item)
        if index > start and (index - start == max_items or total + item_size > BATCH_SIZE):
            yield items[start:index]
            start, total = index, 0
        total += item_size
    if start < len(items):
        yield items[start:]

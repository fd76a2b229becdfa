"""Many things are committed in few commits, and one that is too large is halved."""

from collections.abc import Sequence

import pytest

from lading.registry.batches import MAX_BATCH, batches, in_batches
from lading_storage.commit_size import BATCH_SIZE
from lading_storage.errors import TooLarge


class Store:
    """Takes commits of numbers whose sum is at most 100."""

    def __init__(self) -> None:
        self.commits: list[list[int]] = []

    def commit(self, numbers: Sequence[int]) -> None:
        if sum(numbers) > 100:
            raise TooLarge(str(numbers))
        self.commits.append([*numbers])


def test_what_is_too_large_is_halved_and_its_order_kept() -> None:
    store = Store()

    in_batches([30, 30, 30, 30, 30, 1, 100], store.commit)

    assert store.commits == [[30, 30, 30], [30, 30], [1], [100]]


def test_a_single_record_that_is_too_large_is_refused_after_what_fits() -> None:
    store = Store()

    with pytest.raises(TooLarge):
        in_batches([1, 101, 2], store.commit)
    assert store.commits == [[1]]


def test_batches_are_filled_by_size_and_number() -> None:
    third = BATCH_SIZE // 3
    sizes = [third, third, third, 1, BATCH_SIZE + 1, *[0] * (MAX_BATCH + 1)]

    found = [len(batch) for batch in batches(sizes, lambda size: size)]

    assert found == [4, 1, MAX_BATCH, 1]
    assert [*batches([], lambda size: size)] == []

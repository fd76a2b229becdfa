"""Listings to their end, where an index is damaged."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from functions.jobs.backup import Stores
from functions.registry.pages import SIZE, find_all, scan_all
from storage.errors import Corrupt
from storage.protocols import Create
from storage.records import Link, Tag

NOW = datetime(2026, 11, 1, tzinfo=UTC)


def tags(count: int) -> list[Tag]:
    return [
        Tag(id=f"V{number:05}", repository="a", digest="sha256:0", media_type="t", size=1, moved=NOW)
        for number in range(count)
    ]


class Damaged:
    """A store whose listings begin anew, or go back."""

    def __init__(self, page: Sequence[Any]) -> None:
        self.page = page
        self.asked = 0

    def scan(self, *words: Any, **more: Any) -> Sequence[Any]:
        self.asked += 1
        assert self.asked < 9, "the loop does not end"
        return self.page

    find = scan


@pytest.mark.parametrize("turned", [False, True])
def test_a_listing_that_does_not_advance_ends(turned: bool) -> None:
    page = tags(SIZE)[:: -1 if turned else 1]

    with pytest.raises(Corrupt, match="does not advance"):
        list(scan_all(Damaged(page), Tag, "a"))  # type: ignore[arg-type]
    with pytest.raises(Corrupt, match="does not advance"):
        list(find_all(Damaged(page), Tag, {"digest": "sha256:0"}, "a"))  # type: ignore[arg-type]
    with pytest.raises(Corrupt, match="does not advance"):
        list(find_all(Damaged(page), Tag, {"digest": "sha256:0"}, None))  # type: ignore[arg-type]


def test_listings_of_several_pages_come_to_their_end(stores: Stores) -> None:
    for start in range(0, SIZE + 3, 100):
        stores.metadata.commit([Create(tag) for tag in tags(SIZE + 3)[start : start + 100]])
        stores.metadata.commit(
            [
                Create(Link(id="sha256:1", repository=f"r{number}", object="u/1", size=1, created=NOW, state="loose"))
                for number in range(start, min(start + 100, SIZE + 3))
            ]
        )

    assert len(list(scan_all(stores.metadata, Tag, "a"))) == SIZE + 3
    assert len(list(find_all(stores.metadata, Tag, {"digest": "sha256:0"}, "a"))) == SIZE + 3
    assert len(list(find_all(stores.metadata, Link, {"id": "sha256:1"}, None))) == SIZE + 3

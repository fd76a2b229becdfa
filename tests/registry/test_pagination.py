"""Listings to their end, where an index is damaged."""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from lading.commands.cleanup import names_of
from lading.jobs.gc.sweep import GracePeriods, Sweeper
from lading.jobs.repository_scan import RepositoryScan
from lading.registry.change_context import now
from lading.registry.pagination import PAGE_SIZE, Page, check_cursors_advance, find_all, scan_all
from lading.registry.registry import Registry
from lading_storage.errors import Corrupt
from lading_storage.protocols import Create
from lading_storage.records.core import Key, Link, Repository, Tag, Upload
from lading_storage.stores import Stores

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

    def find(self, *words: Any, **more: Any) -> Sequence[Any]:
        self.asked += 1
        assert self.asked < 9, "the loop does not end"
        return self.page

    names = find

    def delete(self, name: str) -> None:
        """Deletes nothing."""


@pytest.mark.parametrize("turned", [False, True])
def test_a_listing_that_does_not_advance_ends(turned: bool) -> None:
    page = tags(PAGE_SIZE)[:: -1 if turned else 1]

    with pytest.raises(Corrupt, match="does not advance"):
        list(scan_all(Damaged(page), Tag, "a"))  # type: ignore[arg-type]
    with pytest.raises(Corrupt, match="does not advance"):
        list(find_all(Damaged(page), Tag, {"digest": "sha256:0"}, "a"))  # type: ignore[arg-type]
    with pytest.raises(Corrupt, match="does not advance"):
        list(find_all(Damaged(page), Link, {"id": "sha256:0"}, None))  # type: ignore[arg-type]


def test_other_loops_over_pages_end_as_well() -> None:
    upload = Upload(id="u", target="", cancelled=True, created=NOW, touched=NOW)
    registry = Registry(Damaged(["u/1", "u/1"]), Damaged([]))  # type: ignore[arg-type]
    reaper = Sweeper(registry, GracePeriods(), now, Counter(), lambda: False)
    damaged = Damaged([Repository(id="a", created=NOW)])

    with pytest.raises(Corrupt, match="does not advance"):
        reaper.sweep_session(upload)
    with pytest.raises(Corrupt, match="does not advance"):
        RepositoryScan(damaged, Tag).page(Key(Tag, "v1", "a"))  # type: ignore[arg-type]
    with pytest.raises(Corrupt, match="does not advance"):
        check_cursors_advance(1, [1, 2])
    with pytest.raises(Corrupt, match="does not advance"):
        list(names_of(Endless()))  # type: ignore[arg-type]
    check_cursors_advance(None, [1])
    check_cursors_advance(1, [2])


class Endless:
    """A registry whose list of repositories begins anew."""

    def repositories(self, after: str, limit: int) -> Page[str]:
        return Page(["a"], "a")


def test_listings_of_several_pages_come_to_their_end(stores: Stores) -> None:
    for start in range(0, PAGE_SIZE + 3, 100):
        stores.metadata.commit([Create(tag) for tag in tags(PAGE_SIZE + 3)[start : start + 100]])
        stores.metadata.commit(
            [
                Create(Link(id="sha256:1", repository=f"r{number}", object="u/1", size=1, created=NOW, state="loose"))
                for number in range(start, min(start + 100, PAGE_SIZE + 3))
            ]
        )

    assert len(list(scan_all(stores.metadata, Tag, "a"))) == PAGE_SIZE + 3
    assert len(list(find_all(stores.metadata, Tag, {"digest": "sha256:0"}, "a"))) == PAGE_SIZE + 3
    assert len(list(find_all(stores.metadata, Link, {"id": "sha256:1"}, None))) == PAGE_SIZE + 3

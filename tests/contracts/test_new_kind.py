"""A new kind of record is one class: no store has a list to add it to."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import ClassVar

import pytest

from lading_storage.commit_size import size_of
from lading_storage.firestore_indexes import Index, indexes_of
from lading_storage.protocols import Create, Delete, MetadataStore, Replace, Touch
from lading_storage.query import Query
from lading_storage.records.core import Key, Record, due_entry
from lading_storage.stores import Stores
from tests.support.record_examples import DIGEST, NOW, OTHER

EARLIER = NOW - timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan(Record):
    """A kind that declares all that a kind can declare, and that no store knows."""

    KIND: ClassVar[str] = "scans"
    NUMBER: ClassVar[int] = 10_000
    IN_REPOSITORY: ClassVar[bool] = True
    INDEXED_FIELDS: ClassVar[tuple[str, ...]] = ("scanner", "found", "severity", "base")
    CROSS_REPOSITORY_FIELDS: ClassVar[tuple[str, ...]] = ("base",)
    FILTER_FIELDS: ClassVar[tuple[str, ...]] = ("severity",)
    FIXED_FIELDS: ClassVar[tuple[str, ...]] = ("scanner",)
    QUEUES: ClassVar[tuple[str, ...]] = ("again",)

    scanner: str
    severity: str = ""
    base: str = ""
    found: tuple[str, ...] = ()
    counts: tuple[int, ...] = ()
    content: bytes | None = None
    complete: bool = False
    scanned_at: datetime
    again: datetime | None = None

    @property
    def due(self) -> str:
        return due_entry("again", self.again) if self.again else ""

    @classmethod
    def order(cls, id: str) -> str:
        return f"{id.lower()} {id}"


def scan(id: str, repository: str = "team/app", **fields: object) -> Scan:
    return replace(Scan(id=id, repository=repository, scanner="s", scanned_at=NOW), **fields)  # type: ignore[arg-type]


FULL = scan(
    "a",
    severity="high",
    base=DIGEST,
    found=(OTHER, "CVE-1"),
    counts=(1, 2),
    content=b"\x00{}",
    complete=True,
    again=EARLIER,
)


@pytest.fixture
def metadata(stores: Stores) -> MetadataStore:
    return stores.metadata


def test_every_store_keeps_it(metadata: MetadataStore) -> None:
    metadata.commit([Create(FULL), Create(scan("b"))])

    found = metadata.read([FULL.key, scan("b").key])

    assert (found[FULL.key], found[scan("b").key]) == (FULL, scan("b"))
    assert metadata.read([FULL.key], content=False)[FULL.key] == replace(FULL, content=None)


def test_every_store_lists_and_finds_it(metadata: MetadataStore) -> None:
    other = scan("C", severity="low", found=("CVE-1",), base=DIGEST)
    elsewhere = scan("x", "other", base=DIGEST)
    metadata.commit([Create(FULL), Create(scan("b")), Create(other), Create(elsewhere)])
    listed = replace(FULL, content=None)

    def find(**where: str) -> list[Scan]:
        return metadata.find(Query(Scan, where, repository="team/app", limit=9))

    assert find() == [listed, scan("b"), other], "in the order of the class"
    assert find(found=OTHER) == [listed]
    assert find(scanner="s", severity="high") == [listed]
    assert find(found="CVE-1", severity="low") == [other]
    everywhere = metadata.find(Query(Scan, {"base": DIGEST}, repository=None, limit=9))
    assert {each.key for each in everywhere} == {FULL.key, other.key, elsewhere.key}


def test_every_store_queues_it_until_it_is_changed(metadata: MetadataStore) -> None:
    metadata.commit([Create(FULL), Create(scan("b"))])

    (queued,) = metadata.due(Scan, "again", NOW, limit=9)
    assert queued.record == replace(FULL, content=None)
    whole = metadata.read([FULL.key])[FULL.key]
    assert whole is not None
    metadata.commit([Replace(replace(whole, again=None, found=("CVE-2",))), Touch(scan("b").key)])

    assert metadata.due(Scan, "again", NOW, limit=9) == []
    assert metadata.find(Query(Scan, {"found": OTHER}, repository="team/app", limit=9)) == []
    changed = metadata.find(Query(Scan, {"found": "CVE-2"}, repository="team/app", limit=9))[0]
    metadata.commit([Delete(changed)])
    assert metadata.read([Key(Scan, "a", "team/app")])[FULL.key] is None


def test_its_commits_have_sizes_and_its_queries_indexes() -> None:
    assert size_of([Create(FULL)]) > size_of([Create(scan("a"))]) > size_of([Touch(FULL.key)]) > 100
    assert set(indexes_of(Scan)) == {
        Index("position", "COLLECTION", "ASCENDING"),
        Index("scanner", "COLLECTION", "ASCENDING"),
        Index("found", "COLLECTION", "CONTAINS"),
        Index("severity", "COLLECTION", "ASCENDING"),
        Index("base", "COLLECTION_GROUP", "ASCENDING"),
        Index("due", "COLLECTION_GROUP", "ASCENDING"),
    }

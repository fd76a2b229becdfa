"""Each query of SQLite's driver is one range of an index, read in order; what it costs is the rows that it returns."""

import contextlib
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from lading_storage.local import sqlite_writes
from lading_storage.local.sqlite import SqliteMetadata
from lading_storage.local.sqlite_queries import DUE, READ, READ_WITHOUT_CONTENT, find_query
from lading_storage.protocols import Create
from lading_storage.query import Query
from lading_storage.records.core import Manifest, Record, Tag
from lading_storage.records.deleted import TagEvent
from lading_storage.records.kinds import CROSS_REPOSITORY_FIELDS, KINDS
from tests.support.record_examples import DIGEST, EXAMPLES, NOW, OTHER, link, manifest

GOOD: Final = re.compile(
    r"SEARCH \w+ USING (COVERING INDEX|INDEX|PRIMARY KEY|INTEGER PRIMARY KEY)\b.*|(SCALAR|REUSE) SUBQUERY \d+"
    # The other values of one row that was found.
    r"|CORRELATED SCALAR SUBQUERY \d+|SCAN json_each VIRTUAL TABLE INDEX \d+:"
)

FINDS: Final = {
    f"{kind.KIND} by {field}, {form}": find_query(
        Query(kind, {field: DIGEST}, repository=repository, after=after, after_repository="team/app", limit=9)
    )
    for kind in KINDS
    for field in kind.INDEXED_FIELDS
    if field not in kind.FILTER_FIELDS
    for form, after in (("from the start", ""), ("after a record", DIGEST))
    for repository in [None if (kind, field) in CROSS_REPOSITORY_FIELDS else "team/app"]
}
QUERIES: Final[dict[str, tuple[str, Any]]] = {
    "read": (READ, (1, "a", "b")),
    "read without content": (READ_WITHOUT_CONTENT, (1, "a", "b")),
    "list": find_query(Query(Tag, repository="a", after="b", limit=9)),
    "due": (DUE, (1, "a", "b", "c", "d", 9)),
    "touch": (sqlite_writes.TOUCH, ("v", 1, "a", "b")),
    "touch at a version": (sqlite_writes.TOUCH_AT, ("v", 1, "a", "b", "u")),
    "what is written over": (sqlite_writes.FIND_STORED, (1, "a", "b", "v")),
    "delete": (sqlite_writes.DELETE, (1,)),
    "forget": (sqlite_writes.DELETE_LOOKUP, (1, 2, "a", "b", "c", 2)),
    "two values": find_query(Query(Manifest, {"subject": DIGEST, "artifact_type": "sbom"}, repository="a", limit=9)),
    **FINDS,
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "metadata.sqlite"
    store = SqliteMetadata(path)
    store.commit([Create(each) for each in EXAMPLES])
    store.close()
    return path


@pytest.fixture
def file(path: Path) -> Iterator[sqlite3.Connection]:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        yield connection


@pytest.mark.parametrize("name", QUERIES)
@pytest.mark.parametrize("analyzed", [False, True])
def test_nothing_is_walked_through_or_sorted(file: sqlite3.Connection, name: str, analyzed: bool) -> None:
    if analyzed:
        file.execute("ANALYZE")
    query, values = QUERIES[name]

    steps = [row[3] for row in file.execute(f"EXPLAIN QUERY PLAN {query}", values)]

    assert steps
    assert [step for step in steps if not GOOD.fullmatch(step)] == []


def move(number: int, repository: str) -> TagEvent:
    id = f"{10**6 - number}-latest"
    return TagEvent(
        id=id, repository=repository, tag="latest", number=number, digest="", before="", action="push", moved=NOW
    )


def neighbours(repository: str) -> list[Record]:
    """What one more repository has: the same names, digests and values as all others."""
    return [
        link(DIGEST, repository),
        manifest(DIGEST, repository, blobs=(DIGEST, OTHER), subject=OTHER, artifact_type="sbom"),
        *(move(number, repository) for number in range(5)),
    ]


INSTRUCTIONS: Final = 1_000
"""Of SQLite's virtual machine: some rows, but not hundreds."""


@pytest.mark.parametrize(
    "where",
    [
        find_query(Query(TagEvent, {"tag": "latest"}, repository="hot", limit=1)),
        find_query(Query(TagEvent, {"tag": "latest"}, repository="hot", after=f"{10**6 - 500}-", limit=1)),
        find_query(Query(Manifest, {"blobs": DIGEST}, repository="r7", limit=9)),
        find_query(Query(Manifest, {"subject": OTHER, "artifact_type": "sbom"}, repository="r7", limit=9)),
        find_query(Query(TagEvent, repository="r7", limit=9)),
    ],
    ids=["history", "as of a moment", "who names a blob", "referrers", "all moves"],
)
def test_what_other_repositories_have_and_how_much_more_there_is_costs_nothing(path: Path, where: Any) -> None:
    store = SqliteMetadata(path)
    store.commit([Create(each) for number in range(200) for each in neighbours(f"r{number}")])
    store.commit([Create(move(number, "hot")) for number in range(1_000)])
    store.close()
    done = 0

    def count() -> None:
        nonlocal done
        done += 1

    with contextlib.closing(sqlite3.connect(path)) as file:
        file.set_progress_handler(count, 1)
        rows = file.execute(*where).fetchall()
        file.set_progress_handler(None, 0)

    assert rows
    assert 0 < done < INSTRUCTIONS

"""What SQLite's driver remembers of the records that it has read: never more than it may, and never what has passed."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from lading_storage.local import sqlite
from lading_storage.local.sqlite import SqliteMetadata
from lading_storage.protocols import Create, Delete, MetadataStore, Replace, Touch
from tests.support.record_examples import get, tag


@pytest.fixture
def here(tmp_path: Path) -> Iterator[SqliteMetadata]:
    """What this process has open."""
    store = SqliteMetadata(tmp_path / "metadata.sqlite")
    yield store
    store.close()


@pytest.fixture
def elsewhere(here: MetadataStore, tmp_path: Path) -> Iterator[SqliteMetadata]:
    """What another process has open: the same file."""
    store = SqliteMetadata(tmp_path / "metadata.sqlite")
    yield store
    store.close()


def test_what_another_process_writes_is_read(here: SqliteMetadata, elsewhere: SqliteMetadata) -> None:
    first = tag("v1", size=1, content=b"1")
    elsewhere.commit([Create(first)])
    read = get(here, first.key)
    assert get(here, first.key) == read == first

    elsewhere.commit([Touch(first.key)])
    touched = get(here, first.key)
    assert touched == first
    assert touched.version == get(elsewhere, first.key).version != read.version

    second = replace(touched, size=2, content=b"22")
    elsewhere.commit([Replace(second)])
    assert get(here, first.key) == second

    elsewhere.commit([Delete(get(elsewhere, first.key))])
    assert here.read([first.key])[first.key] is None

    elsewhere.commit([Create(first)])
    assert get(here, first.key) == first


def test_only_so_many_are_remembered_and_none_that_is_large(
    here: SqliteMetadata, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "MAX_CACHED_RECORDS", 3)
    tags = [tag(f"v{number}", content=b"x" * number) for number in range(10)]
    large = tag("large", content=b"x" * sqlite.MAX_CACHED_SIZE)
    here.commit([Create(each) for each in (*tags, large)])

    for _ in range(2):
        for each in (*tags, large):
            assert get(here, each.key) == each
            assert len(here._cache) <= 3
            assert large.key not in here._cache

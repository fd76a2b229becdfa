"""Every row of the tables of bad requests: refused as the table says, in the spec's words, and nothing changes."""

from collections import Counter
from typing import Any, Final

import pytest

from lading.registry import errors
from lading_storage.query import Query
from lading_storage.records.core import Blob, Link, Manifest, Record, Repository, Tag, Upload
from lading_storage.stores import Stores
from tests.api import bad_manifests, bad_paths, bad_uploads
from tests.api.bad_request_case import SESSION, BadRequestCase, fill_registry, open_session
from tests.support.app_client import Client, make_client
from tests.support.store_hooks import hooked_registry, recorder

ROWS = (*bad_paths.ROWS, *bad_uploads.ROWS, *bad_manifests.ROWS)
CODES = {row.code for row in vars(errors).values() if isinstance(row, errors.ErrorDescriptor)}
MANY = 1_000
TOP: tuple[type[Record], ...] = (Repository, Blob, Upload)
INSIDE: tuple[type[Record], ...] = (Link, Manifest, Tag)


WRITING: Final = frozenset({"commit", "append", "join", "replace", "delete"})
"""Methods after which a look at all that the stores have is worth it."""


class MonitoredRegistry:
    """The registry that the rows are sent to, and the state in which the last row left it."""

    def __init__(self, stores: Stores) -> None:
        self._stores = stores
        self._calls: list[str] = []
        self.client: Client = make_client(hooked_registry(stores, recorder(self._calls)))
        fill_registry(self.client)
        self._renew()

    def changed(self) -> tuple[Counter[Any], Counter[Any]] | None:
        """What is there now and was not, and what was there and is no more, since the last call."""
        return self.changed_at_all() if WRITING.intersection(self._calls) else None

    def changed_at_all(self) -> tuple[Counter[Any], Counter[Any]] | None:
        """The same, without the caller of a write."""
        before, now = self._last, self._snapshot()
        if now != before:
            # One row that fails is not to fail the next one.
            self._renew()
        return (now - before, before - now) if now != before else None

    def _renew(self) -> None:
        self.session = open_session(self.client)
        self._last = self._snapshot()

    def _snapshot(self) -> Counter[Any]:
        """Every record with its version, and every object. A session that has ended is left to collection."""
        metadata = self._stores.metadata
        found: list[Record] = []
        for kind in TOP:
            found += metadata.find(Query(kind, limit=MANY))
        for repository in ("app", "other", "absent"):
            for kind in INSIDE:
                found += metadata.find(Query(kind, repository=repository, limit=MANY))
        self._calls.clear()
        kept = [each for each in found if not (isinstance(each, Upload) and each.cancelled)]
        return Counter([*((each, each.version) for each in kept), *self._stores.blobs.names("", limit=MANY)])


@pytest.fixture(scope="module")
def guarded(module_stores: Stores) -> MonitoredRegistry:
    return MonitoredRegistry(module_stores)


def test_there_are_many_rows_and_no_two_alike() -> None:
    rows = [(row.method, row.target, row.body, *row.headers.items(), row.length, row.chunked) for row in ROWS]

    assert len(set(rows)) == len(rows) > 300
    assert {row.code for row in ROWS} <= CODES


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_a_bad_request_is_refused_and_changes_nothing(guarded: MonitoredRegistry, row: BadRequestCase) -> None:
    target = row.target.replace(SESSION, guarded.session)

    answer = guarded.client.request(row.method, target, row.body, row.headers, length=row.length, chunked=row.chunked)

    changed = guarded.changed()
    assert answer.status == row.status, answer
    assert answer.headers["Content-Type"] == "application/json"
    assert int(answer.headers["Content-Length"]) > 0
    if row.method == "HEAD":
        assert answer.body == b""
    else:
        (error,) = answer.json["errors"]
        assert error["code"] == row.code, answer
        assert error["message"]
        assert error.keys() <= {"code", "message", "detail"}
    assert changed is None


def test_in_the_end_all_is_as_it_was(guarded: MonitoredRegistry) -> None:
    assert guarded.changed_at_all() is None

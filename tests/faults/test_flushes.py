"""SQLite's own writes and flushes fail below a serving registry, each in turn.

What is not on the disk is refused with 503 and visible to no client, all that was there still reads, and when the disk
works again the same process goes on. After kill -9 and after a power failure all is there that was acknowledged.
"""

import itertools
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from lading_storage.digests import digest_of
from tests.faults import NIGHTLY
from tests.faults.broken_disk import BrokenDisk
from tests.faults.exact_client import ExactClient, RequestOutcome
from tests.support import images
from tests.support.server_process import Server, serving

FILE, LOG = "metadata.sqlite", "metadata.sqlite-wal"

LAYER, NEW, SPARE = (images.blob(1000) for _ in range(3))
ONE = images.manifest([LAYER])
TWO = images.manifest([LAYER], annotations={"n": "two"})
THREE = images.manifest([LAYER, NEW], annotations={"filler": "x" * 20_000})
LONG = images.manifest([LAYER], annotations={"filler": "x" * 50_000})
MANIFESTS: Final = {digest_of(each): each for each in (ONE, TWO, THREE)}


class Change(NamedTuple):
    """Something that clients change, in words, and the request."""

    name: str
    send: Callable[[ExactClient, str], RequestOutcome]
    """Of a client, and of the path of an upload that has all bytes of NEW."""


ALL_CHANGES: Final = (
    Change("begin an upload", lambda client, _: client.request("POST", "/v2/a/blobs/uploads/", b"")),
    Change("finish an upload", lambda client, upload: client.request("PUT", f"{upload}?digest={digest_of(NEW)}", b"")),
    Change(
        "mount", lambda client, _: client.request("POST", f"/v2/b/blobs/uploads/?mount={digest_of(LAYER)}&from=a", b"")
    ),
    Change("put a manifest", lambda client, _: client.put_manifest("a", "v3", THREE)),
    Change("move a tag", lambda client, _: client.put_manifest("a", "v1", TWO)),
    Change("delete a tag", lambda client, _: client.request("DELETE", "/v2/a/manifests/v2")),
    Change("delete a manifest", lambda client, _: client.request("DELETE", f"/v2/a/manifests/{digest_of(TWO)}")),
    Change("delete a blob", lambda client, _: client.request("DELETE", f"/v2/a/blobs/{digest_of(SPARE)}")),
)
CHANGES: Final = ALL_CHANGES[1:]
"""Those that can be seen."""


@pytest.fixture
def disk(tmp_path: Path) -> BrokenDisk:
    return BrokenDisk(tmp_path / "disk")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@contextmanager
def served(data: Path, disk: BrokenDisk) -> Iterator[tuple[Server, ExactClient]]:
    """A registry on that disk, and a client."""
    environment = {"LADING_DATA": str(data), **disk.environment}
    with serving(environment, data.with_name("log")) as server, closing(ExactClient(server.port)) as client:
        yield server, client


def prepare(client: ExactClient) -> str:
    """What there is before; return the path of an upload that has all bytes of NEW."""
    for content in (images.EMPTY_CONFIG, LAYER, SPARE):
        assert client.push_blob("a", content).status == 201
    for tag, manifest in {"v1": ONE, "v2": TWO, "kept": ONE}.items():
        assert client.put_manifest("a", tag, manifest).status == 201
    begun = client.request("POST", "/v2/a/blobs/uploads/", b"").headers["Location"]
    upload: str = begun[begun.index("/v2/") :]
    assert client.request("PATCH", upload, NEW).status == 202
    return upload


def seen(client: ExactClient) -> Mapping[str, str | None]:
    """All that a client sees: what is where, by its digest. Manifests are not pulled, which would be written down."""
    there: dict[str, str | None] = {}
    for reference in ("v1", "v2", "v3", "kept", *MANIFESTS):
        told = client.request("HEAD", f"/v2/a/manifests/{reference}")
        assert told.status in (200, 404)
        there[reference] = told.headers["Docker-Content-Digest"]
    for path in (f"/v2/{name}/blobs/{digest_of(blob)}" for name in "ab" for blob in (LAYER, NEW, SPARE)):
        told = client.request("GET", path)
        assert told.status in (200, 404)
        there[path] = digest_of(told.body) if told.status == 200 else None
    there["history"] = digest_of(client.request("GET", "/v2/_lading/a/history").body)
    return there


def assert_intact(client: ExactClient, data: Path) -> None:
    """All manifests that are there have their bytes, and SQLite finds nothing wrong."""
    for reference, digest in seen(client).items():
        if digest in MANIFESTS:
            assert client.request("GET", f"/v2/a/manifests/{reference}").body == MANIFESTS[digest]
    with closing(sqlite3.connect(data / FILE)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def assert_refused(told: RequestOutcome) -> None:
    assert (told.status, told.headers["Retry-After"]) == (503, "5")


@pytest.mark.parametrize("order", ["write.sqlite-wal", "flush.sqlite-wal"])
def test_what_the_disk_does_not_take_is_refused_until_it_does(disk: BrokenDisk, data: Path, order: str) -> None:
    refused = 0
    with served(data, disk) as (_, client):
        upload = prepare(client)
    # Who is stopped in good order leaves no log: the first act begins one.
    with served(data, disk) as (server, client):
        for act in ALL_CHANGES:
            before = seen(client)
            for passing in itertools.count():
                disk.fail_calls(order, passing)
                told = act.send(client, upload)
                if not disk.has_failed:
                    break
                assert_refused(told)
                assert seen(client) == before, (act.name, passing)
                disk.repair()
                refused += 1
            disk.repair()
            assert told.status in (201, 202), act.name
            assert (seen(client) == before) == (act not in CHANGES)
        acknowledged = seen(client)
        server.process.kill()
    assert refused >= len(ALL_CHANGES) * (1 if order.startswith("flush") else 4)
    with served(data, disk) as (_, client):
        assert seen(client) == acknowledged
        assert_intact(client, data)


@pytest.mark.parametrize("act", CHANGES if NIGHTLY else CHANGES[2:4], ids=lambda act: act.name)
@pytest.mark.parametrize("order", ["write.sqlite-wal", "flush.sqlite-wal"])
def test_what_was_refused_is_there_as_a_whole_or_not_at_all_after_a_kill(
    disk: BrokenDisk, data: Path, act: Change, order: str
) -> None:
    with served(data, disk) as (server, client):
        upload = prepare(client)
        for earlier in ALL_CHANGES[: ALL_CHANGES.index(act)]:
            assert earlier.send(client, upload).status in (201, 202)
        before = seen(client)
        disk.fail_calls(order, passing=3 if order.startswith("write") else 0)
        assert_refused(act.send(client, upload))
        server.process.kill()
    disk.repair()
    with served(data, disk) as (_, client):
        found = seen(client)
        again = act.send(client, upload)
        assert again.status in (201, 202) or (act.name.startswith("delete") and again.status == 404)
        assert found in (before, seen(client))
        assert_intact(client, data)


def acknowledged_move(client: ExactClient) -> Mapping[str, str | None]:
    """Move a tag; what a client sees then."""
    assert client.put_manifest("a", "v1", TWO).status == 201
    return seen(client)


@pytest.mark.parametrize("killed", [False, True], ids=["in one process", "in the next process"])
def test_a_flush_that_failed_takes_nothing_along_that_is_acknowledged_later(
    disk: BrokenDisk, data: Path, killed: bool
) -> None:
    """Linux takes pages for clean whose flush has failed: a later flush does not write them."""
    with served(data, disk) as (server, client):
        prepare(client)
        flushed = (data / LOG).read_bytes()
        disk.fail_calls("flush.sqlite-wal")
        assert_refused(client.put_manifest("a", "refused", LONG))
        assert (data / LOG).read_bytes() != flushed
        disk.repair()
        disk.track_writes(data / LOG)
        file = (data / FILE).read_bytes()
        if not killed:
            acknowledged = acknowledged_move(client)
        server.process.kill()
    if killed:
        with served(data, disk) as (server, client):
            acknowledged = acknowledged_move(client)
            server.process.kill()

    assert (data / FILE).read_bytes() == file
    (data / LOG).write_bytes(disk.content_after_power_failure(data / LOG, flushed))
    (data / "metadata.sqlite-shm").unlink()
    with served(data, disk) as (_, client):
        assert seen(client) == acknowledged
        assert_intact(client, data)


@pytest.mark.parametrize("order", ["write.sqlite", "flush.sqlite"])
def test_while_the_file_itself_takes_nothing_the_log_keeps_all(disk: BrokenDisk, data: Path, order: str) -> None:
    """The log is brought into the file now and then, behind a commit that is on the disk."""
    with served(data, disk) as (server, client):
        prepare(client)
        file = (data / FILE).read_bytes()
        disk.fail_calls(order)
        large = [images.manifest([LAYER], annotations={"n": "x" * 400_000 + str(n)}) for n in range(20)]
        for number, manifest in enumerate(large):
            assert client.put_manifest("a", f"large{number}", manifest).status == 201
        assert disk.has_failed
        disk.repair()
        if order.startswith("write"):
            assert client.put_manifest("a", "last", ONE).status == 201
            assert (data / FILE).read_bytes() != file
        server.process.kill()
    if order.startswith("flush"):
        # A power failure, before anything of it was on the disk.
        (data / FILE).write_bytes(file)
        (data / "metadata.sqlite-shm").unlink()
    with served(data, disk) as (_, client):
        for number, manifest in enumerate(large):
            assert client.request("GET", f"/v2/a/manifests/large{number}").body == manifest
        assert_intact(client, data)


@pytest.mark.parametrize("order", ["read.sqlite-wal", "read.sqlite"])
def test_what_cannot_be_read_is_told_and_nothing_is_lost(disk: BrokenDisk, data: Path, order: str) -> None:
    with served(data, disk) as (server, client):
        upload = prepare(client)
        before = seen(client)
        if order == "read.sqlite-wal":
            # Else there would be no log.
            server.process.kill()
    # In a new process nothing has been read yet that could be remembered.
    with served(data, disk) as (_, client):
        disk.fail_calls(order)
        for act in ALL_CHANGES:
            assert_refused(act.send(client, upload))
        assert_refused(client.request("GET", "/v2/a/manifests/v1"))
        disk.repair()
        assert seen(client) == before
        for act in ALL_CHANGES:
            assert act.send(client, upload).status in (201, 202)
        assert_intact(client, data)


def test_who_cannot_flush_what_a_crash_left_does_not_serve(disk: BrokenDisk, data: Path) -> None:
    with served(data, disk) as (server, client):
        prepare(client)
        server.process.kill()
    disk.fail_calls("flush.sqlite-wal")
    with pytest.raises(AssertionError, match=r"SQLite: .*Input/output error"), served(data, disk):
        pass
    disk.repair()
    with served(data, disk) as (_, client):
        assert client.request("GET", "/v2/a/manifests/v1").body == ONE

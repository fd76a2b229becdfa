"""Garbage collection of upload sessions: what ends, what goes on, and what is left of it."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from lading.jobs.gc.collect import Collector
from lading.jobs.gc.sweep import GracePeriods
from lading.registry.content.uploads import Body
from lading.registry.errors import RegistryError
from lading.registry.registry import Registry
from lading_storage.commit_size import size_of
from lading_storage.digests import digest_of
from lading_storage.protocols import Create, Delete, Replace
from lading_storage.query import Query
from lading_storage.records.core import Upload
from lading_storage.stores import Stores
from tests.support import images
from tests.support.commit_limit import CommitLimitStore
from tests.support.fake_clock import FakeClock
from tests.support.registry_pushes import pull_blob, push_blob, push_manifest


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def collector(registry: Registry, clock: FakeClock) -> Collector:
    return Collector(registry, GracePeriods(), clock=clock)


def counts(collector: Collector) -> dict[str, int]:
    """One whole collection; what it counted."""
    report = collector.run()
    assert report is not None
    assert report.finished
    return dict(report.counts)


def objects(stores: Stores) -> list[str]:
    return stores.blobs.names("", limit=1000)


def test_an_abandoned_session_ends(registry: Registry, stores: Stores, collector: Collector, clock: FakeClock) -> None:
    upload = registry.uploads.start("a")
    registry.uploads.append("a", upload.id, Body([b"one"]))
    clock.advance(hours=23)
    assert "sessions expired" not in counts(collector)
    registry.uploads.append("a", upload.id, Body([b"two"]))
    clock.advance(hours=23)
    assert "sessions expired" not in counts(collector)

    clock.advance(hours=2)
    assert counts(collector)["sessions expired"] == 1

    with pytest.raises(RegistryError):
        registry.uploads.append("a", upload.id, Body([b"three"]))
    assert len(objects(stores)) == 2, "a request that has not ended yet may still add to it"
    clock.advance(hours=1)
    assert counts(collector)["objects removed"] == 2
    assert objects(stores) == []
    assert stores.metadata.find(Query(Upload, limit=9)) == []


def test_a_request_that_lasts_longer_than_the_grace_is_not_ended_while_bytes_come(
    registry: Registry, collector: Collector, clock: FakeClock
) -> None:
    pieces = [bytes([number]) * 1000 for number in range(30)]

    def slowly() -> Iterator[bytes]:
        for piece in pieces:
            yield piece
            clock.advance(hours=1)
            counts(collector)

    upload = registry.uploads.start("a")
    clock.advance(hours=23, minutes=59)
    registry.uploads.append("a", upload.id, Body(slowly()))
    link = registry.uploads.finish("a", upload.id, digest_of(b"".join(pieces) * 2), Body(slowly()))

    assert pull_blob(registry, "a", link.id) == b"".join(pieces) * 2


def test_a_slow_request_is_told_that_another_one_was_faster(registry: Registry, clock: FakeClock) -> None:
    upload = registry.uploads.start("a")

    def slowly() -> Iterator[bytes]:
        yield b"slow"
        faster = registry.uploads.get("a", upload.id)
        registry.metadata.commit([Replace(replace(faster, parts=("0-fast",), sizes=(4,), offset=4))])
        clock.advance(minutes=6)
        yield b"and in vain"
        raise AssertionError("it goes on though it cannot succeed")

    with pytest.raises(RegistryError) as error:
        registry.uploads.append("a", upload.id, Body(slowly()))

    assert error.value.descriptor.status == 416
    assert registry.uploads.get("a", upload.id).offset == 4
    assert registry.objects.names(f"{upload.id}/", limit=9) == []


def test_what_a_published_session_left_goes_but_its_blob(
    registry: Registry, stores: Stores, collector: Collector, clock: FakeClock
) -> None:
    link = push_blob(registry, "a", images.EMPTY_CONFIG)
    push_manifest(registry, "a", images.manifest([]), "v1")
    session = link.object.partition("/")[0]
    # As a request leaves it that was killed before its session said so.
    stores.blobs.append(f"{session}/0-dead", [b"left"])

    clock.advance(hours=1)
    counts(collector)

    assert objects(stores) == [link.object]
    assert stores.metadata.find(Query(Upload, limit=9)) == []


def test_sessions_of_many_parts_are_removed_in_commits_that_fit(stores: Stores, clock: FakeClock) -> None:
    sessions = [
        Upload(
            id=f"{number:032x}",
            target="app",
            parts=tuple(f"{part:038x}" for part in range(1000)),
            sizes=(1,) * 1000,
            cancelled=True,
            created=clock(),
            touched=clock(),
        )
        for number in range(20)
    ]
    stores.metadata.commit([*map(Create, sessions)])
    small = CommitLimitStore(stores.metadata, 9 * size_of([Delete(sessions[0])]))
    clock.advance(days=2)

    report = Collector(Registry(stores.blobs, small, clock=clock), GracePeriods(), clock=clock).run()

    assert report is not None
    assert (report.counts["sessions removed"], small.refused) == (20, 3)
    found = stores.metadata.read([session.key for session in sessions])
    assert [found[session.key] for session in sessions] == [None] * 20

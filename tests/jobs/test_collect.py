"""Collection on both pairs of stores, with a clock that the test turns: what may go goes, and all else stays."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any, TypeVar

import pytest

from lading.jobs.gc.collect import Collector
from lading.jobs.gc.sweep import GracePeriods
from lading.jobs.job_report import JobReport
from lading.registry.errors import RegistryError
from lading.registry.registry import Registry
from lading_storage.digests import digest_of
from lading_storage.protocols import Create, Delete, Replace, Touch
from lading_storage.query import Query
from lading_storage.records.core import MARKED, Blob, Key, Link, Repository
from lading_storage.records.deleted import DeletedLink
from lading_storage.records.kinds import KINDS
from lading_storage.stores import Stores
from tests.support import images
from tests.support.fake_clock import FakeClock
from tests.support.registry_pushes import pull_blob, push_blob, push_image, push_manifest
from tests.support.store_hooks import Killed, hooked_registry, kill_after_commit

T = TypeVar("T")

ZERO = timedelta(0)
NO_GRACE = GracePeriods(ZERO, ZERO, ZERO, ZERO)


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


def is_there(registry: Registry, repository: str, digest: str, *, to_stay: bool = False) -> bool:
    try:
        registry.blobs.get(repository, digest, for_reuse=to_stay)
    except RegistryError:
        return False
    return True


def objects(stores: Stores) -> list[str]:
    return stores.blobs.names("", limit=1000)


def any_repository(repository: str) -> bool:
    return True


def test_nothing_of_a_live_registry_goes(registry: Registry, stores: Stores, collector: Collector, clock: Any) -> None:
    images_of = [push_image(registry, name, "v1", layers=3) for name in ("a", "b")]
    push_manifest(registry, "a", images.index([images_of[0].content or b""]), "multi")
    before = objects(stores)

    for _ in range(3):
        clock.advance(days=30)
        counts(collector)

    assert objects(stores) == before
    for repository, manifest in zip("ab", images_of, strict=True):
        assert all(digest_of(pull_blob(registry, repository, blob)) == blob for blob in manifest.blobs)


def test_a_blob_that_no_manifest_names_goes_in_two_looks(
    registry: Registry, stores: Stores, collector: Collector, clock: FakeClock
) -> None:
    content = images.blob()
    digest = digest_of(content)
    push_blob(registry, "a", content)
    clock.advance(hours=23)
    assert "links marked" not in counts(collector)
    clock.advance(hours=1)
    assert counts(collector)["links marked"] == 1

    # A client that asks whether to push it is told to; one that has its name still gets it.
    assert not is_there(registry, "a", digest, to_stay=True)
    assert pull_blob(registry, "a", digest) == content
    assert registry.blobs.mount("b", digest, "a", any_repository) is None
    assert registry.blobs.mount("b", digest, "", any_repository) is None

    clock.advance(minutes=59)
    assert "links removed" not in counts(collector)
    clock.advance(minutes=1)
    report = counts(collector)
    assert (report["links removed"], report["blobs removed"], report["bytes freed"]) == (1, 1, len(content))
    assert not is_there(registry, "a", digest)
    clock.advance(hours=1)
    counts(collector)
    assert objects(stores) == []


def test_a_blob_that_is_deleted_where_no_manifest_ever_was_leaves_nothing(
    registry: Registry, stores: Stores, collector: Collector, clock: FakeClock
) -> None:
    link = push_blob(registry, "a", images.blob())
    registry.blobs.delete("a", link.id)

    for _ in range(2):
        clock.advance(days=8)
        counts(collector)

    assert objects(stores) == []
    assert stores.metadata.find(Query(Blob, limit=9)) == []
    assert stores.metadata.find(Query(DeletedLink, repository="a", limit=9)) == []


@pytest.mark.parametrize("by", ["manifest", "push", "mount"])
def test_a_marked_link_is_revived(
    registry: Registry, stores: Stores, collector: Collector, clock: FakeClock, by: str
) -> None:
    layer = images.blob()
    for repository in ("a", "b"):
        push_blob(registry, repository, layer)
    push_blob(registry, "a", images.EMPTY_CONFIG)
    clock.advance(days=1)
    push_image(registry, "b", layers=0)
    push_manifest(registry, "b", images.manifest([layer]))
    assert counts(collector)["links marked"] == 2

    match by:
        case "manifest":
            push_manifest(registry, "a", images.manifest([layer]))
        case "push":
            push_blob(registry, "a", layer)
        case "mount":
            assert registry.blobs.mount("a", digest_of(layer), "b", any_repository)

    assert is_there(registry, "a", digest_of(layer), to_stay=True)
    clock.advance(hours=2)
    counts(collector)
    assert pull_blob(registry, "a", digest_of(layer)) == layer


def test_a_manifest_that_names_a_link_during_a_collection_keeps_it(
    registry: Registry, stores: Stores, collector: Collector, clock: FakeClock
) -> None:
    layer = images.blob()
    for content in (images.EMPTY_CONFIG, layer):
        push_blob(registry, "a", content)
    push_manifest(registry, "a", images.manifest([layer]))
    key = Key(Link, digest_of(layer), "a")
    link = stores.metadata.read([key])[key]
    assert link is not None
    # As where the manifest had read the link just before it was condemned.
    stores.metadata.commit([Replace(replace(link, state=MARKED, since=clock.time))])

    clock.advance(days=2)

    assert counts(collector)["links kept: named"] == 1
    assert is_there(registry, "a", digest_of(layer), to_stay=True)


def test_blobs_stay_while_their_manifest_can_be_restored(
    registry: Registry, stores: Stores, collector: Collector, clock: FakeClock
) -> None:
    shared = images.blob()
    push_blob(registry, "a", shared)
    push_blob(registry, "a", images.EMPTY_CONFIG)
    kept = push_manifest(registry, "a", images.manifest([shared]), "kept")
    own = images.blob()
    push_blob(registry, "a", own)
    manifest = push_manifest(registry, "a", images.manifest([shared, own]), "v1")
    registry.deletion.manifest("a", manifest.digest)

    clock.advance(days=6)
    counts(collector)
    registry.undelete.manifest("a", manifest.digest)
    assert pull_blob(registry, "a", digest_of(own)) == own
    registry.deletion.manifest("a", manifest.digest)
    for _ in range(4):
        clock.advance(days=7)
        counts(collector)

    assert not is_there(registry, "a", digest_of(own))
    assert all(digest_of(pull_blob(registry, "a", blob)) == blob for blob in kept.blobs)
    assert len(objects(stores)) == len(kept.blobs)
    with pytest.raises(RegistryError):
        registry.undelete.manifest("a", manifest.digest)


def test_a_blob_that_another_repository_links_stays(
    registry: Registry, stores: Stores, collector: Collector, clock: FakeClock
) -> None:
    manifest = push_image(registry, "a", "v1")
    for blob in manifest.blobs:
        assert registry.blobs.mount("b", blob, "a", any_repository)
    push_manifest(registry, "b", manifest.content or b"", "v1")
    registry.deletion.repository("a")

    for _ in range(4):
        clock.advance(days=8)
        counts(collector)

    assert all(digest_of(pull_blob(registry, "b", blob)) == blob for blob in manifest.blobs)
    assert not is_there(registry, "a", manifest.blobs[0])


def test_a_deleted_repository_leaves_no_records(
    registry: Registry, stores: Stores, collector: Collector, clock: FakeClock
) -> None:
    push_image(registry, "a", "v1", "v2", layers=2)
    registry.tags.delete("a", "v2")
    registry.deletion.repository("a")
    clock.advance(days=6)
    assert counts(collector)["repositories kept: can be restored"] == 1

    for _ in range(4):
        clock.advance(days=8)
        counts(collector)

    assert objects(stores) == []
    for kind in KINDS:
        if kind.KIND != "jobs":
            assert (
                stores.metadata.find(Query(kind, limit=9))
                == stores.metadata.find(Query(kind, repository="a", limit=9))
                == []
            )


def test_a_repository_in_which_something_lives_is_not_gone(
    registry: Registry, stores: Stores, collector: Collector, clock: FakeClock
) -> None:
    manifest = push_image(registry, "a", "v1")
    registry.deletion.repository("a")
    # A push that had read the repository before it was deleted, and so does not make it live.
    key = Key(Repository, "a")
    deleted = stores.metadata.read([key])[key]
    push_manifest(registry, "a", manifest.content or b"", "v1")
    live = stores.metadata.read([key])[key]
    assert deleted is not None
    assert live is not None
    stores.metadata.commit([Delete(live)])
    stores.metadata.commit([Create(deleted)])

    clock.advance(hours=1)

    assert counts(collector)["repositories revived"] == 1
    assert registry.repositories("", 9).items == ["a"]


def test_a_collection_goes_on_where_the_last_slice_stopped(
    registry: Registry, stores: Stores, clock: FakeClock
) -> None:
    for number in range(7):
        push_blob(registry, f"r{number % 3}", images.blob())
    collector = Collector(registry, NO_GRACE, clock=clock)
    slices: list[JobReport] = []
    while not slices or not slices[-1].finished:
        report = collector.run(ZERO)
        assert report is not None
        slices.append(report)
        assert len(slices) < 100

    assert len(slices) > 20, "a slice without time does one thing"
    assert slices[-1].counts["blobs removed"] == 7
    assert objects(stores) == []


def test_one_collection_at_a_time(registry: Registry, stores: Stores, clock: FakeClock) -> None:
    push_image(registry, "a", "v1")
    inside: list[JobReport | None] = []
    other = Collector(registry, NO_GRACE, clock=clock)

    first = Collector(registry, NO_GRACE, clock=clock)
    assert first.run(progress=lambda report: inside.append(other.run())) is not None
    assert set(inside) == {None}
    assert other.run() is not None

    # One that was killed is over when its lease is.
    with pytest.raises(Killed):
        Collector(hooked_registry(stores, kill_after_commit, clock=clock), NO_GRACE, clock=clock).run()
    assert other.run() is None
    clock.advance(minutes=12)
    assert other.run() is not None


def test_what_comes_in_between_wins(registry: Registry, stores: Stores, clock: FakeClock) -> None:
    content = images.blob()
    link = push_blob(registry, "a", content)

    def touch(method: str, arguments: Mapping[str, Any], forward: Callable[[], T], /) -> T:
        result = forward()
        if method == "find" and "blobs" in arguments["query"].where:
            stores.metadata.commit([Touch(link.key)])
        return result

    collector = Collector(hooked_registry(stores, touch), NO_GRACE, clock=clock)
    assert counts(collector)["races lost"] == 1
    assert pull_blob(registry, "a", digest_of(content)) == content
    assert stores.metadata.read([Key(Blob, digest_of(content))])[Key(Blob, digest_of(content))] is not None

"""What a collection reads while there is nothing to do: the same, however much there is."""

import json
from collections import Counter
from collections.abc import Mapping
from datetime import timedelta

from lading.jobs.cleanup import in_collection
from lading.jobs.gc.collect import Collector
from lading.jobs.gc.sweep import GracePeriods
from lading.registry.cleanup.policy_json import parse_policies
from lading.registry.pagination import scan_all
from lading.registry.registry import Registry
from lading_storage.digests import digest_of
from lading_storage.protocols import Delete
from lading_storage.records.core import Manifest
from lading_storage.records.deleted import DeletedManifest, DeletedTag
from lading_storage.records.events import Event
from lading_storage.stores import Stores
from tests.jobs.counting_store import CountingStore
from tests.support import images
from tests.support.fake_clock import FakeClock
from tests.support.registry_pushes import pull_blob, push_blob, push_image

FEW, MANY = 3, 24
POLICIES = parse_policies(
    json.dumps(
        [
            {"name": "old", "action": {"type": "Delete"}, "condition": {"tagPrefixes": ["v"], "olderThan": "90d"}},
            {"name": "pr", "action": {"type": "Delete"}, "condition": {"tagPrefixes": ["pr-"], "olderThan": "1h"}},
        ]
    )
)


def window(repository: str) -> timedelta:
    """Two windows: one for each half of the repositories."""
    return timedelta(days=30 if int(repository.removeprefix("r")) % 2 else 7)


WAITS = GracePeriods(undelete=timedelta(days=7), undelete_of=window)


def fill(registry: Registry, numbers: range) -> None:
    """Repositories with what lives, what can be restored, and what clean-up deletes; some are deleted as a whole."""
    for number in numbers:
        name = f"r{number}"
        push_image(registry, name, "v1", "v2")
        push_image(registry, name, "pr-1")
        gone = push_image(registry, name, "v3")
        registry.deletion.manifest(name, gone.digest)
        registry.tags.delete(name, "v1")
        push_blob(registry, name, images.blob())
        registry.uploads.start(name)
        if number % 3 == 2:
            registry.deletion.repository(name)


def collect(registry: Registry, clock: FakeClock) -> Counter[str]:
    """Collect once; returns what was counted."""
    report = Collector(registry, WAITS, in_collection(registry, POLICIES, True, clock), clock).run()
    assert report is not None
    assert report.finished
    assert report.findings == []
    return report.counts


def idle(stores: Stores, clock: FakeClock) -> Mapping[str, int]:
    """Collect until there is nothing to do, and count what one more collection does. A publisher took the events."""
    registry = Registry(stores.blobs, stores.metadata, clock=clock)
    for hours in (2, 2, 2, 25, 2, 2, 2):
        clock.advance(hours=hours)
        collect(registry, clock)
    clock.advance(hours=2)
    for event in scan_all(stores.metadata, Event):
        stores.metadata.commit([Delete(event)])
    counting = CountingStore(stores.metadata)
    collect(Registry(stores.blobs, counting, clock=clock), clock)
    return counting.counts


def test_an_idle_collection_reads_as_much_of_many_repositories_as_of_few(stores: Stores) -> None:
    clock = FakeClock()
    registry = Registry(stores.blobs, stores.metadata, clock=clock)
    registry.in_use_reports.report("here", ["r0:v2"])
    fill(registry, range(FEW))
    few = idle(stores, clock)
    fill(registry, range(FEW, MANY))
    many = idle(stores, clock)

    print(few)  # noqa: T201
    assert many == few
    assert few["query"] < 16
    assert few["listed"] + few["read"] + few["written"] < 10
    for name in ("r0", "r1", "r2", f"r{MANY - 1}"):
        assert {type(thing) for thing in registry.undelete.tombstones(name)} == {DeletedManifest, DeletedTag}


def test_what_a_longer_window_holds_goes_when_that_is_over(stores: Stores) -> None:
    clock = FakeClock()
    registry = Registry(stores.blobs, stores.metadata, clock=clock)
    fill(registry, range(2))
    for repository, days in (("r0", 7), ("r1", 30)):
        clock.advance(days=days - 1 if days == 7 else 22)
        collect(registry, clock)
        manifest = next(iter(registry.undelete.tombstones(repository))).id
        registry.undelete.manifest(repository, manifest)
        pull_whole(registry, repository, manifest)
        registry.deletion.manifest(repository, manifest)
    clock.advance(days=31)
    collect(registry, clock)

    assert [*registry.undelete.tombstones("r0"), *registry.undelete.tombstones("r1")] == []


def pull_whole(registry: Registry, repository: str, digest: str) -> None:
    """Pull all blobs of a manifest."""
    manifest = registry.manifests.find(repository, digest)
    assert isinstance(manifest, Manifest)
    assert registry.manifests.content(manifest)
    for blob in manifest.blobs:
        assert digest_of(pull_blob(registry, repository, blob)) == blob

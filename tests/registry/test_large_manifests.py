"""Manifests that need more than fits into one commit, on both pairs of stores, each made to take little in a commit."""

import contextlib
import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from lading.jobs.cleanup import CleanupContext, clean_up
from lading.jobs.gc.collect import Collector
from lading.jobs.gc.sweep import GracePeriods
from lading.registry.cleanup.policy_json import parse_policies
from lading.registry.content.large_manifests import unverify_links
from lading.registry.errors import MANIFEST_TOO_LARGE, RegistryError
from lading.registry.lifecycle import delete
from lading.registry.registry import Registry
from lading_storage.commit_size import size_of
from lading_storage.digests import digest_of
from lading_storage.protocols import Create, Touch, Write
from lading_storage.query import Query
from lading_storage.records.core import MARKED, UNVERIFIED, Key, Link, Manifest
from lading_storage.records.deleted import DeletedManifest
from lading_storage.stores import Stores
from tests.support import images
from tests.support.commit_limit import CommitLimitStore
from tests.support.fake_clock import FakeClock
from tests.support.invariants import Snapshot, assert_intact, assert_no_garbage
from tests.support.record_examples import event
from tests.support.registry_pushes import pull_blob, push_blob, push_manifest

REPOSITORY = "app"
LAYERS = 20
TOUCHED = size_of([Touch(Key(Link, digest_of(b""), REPOSITORY))]) * (LAYERS + 1)
EVENT = size_of([Create(event(repository=REPOSITORY, before=digest_of(b"")))])
COMMIT_LIMIT = TOUCHED + LAYERS * 980 + 4000 + EVENT
"""So many bytes take the touches of all links and the manifest with its entries; writing each link does not fit."""
LOWER_COMMIT_LIMIT = TOUCHED + LAYERS * 730 + 1500 + EVENT
"""So many take the touches of hidden links, and the deleted manifest; writing each of the links does not fit."""


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def small(stores: Stores) -> CommitLimitStore:
    return CommitLimitStore(stores.metadata, COMMIT_LIMIT)


@pytest.fixture
def registry(stores: Stores, small: CommitLimitStore, clock: FakeClock) -> Registry:
    return Registry(stores.blobs, small, clock=clock)


@pytest.fixture
def content(registry: Registry) -> bytes:
    """A manifest whose layers are pushed."""
    layers = [images.blob() for _ in range(LAYERS)]
    for layer in (images.EMPTY_CONFIG, *layers):
        push_blob(registry, REPOSITORY, layer)
    return images.manifest(layers)


def layers_of(content: bytes) -> list[str]:
    return [layer["digest"] for layer in json.loads(content)["layers"]]


def links(stores: Stores, content: bytes) -> dict[str, Link | None]:
    keys = [Key(Link, digest, REPOSITORY) for digest in layers_of(content)]
    found = stores.metadata.read(keys)
    return {key.id: found[key] for key in keys}


def pull(registry: Registry, content: bytes) -> None:
    for digest in layers_of(content):
        assert digest_of(pull_blob(registry, REPOSITORY, digest)) == digest


def visible(registry: Registry, content: bytes) -> set[str]:
    return {digest for digest in layers_of(content) if is_visible(registry, digest)}


def is_visible(registry: Registry, digest: str) -> bool:
    try:
        registry.blobs.get(REPOSITORY, digest)
    except RegistryError:
        return False
    return True


def collect(registry: Registry, clock: FakeClock, waits: GracePeriods = GracePeriods()) -> None:  # noqa: B008
    report = Collector(registry, waits, clock=clock).run()
    assert report is not None
    assert report.finished
    assert not report.findings


def test_it_is_put_and_its_links_stay_loose(
    registry: Registry, stores: Stores, small: CommitLimitStore, content: bytes, clock: FakeClock
) -> None:
    push_manifest(registry, REPOSITORY, content, "v1")

    assert small.refused > 0
    assert {link.state for link in links(stores, content).values() if link} == {UNVERIFIED}
    clock.advance(days=2)
    collect(registry, clock)
    clock.advance(days=2)
    collect(registry, clock)
    pull(registry, content)
    assert {link.state for link in links(stores, content).values() if link} == {""}


def test_a_collection_beside_a_killed_deletion_leaves_no_link_visible(
    registry: Registry, content: bytes, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Links of a large manifest are loose, and due for a look just before it is deleted."""
    push_manifest(registry, REPOSITORY, content, "v1")
    clock.advance(days=2)

    def collect_then(*arguments: Any) -> None:
        unverify_links(*arguments)
        collect(registry, clock)

    def kill(*arguments: Any) -> None:
        raise Killed

    monkeypatch.setattr(delete, "unverify_links", collect_then)
    monkeypatch.setattr(delete, "hide_links", kill)
    with pytest.raises(Killed):
        registry.deletion.manifest(REPOSITORY, digest_of(content))
    clock.advance(days=2)
    collect(registry, clock)

    assert visible(registry, content) == set()


def test_marked_links_are_unverified_before_it_is_put(
    registry: Registry, stores: Stores, content: bytes, clock: FakeClock
) -> None:
    clock.advance(days=2)
    collect(registry, clock)
    assert {link.state for link in links(stores, content).values() if link} == {MARKED}

    push_manifest(registry, REPOSITORY, content, "v1")

    assert visible(registry, content) == set(layers_of(content))
    clock.advance(days=2)
    collect(registry, clock)
    pull(registry, content)


def test_what_does_not_fit_at_all_is_refused_and_changes_nothing(
    registry: Registry, stores: Stores, small: CommitLimitStore, content: bytes
) -> None:
    small.max_size = TOUCHED // 2

    with pytest.raises(RegistryError) as refused:
        push_manifest(registry, REPOSITORY, content, "v1")

    assert refused.value.descriptor is MANIFEST_TOO_LARGE
    key = Key(Manifest, digest_of(content), REPOSITORY)
    assert stores.metadata.read([key])[key] is None


def test_its_layers_are_hidden_when_it_is_deleted_and_shown_when_it_is_restored(
    registry: Registry, stores: Stores, content: bytes, clock: FakeClock
) -> None:
    push_manifest(registry, REPOSITORY, content, "v1", "v2")
    shared = images.manifest([], annotations={"x": "y"})
    push_manifest(registry, REPOSITORY, shared, "other")

    registry.deletion.manifest(REPOSITORY, digest_of(content))

    assert visible(registry, content) == set()
    assert registry.blobs.get(REPOSITORY, digest_of(images.EMPTY_CONFIG)), "another manifest names it"
    assert list(registry.undelete.manifest(REPOSITORY, digest_of(content))) == [digest_of(content)]
    pull(registry, content)
    assert registry.tags.names(REPOSITORY, "", 9).items == ["other", "v1", "v2"]
    for _ in range(2):
        clock.advance(days=30)
        collect(registry, clock)
    pull(registry, content)
    assert_intact(Snapshot(stores, [REPOSITORY]))


def test_a_put_where_it_was_deleted_removes_the_tombstone(
    registry: Registry, stores: Stores, small: CommitLimitStore, content: bytes
) -> None:
    push_manifest(registry, REPOSITORY, content, "v1")
    registry.deletion.manifest(REPOSITORY, digest_of(content))
    small.refused = 0

    push_manifest(registry, REPOSITORY, content, "v1")

    assert small.refused > 0
    pull(registry, content)
    assert stores.metadata.find(Query(DeletedManifest, repository=REPOSITORY, limit=1)) == []
    assert_intact(Snapshot(stores, [REPOSITORY]))


def test_it_is_forgotten_with_its_layers(
    registry: Registry, stores: Stores, small: CommitLimitStore, content: bytes, clock: FakeClock
) -> None:
    push_manifest(registry, REPOSITORY, content, "v1")
    registry.deletion.manifest(REPOSITORY, digest_of(content))
    small.refused, small.max_size = 0, LOWER_COMMIT_LIMIT

    for _ in range(5):
        clock.advance(days=30)
        collect(registry, clock)

    assert small.refused > 0
    snapshot = Snapshot(stores, [REPOSITORY])
    assert_intact(snapshot)
    assert_no_garbage(snapshot)


def test_clean_up_deletes_it_with_its_tags(
    registry: Registry, stores: Stores, content: bytes, clock: FakeClock
) -> None:
    push_manifest(registry, REPOSITORY, content, "v1", "v2")
    clock.advance(days=31)
    policies = parse_policies(
        '[{"name": "old", "action": {"type": "Delete"}, "condition": {"tagPrefixes": ["v"], "olderThan": "30d"}}]'
    )

    report = clean_up(registry, REPOSITORY, CleanupContext(policies, [], clock()), apply_plan=True)

    assert (report.done, report.deleted) == (True, 1)
    assert visible(registry, content) == set()
    registry.undelete.tag(REPOSITORY, "v1")
    pull(registry, content)
    assert_intact(Snapshot(stores, [REPOSITORY]))


class Killed(Exception):
    """The process ends before a commit."""


class CrashingStore(CommitLimitStore):
    """A small store whose process is killed before the commit number `ends`, from 0 on."""

    ends = 10**9

    def commit(self, writes: Sequence[Write]) -> None:
        if size_of(writes) <= self.max_size:
            self.ends -= 1
            if self.ends < 0:
                raise Killed
        super().commit(writes)


def put(registry: Registry, repository: str, content: bytes) -> None:
    push_manifest(registry, repository, content, "v1")


def delete_manifest(registry: Registry, repository: str, content: bytes) -> None:
    registry.deletion.manifest(repository, digest_of(content))


def undelete(registry: Registry, repository: str, content: bytes) -> None:
    registry.undelete.manifest(repository, digest_of(content))


def purge(registry: Registry, repository: str, content: bytes) -> None:
    key = Key(DeletedManifest, digest_of(content), repository)
    dead = registry.metadata.read([key])[key]
    assert dead is not None
    registry.undelete.purge(dead)


@pytest.mark.parametrize(
    "steps",
    [(put,), (put, delete_manifest), (put, delete_manifest, undelete), (put, delete_manifest, purge)],
    ids=lambda steps: steps[-1].__name__,
)
def test_wherever_it_is_killed_collection_goes_on(
    stores: Stores, clock: FakeClock, content: bytes, steps: Sequence[Callable[[Registry, str, bytes], None]]
) -> None:
    mortal = CrashingStore(stores.metadata, COMMIT_LIMIT)
    registry = Registry(stores.blobs, mortal, clock=clock)
    repositories = [f"app{number}" for number in range(100)]
    for ends, repository in enumerate(repositories):
        for digest in [digest_of(images.EMPTY_CONFIG), *layers_of(content)]:
            assert registry.blobs.mount(repository, digest, REPOSITORY, lambda name: True)
        for step in steps[:-1]:
            step(registry, repository, content)
        mortal.ends, mortal.max_size = ends, LOWER_COMMIT_LIMIT if steps[-1] is purge else COMMIT_LIMIT
        with contextlib.suppress(Killed):
            steps[-1](registry, repository, content)
            break
        mortal.ends, mortal.max_size = 10**9, COMMIT_LIMIT
        assert_intact(Snapshot(stores, [repository]))
    mortal.ends = 10**9
    used = [REPOSITORY, *repositories[: ends + 1]]
    assert ends > 0
    for _ in range(5):
        clock.advance(days=30)
        collect(registry, clock)
        assert_intact(Snapshot(stores, used))
    assert_no_garbage(Snapshot(stores, used))

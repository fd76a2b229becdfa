"""The events of changes, on both pairs of stores: which a change makes, and which writes it costs.

tests/model compares the events of random operations with a model; tests/races/test_interleavings.py those of operations
that meet, or stop half-way.
"""

import contextlib
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise

import pytest

from lading.registry.change_context import ChangeContext
from lading.registry.content.manifests import Put
from lading.registry.errors import RegistryError
from lading.registry.events.outbox import MAX_EVENT_SIZE, tag_event
from lading.registry.names import MAX_NAME
from lading.registry.preconditions import Precondition
from lading.registry.registry import Registry
from lading.registry.rules.effective import LocalRules
from lading.registry.rules.immutable import ImmutableTags
from lading_storage.commit_size import size_of
from lading_storage.digests import digest_of
from lading_storage.forwarding import ForwardingMetadata
from lading_storage.protocols import MetadataStore, Write, key_of
from lading_storage.records.deleted import TagEvent
from lading_storage.records.events import EVENT_RANGES
from lading_storage.stores import Stores
from tests.support import images
from tests.support.concurrency import run_concurrently
from tests.support.fake_clock import FakeClock, TickingClock
from tests.support.outbox import assert_events_match, outbox_of, types_of
from tests.support.record_examples import NOW
from tests.support.registry_pushes import push_blob, push_manifest

A = "team/app"
BY = ChangeContext("push", "alice@example.com", "5f443b0e2a125337")
MOVED, GONE = "tag.moved", "tag.deleted"
PUSHED, DELETED, RESTORED, PURGED = "image.pushed", "image.deleted", "image.restored", "image.purged"


class CommitLog(ForwardingMetadata):
    """Records what commits write."""

    def __init__(self, store: MetadataStore) -> None:
        super().__init__(store)
        self.commits: list[Counter[str]] = []

    def commit(self, writes: Sequence[Write]) -> None:
        super().commit(writes)
        self.commits.append(Counter(f"{type(write).__name__} {key_of(write).kind.KIND}" for write in writes))

    @property
    def events(self) -> int:
        return sum(commit["Create events"] for commit in self.commits)


@pytest.fixture
def log(stores: Stores) -> CommitLog:
    return CommitLog(stores.metadata)


@pytest.fixture
def clock() -> FakeClock:
    return TickingClock()


@pytest.fixture
def registry(stores: Stores, log: CommitLog, clock: FakeClock) -> Registry:
    registry = Registry(stores.blobs, log, LocalRules(ImmutableTags.parse(["*:keep"])), clock)
    push_blob(registry, A, images.EMPTY_CONFIG)
    return registry


def image(number: int) -> bytes:
    return images.manifest([], annotations={"n": str(number)})


FIRST, SECOND = digest_of(image(1)), digest_of(image(2))


def refused(act: Callable[[], object]) -> None:
    with pytest.raises(RegistryError):
        act()


def test_a_push_says_who_pushed_what_and_where_it_was_before(registry: Registry, stores: Stores) -> None:
    push_manifest(registry, A, image(1), "v1")
    manifest = registry.manifests.put(A, Put(image(2), "", "", ["v1"]), BY)

    outbox = outbox_of(stores.metadata, A)

    (pushed,) = outbox[SECOND]
    moved = outbox["v1"][-1]
    assert (pushed.type, pushed.tag, pushed.digest, pushed.before, pushed.tagged) == (PUSHED, "", SECOND, "", True)
    assert (moved.type, moved.tag, moved.digest, moved.before, moved.tagged) == (MOVED, "v1", SECOND, FIRST, False)
    for event in (pushed, moved):
        assert (event.action, event.by, event.request) == BY[:3]
        assert (event.media_type, event.size) == (manifest.media_type, manifest.size)
        assert event.id.startswith(f"{event.id[0]}-{event.sequence}-{event.name[:8]}")
        assert event.id[0] in EVENT_RANGES
    assert len({event.id[0] for events in outbox.values() for event in events}) == 1, "a repository is in one range"


def test_each_operation_makes_its_events(registry: Registry, stores: Stores) -> None:
    push_manifest(registry, A, image(1))
    push_manifest(registry, A, image(2), "v1", "v2")
    registry.push.tag(A, FIRST, "v1", BY)
    registry.rollback.by_steps(A, "v1", 1)
    registry.tags.delete(A, "v2")
    registry.undelete.tag(A, "v2")
    registry.deletion.manifest(A, SECOND)
    registry.undelete.manifest(A, SECOND)
    registry.deletion.repository(A)
    registry.undelete.repository(A)
    registry.deletion.manifest(A, FIRST)
    registry.undelete.purge_by_cause(A, f"manifest:{FIRST}")

    assert types_of(stores.metadata, A) == {
        "": ["repository.deleted"],
        FIRST: [PUSHED, DELETED, RESTORED, DELETED, PURGED],
        SECOND: [PUSHED, DELETED, RESTORED, DELETED, RESTORED],
        "v1": [MOVED, MOVED, MOVED, GONE, MOVED, GONE, MOVED],
        "v2": [MOVED, GONE, MOVED, GONE, MOVED, GONE, MOVED],
    }
    actions = [event.action for event in outbox_of(stores.metadata, A)["v1"]]
    assert actions == ["push", "push", "rollback", "delete", "restore", "delete", "restore"]
    assert [event.tagged for event in outbox_of(stores.metadata, A)[FIRST]] == [False] * 5
    assert_events_match(stores.metadata, A)


def test_what_changes_nothing_makes_no_event(registry: Registry, log: CommitLog, clock: FakeClock) -> None:
    push_manifest(registry, A, image(1), "v1", "keep")
    push_manifest(registry, A, image(2))
    registry.deletion.manifest(A, SECOND)
    log.commits.clear()

    for hours in (0, 2):
        clock.advance(hours=hours)
        push_manifest(registry, A, image(1), "v1")
        push_manifest(registry, A, image(1))
        registry.push.tag(A, FIRST, "v1", BY)
        registry.rollback.to_digest(A, "v1", FIRST)
    refused(lambda: push_manifest(registry, A, image(3), "keep"))
    refused(lambda: push_manifest(registry, A, images.manifest([b"not pushed"]), "v2"))
    refused(lambda: registry.manifests.put(A, Put(image(3), "", "", ["v1"], Precondition(none_match={"*"}))))
    refused(lambda: registry.tags.delete(A, "keep"))
    refused(lambda: registry.tags.delete(A, "v9"))
    refused(lambda: registry.deletion.manifest(A, FIRST))
    refused(lambda: registry.deletion.manifest(A, SECOND))
    refused(lambda: registry.deletion.repository(A))
    refused(lambda: registry.undelete.tag(A, "v1"))
    refused(lambda: registry.undelete.manifest(A, FIRST))
    refused(lambda: registry.rollback.by_steps(A, "v1", 9))

    assert log.events == 0
    assert log.commits, "a repeated push is written"


def test_a_repository_that_is_deleted_again_makes_no_event(registry: Registry, log: CommitLog) -> None:
    push_manifest(registry, A, image(1), "v1")
    registry.deletion.repository(A)
    log.commits.clear()

    registry.deletion.repository(A)

    assert log.events == 0
    assert log.commits


PUSH = {"Touch links": 1, "Create manifests": 1, "Create events": 1}
CHANGE_OF_A_TAG = {"Create moves": 1, "Replace histories": 1, "Create events": 1}
NEW_TAG = {"Create tags": 1, "Create moves": 1, "Create histories": 1, "Create events": 1}
MOVED_TAG = {"Replace tags": 1, **CHANGE_OF_A_TAG}
DELETED_TAG = {"Delete tags": 1, "Create deleted_tags": 1, **CHANGE_OF_A_TAG}


def times(number: int, writes: dict[str, int]) -> Counter[str]:
    return Counter({name: number * count for name, count in writes.items()})


def test_a_change_is_one_commit_with_just_these_writes(registry: Registry, log: CommitLog) -> None:
    """The table of docs/decisions/004-outbox.md."""
    push_manifest(registry, A, image(0))

    def writes(act: Callable[[], object]) -> Counter[str]:
        log.commits.clear()
        act()
        (commit,) = log.commits
        return commit

    assert writes(lambda: push_manifest(registry, A, image(1))) == Counter(PUSH)
    assert writes(lambda: push_manifest(registry, A, image(2), "v1")) == Counter(PUSH) + Counter(NEW_TAG)
    tags = [f"t{number}" for number in range(100)]
    assert writes(lambda: push_manifest(registry, A, image(3), *tags)) == Counter(PUSH) + times(100, NEW_TAG)
    again = {"Touch links": 1, "Touch manifests": 1, "Touch tags": 1}
    assert writes(lambda: push_manifest(registry, A, image(2), "v1")) == Counter(again)
    moved = Counter({"Touch manifests": 1}) + Counter(MOVED_TAG)
    assert writes(lambda: registry.push.tag(A, FIRST, "v1", BY)) == moved
    assert writes(lambda: registry.rollback.by_steps(A, "v1", 1)) == moved
    assert writes(lambda: registry.tags.delete(A, "v1")) == Counter(DELETED_TAG)
    deleted = Counter({"Delete manifests": 1, "Create deleted_manifests": 1, "Touch links": 1, "Create events": 1})
    assert writes(lambda: registry.deletion.manifest(A, SECOND)) == deleted


def test_a_pull_writes_no_event(registry: Registry, log: CommitLog) -> None:
    push_manifest(registry, A, image(1), "v1")
    log.commits.clear()

    for reference in ("v1", FIRST):
        assert registry.manifests.content(registry.manifests.find(A, reference)) == image(1)

    assert log.commits == []


def test_a_clock_that_is_set_back_does_not_reorder_events(registry: Registry, stores: Stores, clock: FakeClock) -> None:
    push_manifest(registry, A, image(1), "v1")
    for hours in (-1, 0, -1, 2):
        clock.advance(hours=hours)
        registry.deletion.manifest(A, FIRST)
        clock.advance(minutes=-10)
        registry.undelete.manifest(A, FIRST)
    registry.deletion.manifest(A, FIRST)
    clock.advance(hours=-3)
    push_manifest(registry, A, image(1), "v1")

    assert types_of(stores.metadata, A) == {
        FIRST: [PUSHED, *[DELETED, RESTORED] * 4, DELETED, PUSHED],
        "v1": [MOVED, *[GONE, MOVED] * 4, GONE, MOVED],
    }
    assert_events_match(stores.metadata, A)


def test_a_clock_that_was_far_ahead_leaves_the_time_of_later_changes_right(
    registry: Registry, stores: Stores, clock: FakeClock
) -> None:
    clock.advance(days=3_000)
    push_manifest(registry, A, image(1), "v1")
    clock.advance(days=-3_000)
    time = clock.time
    registry.deletion.manifest(A, FIRST)
    deleted = next(iter(registry.undelete.tombstones(A))).deleted
    push_manifest(registry, A, image(1), "v1")

    assert types_of(stores.metadata, A) == {FIRST: [PUSHED, DELETED, PUSHED], "v1": [MOVED, GONE, MOVED]}
    for events in outbox_of(stores.metadata, A).values():
        assert all(event.moved - time < 10 * (clock.time - time) for event in events[1:])
    assert deleted < clock.time, "it is purged when its window is over"
    assert_events_match(stores.metadata, A)


def test_of_many_movers_of_one_tag_each_change_has_one_event(stores: Stores) -> None:
    registry = Registry(stores.blobs, stores.metadata)
    push_blob(registry, A, images.EMPTY_CONFIG)

    def move(client: int) -> None:
        for number in range(3):
            push_manifest(registry, A, image(10 * client + number), "v1")

    run_concurrently(*(partial(move, client) for client in range(8)))

    assert_events_match(stores.metadata, A)
    events = outbox_of(stores.metadata, A)["v1"]
    assert len(events) == 24
    assert all(later.before == earlier.digest for earlier, later in pairwise(events))


def test_a_deletion_and_a_push_at_once_have_the_events_of_one_order(stores: Stores) -> None:
    registry = Registry(stores.blobs, stores.metadata)
    push_blob(registry, A, images.EMPTY_CONFIG)
    push_manifest(registry, A, image(1), "v1")

    def push() -> None:
        for _ in range(10):
            push_manifest(registry, A, image(1), "v1")

    def delete() -> None:
        for _ in range(10):
            with contextlib.suppress(RegistryError):
                registry.deletion.manifest(A, FIRST)

    run_concurrently(push, delete)

    assert_events_match(stores.metadata, A)


def test_ids_come_from_what_is_stored(registry: Registry, stores: Stores) -> None:
    push_manifest(registry, A, image(1), "v1", "v2")
    registry.tags.delete(A, "v2")

    names = [event.name for events in outbox_of(stores.metadata, A).values() for event in events]

    assert len(names) == len(set(names)) == 4
    assert all(len(name) == 32 and set(name) <= set("0123456789abcdef") for name in names)
    assert_events_match(stores.metadata, A)


def test_the_largest_event_is_as_large_as_batches_assume() -> None:
    digest = digest_of(b"", "sha512")
    row = TagEvent(
        id="0" * 157,
        repository="a" * MAX_NAME,
        tag="t" * 128,
        number=1,
        digest=digest,
        before=digest,
        action="clean-up",
        by="b" * 254,
        request="r" * 64,
        moved=NOW,
    )

    assert size_of([tag_event(row, NOW, "m" * 255, 2**40)]) <= MAX_EVENT_SIZE

"""The history of tags: every move is on record, can be asked for as of a time, and can be undone."""

import time
from datetime import UTC, datetime, timedelta

import pytest

from lading.registry.change_context import ChangeContext, MachineClock
from lading.registry.content.manifests import Put
from lading.registry.errors import RegistryError
from lading.registry.registry import Registry
from lading.registry.rules.effective import LocalRules
from lading.registry.rules.immutable import ImmutableTags
from lading_storage.digests import digest_of
from lading_storage.protocols import Create
from lading_storage.records.core import Key, Link, Manifest, Repository, Tag
from lading_storage.records.deleted import DeletedManifest
from lading_storage.stores import Stores
from tests.support import images
from tests.support.fake_clock import FakeClock
from tests.support.invariants import Snapshot, assert_intact
from tests.support.registry_pushes import push_blob, push_image, push_manifest


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def registry(stores: Stores, clock: FakeClock) -> Registry:
    return Registry(
        stores.blobs, stores.metadata, LocalRules(ImmutableTags.parse(["prod/*:v*", "!prod/*:v*-rc*"])), clock
    )


def as_of(tag: str, moment: datetime) -> str:
    return f"{tag}.asof-{moment:%Y%m%dT%H%M%SZ}"


def code(error: pytest.ExceptionInfo[RegistryError]) -> str:
    return error.value.descriptor.code


def test_each_move_is_on_record_newest_first(registry: Registry, clock: FakeClock) -> None:
    first, second = push_image(registry, "a", "v1"), push_image(registry, "a")
    began = clock.time
    clock.advance(minutes=1)
    by_alice = ChangeContext("push", "alice@example.com", "request-2")
    registry.manifests.put("a", Put(second.content or b"", "", second.digest, ["v1"]), by_alice)
    clock.advance(minutes=1)
    registry.tags.delete("a", "v1", ChangeContext("delete", "bob@example.com", "request-3"))
    push_image(registry, "a", "other")

    rows = registry.tags.history("a", "v1", "", 10).items

    assert [(row.number, row.before, row.digest) for row in rows] == [
        (3, second.digest, ""),
        (2, first.digest, second.digest),
        (1, "", first.digest),
    ]
    assert [(row.action, row.by, row.request) for row in rows] == [
        ("delete", "bob@example.com", "request-3"),
        ("push", "alice@example.com", "request-2"),
        ("push", "", ""),
    ]
    assert [(row.moved - began).seconds for row in rows] == [120, 60, 0]


def test_a_history_comes_in_pages_of_one_tag_or_of_all(registry: Registry, clock: FakeClock) -> None:
    for number in range(7):
        push_image(registry, "a", "odd" if number % 2 else "even")
        clock.advance(seconds=1)

    for tag, expected in (("even", [4, 3, 2, 1]), ("odd", [3, 2, 1])):
        numbers, after = [], ""
        while True:
            page = registry.tags.history("a", tag, after, 2)
            numbers += [row.number for row in page.items]
            after = page.next
            if not after:
                break
        assert numbers == expected
    whole = registry.tags.history("a", "", "", 10).items
    assert [row.tag for row in whole] == ["even", "odd"] * 3 + ["even"]


def test_pushing_the_same_again_is_no_move(registry: Registry) -> None:
    manifest = push_image(registry, "a", "v1")
    for _ in range(3):
        push_manifest(registry, "a", manifest.content or b"", "v1")

    assert [row.number for row in registry.tags.history("a", "v1", "", 10).items] == [1]


def test_time_never_goes_back_in_a_history(registry: Registry, clock: FakeClock) -> None:
    push_image(registry, "a", "v1")
    latest = clock.time
    clock.advance(seconds=-50)
    push_image(registry, "a", "v1")
    clock.advance(seconds=10)
    push_image(registry, "a", "v1")

    rows = registry.tags.history("a", "v1", "", 10).items
    assert [(row.number, row.moved) for row in rows] == [(3, latest), (2, latest), (1, latest)]


@pytest.mark.parametrize("rounds", [1, 60])
def test_a_clock_that_was_far_ahead_makes_only_its_own_move_wrong(stores: Stores, rounds: int) -> None:
    ahead, began = timedelta(0), datetime.now(UTC)
    clock = MachineClock(lambda: datetime.now(UTC) + ahead)
    registry = Registry(stores.blobs, stores.metadata, clock=clock)
    first = push_image(registry, "a", "v1")
    time.sleep(0.01)
    after_first = datetime.now(UTC)
    ahead = timedelta(days=365)
    strange = push_image(registry, "a", "v1")
    ahead = timedelta(0)
    pushed = [push_image(registry, "a", "v1") for _ in range(rounds)]
    time.sleep(0.01)
    after_pushes = datetime.now(UTC)
    registry.tags.delete("a", "v1")
    last = push_image(registry, "a", "v1")

    rows = registry.tags.history("a", "v1", "", 100).items
    assert [row.number for row in rows] == list(range(rounds + 4, 0, -1))
    assert [row.number for row in registry.tags.history("a", "", "", 100).items] == [row.number for row in rows]
    honest = [row for row in rows if row.digest != strange.digest]
    assert all(began <= row.moved <= datetime.now(UTC) for row in honest)
    assert [row.moved for row in honest] == sorted((row.moved for row in honest), reverse=True)
    # A store that tells its time corrects the clock; without one, that move alone is of another year.
    (wrong,) = (row for row in rows if row.digest == strange.digest)
    told = stores.metadata.read([first.key]).read_at is not None
    assert (wrong.moved - began > timedelta(days=300)) is not told

    assert registry.tags.digest_at("a", "v1", datetime.now(UTC)) == last.digest
    assert registry.tags.digest_at("a", "v1", after_pushes) == pushed[-1].digest
    assert registry.tags.digest_at("a", "v1", after_first) == first.digest
    assert registry.rollback.to_time("a", "v1", after_first) == first.digest
    assert registry.manifests.find("a", "v1").digest == first.digest
    assert_intact(Snapshot(stores, ["a"]))


def test_what_is_deleted_by_a_clock_far_ahead_or_just_set_right_is_of_its_time(stores: Stores) -> None:
    ahead, began = timedelta(0), datetime.now(UTC)
    told = stores.metadata.read([Key(Repository, "a")]).read_at is not None

    def started() -> Registry:
        """Return the registry of a process that has just started."""
        return Registry(stores.blobs, stores.metadata, clock=MachineClock(lambda: datetime.now(UTC) + ahead))

    def is_of_its_time(image: Manifest) -> bool:
        key = Key(DeletedManifest, image.digest, "a")
        dead = stores.metadata.read([key])[key]
        return dead is not None and began <= dead.deleted <= datetime.now(UTC)

    first, second = (push_image(started(), "a") for _ in range(2))
    ahead = timedelta(days=365)
    running = started()
    running.deletion.manifest("a", first.digest)
    assert is_of_its_time(first) is told
    push_image(running, "a", "v1")

    ahead = timedelta(0)

    assert began <= running.uploads.start("a").touched <= datetime.now(UTC)
    running.deletion.manifest("a", second.digest)
    assert is_of_its_time(second)


def test_a_tag_can_be_pulled_as_of_a_time(registry: Registry, clock: FakeClock) -> None:
    before = clock.time
    clock.advance(seconds=10)
    first, at_first = push_image(registry, "a", "v1"), clock.time
    clock.advance(hours=1)
    second, at_second = push_image(registry, "a", "v1"), clock.time
    clock.advance(hours=1)
    registry.tags.delete("a", "v1")
    at_end = clock.advance(hours=1)

    assert registry.manifests.find("a", as_of("v1", at_first)) == first
    assert registry.manifests.content(registry.manifests.find("a", as_of("v1", at_first))) == first.content
    between = clock.advance(hours=-3, minutes=30)
    assert registry.manifests.find("a", as_of("v1", between)).digest == first.digest
    assert registry.manifests.find("a", as_of("v1", at_second)).digest == second.digest
    for moment in (before, at_end):
        with pytest.raises(RegistryError) as error:
            registry.manifests.find("a", as_of("v1", moment))
        assert code(error) == "MANIFEST_UNKNOWN"
    registry.deletion.manifest("a", first.digest)
    with pytest.raises(RegistryError) as error:
        registry.manifests.find("a", as_of("v1", at_first))
    assert error.value.detail["reason"] == "the manifest of that time has been deleted"


def test_a_name_of_a_time_is_reserved(registry: Registry, stores: Stores, clock: FakeClock) -> None:
    manifest = push_image(registry, "a", "v1")
    name = as_of("v1", clock.time)
    for attempt in (
        lambda: push_manifest(registry, "a", manifest.content or b"", name),
        lambda: registry.tags.delete("a", name),
    ):
        with pytest.raises(RegistryError) as error:
            attempt()
        assert code(error) == "TAG_INVALID"
    assert registry.tags.names("a", "", 10).items == ["v1"]
    # No such day, so a name like any other.
    push_manifest(registry, "a", manifest.content or b"", "v1.asof-20261301T120000Z")
    # Copied in from elsewhere it is a tag, and counts.
    other = push_image(registry, "a")
    copied = Tag(id=name, repository="a", digest=other.digest, media_type="x", size=1, moved=clock.time)
    stores.metadata.commit([Create(copied)])
    assert registry.manifests.find("a", name).digest == other.digest


def test_a_rollback_is_a_move_that_can_be_undone(registry: Registry, clock: FakeClock) -> None:
    images_of = []
    for _ in range(3):
        images_of.append(push_image(registry, "a", "v1").digest)
        clock.advance(minutes=1)

    assert registry.rollback.by_steps("a", "v1", 1) == images_of[1]
    assert registry.manifests.find("a", "v1").digest == images_of[1]
    assert registry.rollback.by_steps("a", "v1", 1) == images_of[2]
    registry.rollback.to_digest("a", "v1", images_of[0], ChangeContext("rollback", "alice", "r"))
    assert registry.rollback.to_time("a", "v1", clock.advance(seconds=-90)) == images_of[1]

    rows = registry.tags.history("a", "v1", "", 10).items
    assert [row.action for row in rows] == ["rollback"] * 4 + ["push"] * 3
    assert rows[1].by == "alice"


def test_a_rollback_to_what_is_gone_says_what_is_gone(registry: Registry, stores: Stores) -> None:
    first = push_image(registry, "a", "v1")
    push_image(registry, "a", "v1")
    for attempt in (
        lambda: registry.rollback.by_steps("a", "v1", 2),
        lambda: registry.rollback.to_digest("a", "x", first.id),
    ):
        with pytest.raises(RegistryError):
            attempt()
    registry.deletion.manifest("a", first.digest)

    with pytest.raises(RegistryError) as error:
        registry.rollback.by_steps("a", "v1", 1)

    assert (code(error), error.value.detail["digest"]) == ("MANIFEST_UNKNOWN", first.digest)


def test_an_immutable_tag_is_created_once(registry: Registry) -> None:
    manifest = push_image(registry, "prod/app", "v1", "v1-rc1", "latest")
    other = push_image(registry, "prod/app")
    content = other.content or b""

    push_manifest(registry, "prod/app", manifest.content or b"", "v1")
    push_manifest(registry, "prod/app", content, "v1-rc1", "latest")
    for attempt in (
        lambda: push_manifest(registry, "prod/app", content, "v1"),
        lambda: push_manifest(registry, "prod/app", content, "new", "v1"),
        lambda: registry.tags.delete("prod/app", "v1"),
        lambda: registry.deletion.manifest("prod/app", manifest.digest),
        lambda: registry.deletion.repository("prod/app"),
        lambda: registry.rollback.to_digest("prod/app", "v1", other.digest),
    ):
        with pytest.raises(RegistryError) as error:
            attempt()
        assert (code(error), error.value.descriptor.status) == ("DENIED", 409)
        assert "v1" in error.value.descriptor.message
        assert "prod/*:v*" in error.value.descriptor.message

    assert registry.tags.names("prod/app", "", 10).items == ["latest", "v1", "v1-rc1"]
    assert registry.manifests.find("prod/app", "v1").digest == manifest.digest
    push_image(registry, "test/app", "v1")
    push_image(registry, "test/app", "v1")


def test_nothing_is_kept_of_a_large_manifest_that_an_immutable_tag_refuses(registry: Registry) -> None:
    push_image(registry, "prod/app", "v1")
    content = images.manifest([], annotations={"x": "x" * 2_000_000})

    with pytest.raises(RegistryError) as error:
        push_manifest(registry, "prod/app", content, "v1")

    assert code(error) == "DENIED"
    assert registry.metadata.read([key := Key(Link, digest_of(content), "prod/app")])[key] is None


@pytest.mark.parametrize("text", ["v1", ":v1", "a:", "a:b:c", "!a"])
def test_what_is_no_rule_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="REPOSITORY:TAG"):
        ImmutableTags.parse([text])


def test_a_tag_that_was_there_before_there_was_a_history(registry: Registry, stores: Stores, clock: FakeClock) -> None:
    push_blob(registry, "a", images.EMPTY_CONFIG)
    content = images.manifest([])
    manifest = push_manifest(registry, "a", content)
    tag = Tag(id="v1", repository="a", digest=digest_of(content), media_type="x", size=len(content), moved=clock.time)
    stores.metadata.commit([Create(tag)])

    second = push_image(registry, "a", "v1")

    rows = registry.tags.history("a", "v1", "", 10).items
    assert [(row.number, row.before, row.digest) for row in rows] == [(1, manifest.digest, second.digest)]
    assert isinstance(manifest, Manifest)

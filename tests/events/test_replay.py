"""Replay: the events of a time are made anew with their ids, on both pairs of stores."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import pytest

from lading import cli
from lading.commands import events_replay, options
from lading.commands.options import Unconfirmed
from lading.events.replay import BATCH_SIZE, Replay, Replayed, TimeRange, TooManyEvents
from lading.registry.change_context import PUSH
from lading.registry.pagination import scan_all
from lading.registry.registry import Registry
from lading_storage.forwarding import ForwardingMetadata
from lading_storage.protocols import Create, Delete, MetadataStore
from lading_storage.records.deleted import TagEvent
from lading_storage.records.events import Event
from tests.support.fake_clock import FakeClock
from tests.support.registry_pushes import push_image
from tests.support.store_hooks import RecordedMetadata

T = TypeVar("T")
Run = Callable[..., tuple[int, str, str]]

START = datetime(2026, 11, 1, 12, tzinfo=UTC)
REPLAYED = START + timedelta(days=3)
ALWAYS = TimeRange(START - timedelta(days=9), START + timedelta(days=9))
UNREPEATABLE = ("image.purged", "repository.deleted")


def outbox(metadata: MetadataStore) -> dict[str, Event]:
    return {each.name: each for each in scan_all(metadata, Event)}


def empty(metadata: MetadataStore) -> None:
    """Take all events out of the outbox, as the publisher does."""
    for each in list(scan_all(metadata, Event)):
        metadata.commit([Delete(each)])


def replay(metadata: MetadataStore, *repositories: str, range: TimeRange = ALWAYS) -> Sequence[Replayed]:
    run = Replay(metadata, range, lambda store_time=None: REPLAYED)
    return list(run.run(repositories or run.repositories()))


def change_all_kinds(registry: Registry, clock: FakeClock) -> None:
    """Make each kind of change in two repositories, a second apart."""
    for repository in ("team/app", "team/web"):
        images = [push_image(registry, repository, "v1") for _ in range(3) if clock.advance(seconds=1)]
        untagged = push_image(registry, repository)
        clock.advance(seconds=1)
        registry.rollback.by_steps(repository, "v1", 1)
        clock.advance(seconds=1)
        registry.push.tag(repository, images[0].digest, "old", PUSH)
        clock.advance(seconds=1)
        registry.tags.delete(repository, "old")
        clock.advance(seconds=1)
        registry.deletion.manifest(repository, untagged.digest)
        clock.advance(seconds=1)
        registry.deletion.manifest(repository, images[0].digest)
        clock.advance(seconds=1)
        registry.undelete.manifest(repository, images[0].digest)
        clock.advance(seconds=1)


def test_replayed_events_have_the_ids_of_the_originals(registry: Registry, clock: FakeClock) -> None:
    change_all_kinds(registry, clock)
    before = outbox(registry.metadata)
    empty(registry.metadata)
    replay(registry.metadata)
    after = outbox(registry.metadata)

    assert after.keys() <= before.keys()
    for name, event in after.items():
        original = before[name]
        assert (event.id, event.type, event.target, event.sequence) == (
            original.id,
            original.type,
            original.target,
            original.sequence,
        )
        assert (event.tag, event.digest, event.before, event.moved, event.tagged) == (
            original.tag,
            original.digest,
            original.before,
            original.moved,
            original.tagged,
        )
        if event.tag:
            assert event == replace(original, replayed_at=REPLAYED)
    # What is stored of it no more: the push of images that were deleted since, and the deletion of what was restored.
    missing = sorted((each.target, each.type) for name, each in before.items() if name not in after)
    assert missing == sorted(
        (repository, each)
        for repository in ("team/app", "team/web")
        for each in ("image.pushed", "image.pushed", "image.deleted")
    )


def test_events_are_replayed_in_the_order_of_the_changes(registry: Registry, clock: FakeClock) -> None:
    """A publisher can take the first ones before the last ones are there, and consumers drop what is older."""
    for _ in range(BATCH_SIZE // 2 + 1):
        push_image(registry, "team/app", "v1")
        clock.advance(seconds=1)
    empty(registry.metadata)
    sequences: list[str] = []

    def record(method: str, arguments: Mapping[str, Any], forward: Callable[[], T], /) -> T:
        if method == "commit":
            sequences.extend(write.record.sequence for write in arguments["writes"])
        return forward()

    replay(ForwardingMetadata(registry.metadata, record))

    assert len(sequences) == BATCH_SIZE + 2
    assert sequences == sorted(sequences)


def test_a_replay_that_is_repeated_changes_nothing(registry: Registry, clock: FakeClock) -> None:
    change_all_kinds(registry, clock)
    empty(registry.metadata)
    first = replay(registry.metadata)
    versions = {name: each.version for name, each in outbox(registry.metadata).items()}
    second = replay(registry.metadata)

    assert [each.events for each in first] == [each.created for each in first]
    assert second == [Replayed(each.repository, each.events, 0) for each in first]
    assert {name: each.version for name, each in outbox(registry.metadata).items()} == versions


def test_an_interrupted_replay_is_completed_by_the_next(registry: Registry, clock: FakeClock) -> None:
    change_all_kinds(registry, clock)
    empty(registry.metadata)
    replay(registry.metadata)
    whole = outbox(registry.metadata)
    for event in list(whole.values())[::3]:
        registry.metadata.commit([Delete(event)])
    replay(registry.metadata)

    assert outbox(registry.metadata) == whole


def test_what_waits_in_the_outbox_is_left_as_it_is(registry: Registry, clock: FakeClock) -> None:
    change_all_kinds(registry, clock)
    before = {name: each.version for name, each in outbox(registry.metadata).items()}

    assert [each.created for each in replay(registry.metadata)] == [0, 0]
    assert {name: each.version for name, each in outbox(registry.metadata).items()} == before


def test_only_the_range_and_the_repository_are_replayed(registry: Registry, clock: FakeClock) -> None:
    change_all_kinds(registry, clock)
    whole = outbox(registry.metadata).values()
    moved = sorted(each.moved for each in whole if each.target == "team/web")
    empty(registry.metadata)
    range = TimeRange(moved[3], moved[9])
    replay(registry.metadata, "team/web", range=range)
    replayed = outbox(registry.metadata).values()

    assert {each.target for each in replayed} == {"team/web"}
    assert {each.moved for each in replayed} <= set(moved[3:10])
    tags = {each.name for each in whole if each.tag and each.target == "team/web" and range.has(each.moved)}
    assert {each.name for each in replayed if each.tag} == tags


def test_a_deleted_repository_is_replayed(registry: Registry, clock: FakeClock) -> None:
    push_image(registry, "team/app", "v1")
    clock.advance(seconds=1)
    registry.deletion.repository("team/app")
    before = outbox(registry.metadata)
    empty(registry.metadata)
    replay(registry.metadata)

    types = sorted(each.type for name, each in outbox(registry.metadata).items() if name in before)
    assert types == ["image.deleted", "tag.deleted", "tag.moved"]


def test_a_clock_that_was_set_back_changes_no_id(registry: Registry, clock: FakeClock) -> None:
    push_image(registry, "team/app", "v1")
    untagged = push_image(registry, "team/app")
    clock.advance(hours=2)
    registry.deletion.manifest("team/app", untagged.digest)
    push_image(registry, "team/app", "v1")
    clock.advance(hours=-1)
    push_image(registry, "team/app", "v1")
    registry.undelete.manifest("team/app", untagged.digest)
    before = outbox(registry.metadata)
    empty(registry.metadata)
    replay(registry.metadata)

    after = outbox(registry.metadata)
    assert {name: (each.id, each.sequence) for name, each in after.items()} == {
        name: (each.id, each.sequence) for name, each in before.items() if name in after
    }
    assert len(after) == 7, "three pushes, three moves of the tag, a restore"


def test_the_cost_follows_the_range(registry: Registry, clock: FakeClock) -> None:
    image = push_image(registry, "team/app", "v1")
    for number in range(300):
        clock.advance(seconds=1)
        registry.push.tag("team/app", image.digest, f"v{number + 2}", PUSH)
    empty(registry.metadata)
    recorded = RecordedMetadata(registry.metadata)
    (outcome,) = replay(recorded, "team/app", range=TimeRange(clock.time - timedelta(seconds=9), clock.time))

    assert outcome == Replayed("team/app", 10, 10)
    # A page of the history, of manifests and of tombstones; the batch is read and committed.
    assert recorded.calls == ["find", "find", "find", "read", "commit"]


def test_events_are_created_in_batches(registry: Registry, clock: FakeClock) -> None:
    image = push_image(registry, "team/app", "v1")
    rows = [
        TagEvent(
            id=f"{number:017d}-{number:010d}-v1",
            repository="team/app",
            tag="v1",
            number=number,
            digest=image.digest,
            before="",
            action="push",
            moved=clock.time,
        )
        for number in range(1, 2 * BATCH_SIZE + 1)
    ]
    for start in range(0, len(rows), BATCH_SIZE):
        registry.metadata.commit([Create(each) for each in rows[start : start + BATCH_SIZE]])
    empty(registry.metadata)
    recorded = RecordedMetadata(registry.metadata)
    far = TimeRange(START - timedelta(days=9), datetime(2286, 11, 20, 17, 46, 40, tzinfo=UTC))
    (outcome,) = replay(recorded, "team/app", range=far)

    assert outcome.created == 2 * BATCH_SIZE + 2
    assert recorded.calls.count("commit") == 3


def test_a_repository_with_too_many_events_is_refused_before_any_is_put(
    registry: Registry, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    change_all_kinds(registry, clock)
    empty(registry.metadata)
    whole = Replay(registry.metadata, ALWAYS)
    monkeypatch.setattr("lading.events.replay.MAX_EVENTS", 9)
    for refused in (lambda: replay(registry.metadata, "team/app"), lambda: whole.count(["team/app"])):
        with pytest.raises(TooManyEvents, match="team/app has more than 9 events in this time; replay it in parts"):
            refused()
    assert outbox(registry.metadata) == {}
    parts = (TimeRange(START, START + timedelta(seconds=5)), TimeRange(START + timedelta(seconds=6), clock.time))
    assert sum(replay(registry.metadata, "team/app", range=each)[0].created for each in parts) == 10
    monkeypatch.setattr("lading.events.replay.MAX_EVENTS", 10)
    assert replay(registry.metadata, "team/app") == [Replayed("team/app", 10, 0)]


@pytest.fixture
def run(registry: Registry, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """Runs the command in this process; returns its status, output and errors."""
    monkeypatch.setattr(events_replay, "metadata", lambda settings, upgrade: registry.metadata)
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)
    monkeypatch.setattr(options, "_user_name", lambda: "alice")

    def run(*more: str) -> tuple[int, str, str]:
        status = cli.main(["events", "replay", "--since", "2026-11-01T00:00:00Z", *more])
        return status, *capfd.readouterr()

    return run


def test_the_command(registry: Registry, clock: FakeClock, run: Run) -> None:
    change_all_kinds(registry, clock)
    empty(registry.metadata)
    until = ["--until", "2026-11-02T00:00:00Z"]

    status, output, errors = run(*until, "--dry-run", "--repository", "team/app")
    assert output.endswith("10 events would be put into the outbox, from which they are published\n")
    assert (status, errors, outbox(registry.metadata)) == (0, "", {})

    status, output, errors = run(*until, "--repository", "team/app", "--json")
    assert (status, output) == (0, '{"repository": "team/app", "events": 10, "created": 10}\n')
    assert (
        "audit outcome=allowed status=- client=- user=- principal=alice%20(lading%20replay) action=manage "
        "repository=team/app reference=2026-11-01T00:00:00.000000Z/2026-11-02T00:00:00.000000Z change=events-replayed "
    ) in errors
    assert run(*until, "--repository", "team/app")[2] == "", "nothing was put"

    assert run(*until)[1].splitlines()[1:] == [
        "team/app        10        0",
        "team/web        10       10",
        "10 events were put into the outbox, from which they are published",
    ]
    assert run("--repository", "team/app:v1")[0] == 1
    assert run("--repository", "team/typo")[2].startswith("lading: there is no repository team/typo")
    assert run("--until", "2026-10-01T00:00:00Z")[2].startswith("lading: --since")


def test_the_command_refuses_too_many_events(
    registry: Registry, clock: FakeClock, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    change_all_kinds(registry, clock)
    empty(registry.metadata)
    monkeypatch.setattr("lading.events.replay.MAX_EVENTS", 9)
    for words in ([], ["--dry-run"], ["--repository", "team/app"]):
        status, _, errors = run(*words)
        assert (status, errors.startswith("lading: team/app has more than 9 events")) == (1, True)
    assert outbox(registry.metadata) == {}


def test_a_large_replay_of_the_whole_registry_needs_a_confirmation(
    registry: Registry, clock: FakeClock, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    change_all_kinds(registry, clock)
    empty(registry.metadata)
    monkeypatch.setattr(events_replay, "MAX_UNCONFIRMED", 19)
    assert run()[0] == Unconfirmed.status
    assert outbox(registry.metadata) == {}
    assert run("--yes")[0] == 0
    assert len(outbox(registry.metadata)) == 20

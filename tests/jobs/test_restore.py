"""What a restore does to a registry that goes on: history, tombstones, immutable tags, robots, crashes."""

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from lading.jobs.backup import BackupRefused, RestoreOptions, back_up, restore
from lading.jobs.backup.batch_restore import BatchRestore
from lading.jobs.backup.restoration import Restore
from lading.jobs.gc.collect import Collector
from lading.jobs.gc.sweep import GracePeriods
from lading.registry.change_context import ChangeContext, now
from lading.registry.content.manifest_format import OCI_ARTIFACT, OCI_MANIFEST
from lading.registry.content.manifests import Put
from lading.registry.registry import Registry
from lading.registry.rules.changes import REGISTRY, RulesDocument, Values, change_rules
from lading.registry.rules.effective import LocalRules
from lading.registry.rules.immutable import ImmutableTags
from lading_storage.errors import ObjectNotFound
from lading_storage.protocols import Create, Delete
from lading_storage.query import Query
from lading_storage.records.core import Key, Upload
from lading_storage.records.deleted import DeletedManifest, DeletedTag, TagEvent, TagHistory
from lading_storage.records.events import Webhook
from lading_storage.records.robots import Robot
from lading_storage.stores import Stores
from tests.jobs.backup_content import assert_intact, push_everything
from tests.support import images
from tests.support.fake_clock import FakeClock
from tests.support.folder_stores import folder_stores
from tests.support.invariants import Snapshot, assert_no_garbage
from tests.support.registry_pushes import pull_blob, push_blob, push_image
from tests.support.store_hooks import hooked, recorder

ALICE = RestoreOptions(ChangeContext("restore", "alice"))
ZERO = timedelta(0)


def moves(registry: Registry, tag: str = "v1") -> list[tuple[int, str, str]]:
    return [(move.number, move.action, move.digest) for move in registry.tags.history("a", tag, "", 99).items]


def test_a_tag_that_was_deleted_comes_back_as_a_row_of_history(
    stores: Stores, registry: Registry, tmp_path: Path
) -> None:
    digest = push_image(registry, "a", "v1").digest
    back_up(stores, tmp_path / "backup")
    registry.tags.delete("a", "v1")
    gone = now()

    report = restore(tmp_path / "backup", stores, ALICE)

    assert report.tags == 1
    assert moves(registry) == [(3, "restore", digest), (2, "delete", ""), (1, "push", digest)]
    assert registry.tags.history("a", "v1", "", 1).items[0].by == "alice"
    assert registry.tags.digest_at("a", "v1", now()) == digest
    with pytest.raises(Exception, match="deleted by then"):
        registry.tags.digest_at("a", "v1", gone)
    assert stores.metadata.find(Query(DeletedTag, repository="a", limit=9)) == []
    push_image(registry, "a", "v1")
    assert [number for number, _, _ in moves(registry)] == [4, 3, 2, 1]


def test_a_manifest_that_was_deleted_comes_back_without_its_tombstone(
    stores: Stores, registry: Registry, tmp_path: Path
) -> None:
    image = push_image(registry, "a", "v1", layers=2)
    back_up(stores, tmp_path / "backup")
    registry.deletion.manifest("a", image.digest)

    restore(tmp_path / "backup", stores, ALICE)

    assert registry.manifests.find("a", "v1").digest == image.digest
    assert all(pull_blob(registry, "a", blob) for blob in image.blobs)
    assert stores.metadata.find(Query(DeletedManifest, repository="a", limit=9)) == []
    assert stores.metadata.find(Query(DeletedTag, repository="a", limit=9)) == []
    assert moves(registry)[0] == (3, "restore", image.digest)


def test_a_tag_of_an_empty_registry_comes_back_with_its_history_as_it_was(
    stores: Stores, registry: Registry, other: Stores, tmp_path: Path
) -> None:
    for _ in range(3):
        push_image(registry, "a", "v1")
    back_up(stores, tmp_path / "backup")

    restore(tmp_path / "backup", other, ALICE)

    assert moves(Registry(other.blobs, other.metadata)) == moves(registry)


def test_an_immutable_tag_is_put_back_only_as_what_it_named_last(
    stores: Stores, registry: Registry, tmp_path: Path
) -> None:
    old = push_image(registry, "a", "v1").digest
    push_image(registry, "a", "v2")
    back_up(stores, tmp_path / "backup")
    newer = push_image(registry, "a", "v1").digest
    for tag in ("v1", "v2"):
        registry.tags.delete("a", tag)

    report = restore(
        tmp_path / "backup",
        stores,
        RestoreOptions(ChangeContext("restore", "alice"), LocalRules(ImmutableTags.parse(["a:v*"]))),
    )

    assert (report.immutable_tags_skipped, report.tags) == (1, 1)
    assert registry.tags.names("a", "", 9).items == ["v2"]
    assert "immutable" in str(report)
    restore(tmp_path / "backup", stores, ALICE)
    assert moves(registry)[0] == (4, "restore", old)
    assert newer != old


def test_a_history_that_was_half_restored_is_finished(
    registry: Registry, stores: Stores, other: Stores, tmp_path: Path
) -> None:
    for _ in range(7):
        push_image(registry, "a", "v1")
    back_up(stores, tmp_path / "backup")
    source = folder_stores(tmp_path / "backup")
    rows = sorted(source.metadata.find(Query(TagEvent, repository="a", limit=99)), key=lambda move: move.number)
    other.metadata.commit(
        [
            *(Create(row) for row in rows[:3]),
            Create(TagHistory(id="v1", repository="a", moves=3, moved=rows[2].moved)),
        ]
    )
    source.close()

    restore(tmp_path / "backup", other, ALICE)

    assert moves(Registry(other.blobs, other.metadata)) == moves(registry)


def test_a_history_that_went_another_way_is_left(
    registry: Registry, stores: Stores, other: Stores, tmp_path: Path
) -> None:
    for _ in range(3):
        push_image(registry, "a", "v1")
    back_up(stores, tmp_path / "backup")
    own = Registry(other.blobs, other.metadata)
    push_image(own, "a", "v1")
    own.tags.delete("a", "v1")
    before = moves(own)

    restore(tmp_path / "backup", other, ALICE)

    assert moves(own)[1:] == before
    assert moves(own)[0] == (3, "restore", registry.manifests.find("a", "v1").digest)


def test_robots_come_back_before_the_first_tag_and_into_an_empty_registry_alone(
    registry: Registry, stores: Stores, other: Stores, tmp_path: Path
) -> None:
    robot = Robot(id="ci", mac="00", repositories=("team/*",), actions=("pull",), created=now())
    stores.metadata.commit([Create(robot)])
    push_image(registry, "a", "v1")
    back_up(stores, tmp_path / "backup")

    def killed(self: Restore, repository: object) -> None:
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Restore, "_repository", killed)
        with pytest.raises(KeyboardInterrupt):
            restore(tmp_path / "backup", other)
    assert other.metadata.find(Query(Robot, limit=9)) == [robot]

    (made,) = stores.metadata.find(Query(Robot, limit=9))
    stores.metadata.commit([Delete(made)])
    report = restore(tmp_path / "backup", stores)
    assert stores.metadata.find(Query(Robot, limit=9)) == [], "it may have been revoked"
    assert report.robots_skipped == 1
    assert "skipped 1 robot," in str(report)


def test_webhooks_come_back_before_the_first_tag(
    registry: Registry, stores: Stores, other: Stores, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So none of them misses the event of a tag that is restored."""
    webhook = Webhook(id="ci", url="https://ci.example.com/", secrets=("sealed",), types=("tag.*",), created=now())
    stores.metadata.commit([Create(webhook)])
    push_image(registry, "a", "v1")
    back_up(stores, tmp_path / "backup")
    found = list[list[Webhook]]()

    def note(self: Restore, repository: object) -> None:
        found.append(other.metadata.find(Query(Webhook, limit=9)))

    monkeypatch.setattr(Restore, "_repository", note)
    restore(tmp_path / "backup", other)
    assert found == [[webhook]]


def test_rules_that_are_not_restored_are_reported(
    registry: Registry, stores: Stores, other: Stores, tmp_path: Path
) -> None:
    push_image(registry, "team/app", "v1")
    backed_up: dict[str, Values] = {REGISTRY: {"immutable": ("*:v*",)}, "team": {"immutable": ("*:x",)}}
    change_rules(stores.metadata, RulesDocument(backed_up), "alice", now)
    back_up(stores, tmp_path / "backup")
    change_rules(other.metadata, RulesDocument({REGISTRY: {"undelete": 86_400}}), "alice", now)

    report = restore(tmp_path / "backup", other)

    assert report.rules_skipped == 1
    assert "kept 1 section of rules other than the backup's" in str(report)
    change_rules(other.metadata, RulesDocument({REGISTRY: backed_up[REGISTRY], "team": {}}), "alice", now)
    assert restore(tmp_path / "backup", other).rules_skipped == 1, "those of the namespace"
    change_rules(other.metadata, RulesDocument(backed_up), "alice", now)
    assert restore(tmp_path / "backup", other).rules_skipped == 0


def nothing(self: BatchRestore, repository: str) -> Iterator[None]:
    """Puts nothing back in batches."""
    yield from ()


@pytest.mark.parametrize("batches", [True, False])
def test_a_killed_restore_leaves_nothing_that_collection_does_not_find(
    batches: bool, registry: Registry, stores: Stores, tmp_path: Path
) -> None:
    source = folder_stores(tmp_path / "source")
    push_image(Registry(source.blobs, source.metadata), "a", "v1", layers=3)
    back_up(source, tmp_path / "backup")
    source.close()
    ensure = Restore._create_if_absent

    def killed(self: Restore, record: object) -> bool:
        if type(record).__name__ == "Blob":
            raise KeyboardInterrupt
        return ensure(self, record)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Restore, "_create_if_absent", killed)
        if batches:
            patched.setattr(BatchRestore, "_commit", lambda self, writes: killed(self, next(iter(writes)).record))
        else:
            patched.setattr(BatchRestore, "blobs", nothing)
        with pytest.raises(KeyboardInterrupt):
            restore(tmp_path / "backup", stores)
    assert len(stores.blobs.names("", limit=9)) == (4 if batches else 1)

    for _ in range(2):
        report = Collector(registry, GracePeriods(ZERO, ZERO, ZERO, ZERO)).run()
        assert report is not None

    assert stores.blobs.names("", limit=9) == []
    assert stores.metadata.find(Query(Upload, limit=9)) == []
    restore(tmp_path / "backup", stores)
    for _ in range(2):
        Collector(registry, GracePeriods(ZERO, ZERO, ZERO, ZERO)).run()
    assert registry.manifests.find("a", "v1")
    assert len(stores.blobs.names("", limit=9)) == 4
    assert stores.metadata.find(Query(Upload, limit=9)) == []


def test_what_is_short_or_marked_as_damaged_is_put_back(other: Stores, tmp_path: Path) -> None:
    registry = Registry(other.blobs, other.metadata)
    image = push_image(registry, "a", "v1")
    back_up(other, tmp_path / "backup")
    link = registry.blobs.get("a", image.blobs[-1])
    path = tmp_path / "other" / "blobs" / link.object[:2] / link.object
    path.write_bytes(path.read_bytes()[:-1])

    report = restore(tmp_path / "backup", other)

    assert report.blobs == 1
    assert pull_blob(registry, "a", image.blobs[-1])


def test_nothing_is_made_where_there_is_no_backup_to_restore(tmp_path: Path) -> None:
    def make() -> Stores:
        raise AssertionError("nothing is to be made")

    with pytest.raises(ObjectNotFound, match="no backup at"):
        restore(tmp_path / "absent", make)
    assert list(tmp_path.iterdir()) == []
    data = folder_stores(tmp_path / "data")
    with pytest.raises(BackupRefused, match="the registry itself"):
        restore(tmp_path / "data", data)
    data.close()


@pytest.mark.parametrize("batches", [True, False])
def test_many_commits_are_one_where_nothing_is_there(
    batches: bool, registry: Registry, stores: Stores, other: Stores, tmp_path: Path
) -> None:
    contents = push_everything(registry)
    for number in range(20):
        push_image(registry, "team/app", f"t{number}", layers=2)
    back_up(stores, tmp_path / "backup")
    calls: list[str] = []
    counted = hooked(other, recorder(calls))
    with pytest.MonkeyPatch.context() as patched:
        if not batches:
            for name in ("blobs", "manifests", "tags"):
                patched.setattr(BatchRestore, name, nothing)
        report = restore(tmp_path / "backup", counted)

    copy = Registry(other.blobs, other.metadata)
    assert_intact(copy, contents)
    assert (report.tags, report.manifests, report.repositories) == (24, 26, 2)
    for tag in copy.tags.names("team/app", "", 99).items:
        assert copy.tags.history("team/app", tag, "", 9) == registry.tags.history("team/app", tag, "", 9)
    assert calls.count("commit") < 25 if batches else calls.count("commit") > 100


def test_a_session_of_a_restore_ends_with_it(stores: Stores, registry: Registry, other: Stores, tmp_path: Path) -> None:
    push_image(registry, "a", "v1")
    back_up(stores, tmp_path / "backup")

    restore(tmp_path / "backup", other)

    (session,) = other.metadata.find(Query(Upload, limit=9))
    assert session.cancelled
    assert other.metadata.read([Key(Upload, session.id)])[Key(Upload, session.id)] == session


def test_what_the_target_deleted_as_another_type_of_the_same_bytes_is_collected(
    stores: Stores, registry: Registry, other: Stores, tmp_path: Path
) -> None:
    """The tombstone goes with what is put back, and with it what leads to the links that only that type named."""
    content = json.dumps({"schemaVersion": 2, "config": images.descriptor(images.EMPTY_CONFIG), "layers": []}).encode()
    registry.manifests.put("a", Put(content, OCI_ARTIFACT, "", ["v1"]))
    back_up(stores, tmp_path / "backup")
    clock = FakeClock()
    clock.time = now()
    target = Registry(other.blobs, other.metadata, clock=clock)
    push_blob(target, "a", images.EMPTY_CONFIG)
    image = target.manifests.put("a", Put(content, OCI_MANIFEST))
    target.deletion.manifest("a", image.digest)

    restore(tmp_path / "backup", other, ALICE)

    for hours in (2, 25, 2):
        clock.advance(hours=hours)
        assert Collector(target, GracePeriods(), clock=clock).run() is not None
    assert target.manifests.find("a", "v1").media_type == OCI_ARTIFACT
    assert_no_garbage(Snapshot(other, ["a"]))

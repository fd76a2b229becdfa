"""Backups, from each pair of stores and back into it."""

import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from lading.jobs.backup import back_up, restore
from lading.jobs.gc.collect import Collector
from lading.jobs.gc.sweep import GracePeriods
from lading.registry.registry import Registry
from lading_storage.digests import digest_of
from lading_storage.errors import ObjectNotFound, Unavailable
from lading_storage.local import sqlite_backup
from lading_storage.query import Query
from lading_storage.records.core import Manifest
from lading_storage.stores import Stores
from tests.jobs.backup_content import assert_intact, push_everything
from tests.support import images
from tests.support.folder_stores import folder_stores
from tests.support.registry_pushes import pull_blob, push_image

ZERO = timedelta(0)


def test_what_was_backed_up_is_put_back_whole(
    stores: Stores, registry: Registry, other: Stores, tmp_path: Path
) -> None:
    contents = push_everything(registry)
    before = registry.manifests.find("team/app", "v1")

    back_up(stores, tmp_path / "backup")
    report = restore(tmp_path / "backup", other)

    copy = Registry(other.blobs, other.metadata)
    assert_intact(copy, contents)
    assert copy.tags.names("team/app", "", 10).items == ["nested", "v1", "v2"]
    assert copy.manifests.find("team/app", "v1") == before, "times included"
    assert len(copy.manifests.referrers("team/app", digest_of(images.index([])), "", "").items) == 0
    assert (report.repositories, report.tags) == (2, 4)
    for repository, tag in (("team/app", "v1"), ("b", "large")):
        assert copy.tags.history(repository, tag, "", 9) == registry.tags.history(repository, tag, "", 9)
    push_image(copy, "team/app", "v1")
    assert [move.number for move in copy.tags.history("team/app", "v1", "", 9).items] == [2, 1]


def test_a_backup_goes_back_into_either_pair_of_stores(
    stores: Stores, registry: Registry, other: Stores, tmp_path: Path
) -> None:
    source = Registry(other.blobs, other.metadata)
    contents = push_everything(source)
    source.last_pulls.record_pull("team/app", next(iter(contents)).partition("@")[2])

    back_up(other, tmp_path / "backup")
    restore(tmp_path / "backup", stores)

    assert_intact(registry, contents)
    pulled = {node.digest: node.pulled for node in source.inventory.nodes("team/app")}
    assert any(pulled.values())
    assert {node.digest: node.pulled for node in registry.inventory.nodes("team/app")} == pulled


def test_a_backup_is_a_data_folder(stores: Stores, registry: Registry, tmp_path: Path) -> None:
    contents = push_everything(registry)
    back_up(stores, tmp_path / "backup")

    served = folder_stores(tmp_path / "backup")
    assert_intact(Registry(served.blobs, served.metadata), contents)
    served.close()


def test_the_next_backup_copies_only_what_is_new_and_forgets_what_is_deleted(
    stores: Stores, registry: Registry, tmp_path: Path
) -> None:
    push_image(registry, "a", "old", layers=2)
    first = back_up(stores, tmp_path / "backup")
    new = push_image(registry, "a", "new", layers=1)
    registry.tags.delete("a", "old")

    second = back_up(stores, tmp_path / "backup")

    assert (first.blobs, second.blobs) == (3, 1)
    served = folder_stores(tmp_path / "backup")
    copy = Registry(served.blobs, served.metadata)
    assert copy.tags.names("a", "", 10).items == ["new"]
    assert copy.manifests.find("a", "new").digest == new.digest
    served.close()


def test_restoring_changes_nothing_that_is_there(stores: Stores, registry: Registry, tmp_path: Path) -> None:
    push_image(registry, "a", "v1")
    back_up(stores, tmp_path / "backup")
    newer = push_image(registry, "a", "v1")

    report = restore(tmp_path / "backup", stores)

    assert registry.manifests.find("a", "v1").digest == newer.digest
    assert report.tags_skipped == 1
    assert "skipped 1 tag," in str(report)


def test_what_was_deleted_comes_back(stores: Stores, registry: Registry, tmp_path: Path) -> None:
    image = push_image(registry, "a", "v1")
    back_up(stores, tmp_path / "backup")
    registry.deletion.manifest("a", image.digest)
    for _ in range(3):
        Collector(registry, GracePeriods(ZERO, ZERO, ZERO, ZERO)).run()
    assert stores.blobs.names("", limit=9) == [], "it is gone for good"

    restore(tmp_path / "backup", stores)

    assert_intact(registry, {f"a@{image.digest}": image.content or b""})
    assert registry.manifests.find("a", "v1").digest == image.digest


def test_a_repository_that_was_deleted_is_listed_again(stores: Stores, registry: Registry, tmp_path: Path) -> None:
    push_image(registry, "a", "v1")
    back_up(stores, tmp_path / "backup")
    registry.deletion.repository("a")
    assert registry.repositories("", 10).items == []

    restore(tmp_path / "backup", stores)

    assert registry.repositories("", 10).items == ["a"]
    assert registry.tags.names("a", "", 10).items == ["v1"]


def test_a_backup_taken_while_serving_is_whole(stores: Stores, registry: Registry, tmp_path: Path) -> None:
    stop = threading.Event()

    def keep_changing() -> None:
        while not stop.is_set():
            image = push_image(registry, "a", "moving", layers=2)
            previous = push_image(registry, "a", "gone")
            registry.deletion.manifest("a", previous.digest)
            assert image.digest

    push_image(registry, "a", "steady")
    writers = [threading.Thread(target=keep_changing) for _ in range(3)]
    for writer in writers:
        writer.start()
    try:
        for number in range(3):
            back_up(stores, tmp_path / f"backup{number}")
    finally:
        stop.set()
        for writer in writers:
            writer.join()

    for number in range(3):
        served = folder_stores(tmp_path / f"backup{number}")
        copy = Registry(served.blobs, served.metadata)
        tags = copy.tags.names("a", "", 10).items
        assert "steady" in tags
        for tag in tags:
            copy.manifests.find("a", copy.manifests.find("a", tag).digest)
        for manifest in served.metadata.find(Query(Manifest, repository="a", limit=1000)):
            assert all(digest_of(pull_blob(copy, "a", blob)) == blob for blob in manifest.blobs)
        served.close()


def object_of(store: Stores, repository: str, digest: str, folder: Path) -> Path:
    """The file of a blob."""
    link = Registry(store.blobs, store.metadata).blobs.get(repository, digest)
    return folder / "blobs" / link.object[:2] / link.object


@pytest.mark.parametrize("rot", [lambda path: path.write_bytes(b"x" + path.read_bytes()[1:]), Path.unlink])
def test_bytes_that_have_rotted_or_are_lost_are_left_out_with_what_needs_them_alone(
    stores: Stores, registry: Registry, tmp_path: Path, rot: Callable[[Path], object]
) -> None:
    before, image, after = (push_image(registry, repository, "v1") for repository in "abc")
    back_up(stores, tmp_path / "backup")
    copy = folder_stores(tmp_path / "backup")
    rot(object_of(copy, "b", image.blobs[-1], tmp_path / "backup"))
    target, again = folder_stores(tmp_path / "target"), folder_stores(tmp_path / "again")

    restored = restore(tmp_path / "backup", target)
    backed_up = back_up(copy, tmp_path / "next")
    restore(tmp_path / "next", again)

    for report, store in ((restored, target), (backed_up, again)):
        assert report.damaged == {image.blobs[-1]}
        assert image.blobs[-1] in str(report)
        found = Registry(store.blobs, store.metadata)
        assert_intact(found, {f"a@{before.digest}": before.content or b"", f"c@{after.digest}": after.content or b""})
        assert found.tags.names("c", "", 10).items == ["v1"]
        assert store.metadata.find(Query(Manifest, repository="b", limit=9)) == []
        store.close()
    copy.close()


def test_bytes_that_the_registry_has_lost_are_put_back(other: Stores, tmp_path: Path) -> None:
    registry = Registry(other.blobs, other.metadata)
    image = push_image(registry, "a", "v1")
    back_up(other, tmp_path / "backup")
    object_of(other, "a", image.blobs[-1], tmp_path / "other").unlink()

    report = restore(tmp_path / "backup", other)

    assert report.blobs == 1
    assert_intact(registry, {f"a@{image.digest}": image.content or b""})


def test_a_backup_that_fails_at_the_end_leaves_the_earlier_one(
    registry: Registry, stores: Stores, tmp_path: Path
) -> None:
    push_image(registry, "a", "v1")
    back_up(stores, tmp_path / "backup")
    push_image(registry, "a", "v2")

    def fail(source: Path, target: Path, progress: object) -> None:
        raise Unavailable("the disk is full")

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(sqlite_backup, "overwrite", fail)
        with pytest.raises(Unavailable):
            back_up(stores, tmp_path / "backup")

    copy = folder_stores(tmp_path / "backup")
    assert Registry(copy.blobs, copy.metadata).tags.names("a", "", 10).items == ["v1"]
    copy.close()
    assert back_up(stores, tmp_path / "backup").tags == 2


def test_what_runs_is_part_of_it(registry: Registry, stores: Stores, other: Stores, tmp_path: Path) -> None:
    registry.in_use_reports.report("cluster-1", ["team/app:v1"])
    back_up(stores, tmp_path / "backup")

    restore(tmp_path / "backup", other)

    (running,) = Registry(other.blobs, other.metadata).in_use_reports.all()
    assert (running.id, running.references) == ("cluster-1", ("team/app:v1",))


def test_a_folder_without_a_backup_is_said_to_be_one(stores: Stores, tmp_path: Path) -> None:
    with pytest.raises(ObjectNotFound, match="no backup at"):
        restore(tmp_path, stores)

"""Which folders a backup goes into: empty ones, and backups of this very registry."""

import contextlib
import errno
import fcntl
import os
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from lading.jobs.backup import BackupOptions, BackupRefused, back_up, promote, restore
from lading.jobs.backup.marker import FILE, LOCK, read_marker
from lading.registry.identity import identity_of, known_identity
from lading.registry.registry import Registry
from lading_storage.digests import digest_of
from lading_storage.errors import ObjectNotFound, StoreDamaged, StoreFull, Unavailable
from lading_storage.local.filesystem import FilesystemBlobs
from lading_storage.local.sqlite import SqliteMetadata
from lading_storage.protocols import Create, Delete
from lading_storage.query import Query
from lading_storage.records.core import Record, Tag
from lading_storage.records.deleted import TagHistory
from lading_storage.records.jobs import InUseReport, LastPull
from lading_storage.records.kinds import KINDS
from lading_storage.records.robots import Robot
from lading_storage.stores import Stores
from tests.support.folder_stores import folder_stores
from tests.support.record_examples import EXAMPLES
from tests.support.registry_pushes import push_image


def files(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def foreign_backup(folder: Path) -> Path:
    other = folder_stores(folder.parent / "foreign")
    push_image(Registry(other.blobs, other.metadata), "theirs", "v1")
    back_up(other, folder)
    other.close()
    return folder


def live_registry(folder: Path) -> Path:
    other = folder_stores(folder)
    push_image(Registry(other.blobs, other.metadata), "theirs", "v1")
    other.close()
    return folder


def with_a_file(folder: Path) -> Path:
    folder.mkdir()
    (folder / "thesis.txt").write_text("x")
    return folder


def with_a_broken_marker(folder: Path) -> Path:
    folder.mkdir()
    (folder / FILE).write_text("{")
    return folder


def a_file(folder: Path) -> Path:
    folder.write_text("x")
    return folder


@pytest.mark.parametrize("made", [foreign_backup, live_registry, with_a_file, with_a_broken_marker, a_file])
def test_a_wrong_folder_is_refused_and_left_as_it_is(
    made: Callable[[Path], Path], stores: Stores, registry: Registry, tmp_path: Path
) -> None:
    push_image(registry, "a", "v1")
    folder = made(tmp_path / "wrong")
    before = files(tmp_path / "wrong")

    with pytest.raises(BackupRefused, match="wrong"):
        back_up(stores, folder, BackupOptions(force=True, prune=True))

    assert files(tmp_path / "wrong") == before
    if folder.is_dir():
        assert {path.name for path in folder.iterdir()} & {LOCK} == ({LOCK} if made is foreign_backup else set())


def test_a_folder_that_cannot_be_made_or_written_is_named_in_words(
    stores: Stores, registry: Registry, tmp_path: Path
) -> None:
    push_image(registry, "a", "v1")
    (tmp_path / "file").touch()
    with pytest.raises(Unavailable, match="file"):
        back_up(stores, tmp_path / "file" / "backup")

    def full(folder: Path, marker: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("lading.jobs.backup.run.write_marker", full)
        with pytest.raises(
            StoreFull, match=f"no space left for the backup at {tmp_path / 'backup'}: free some on that disk"
        ):
            back_up(stores, tmp_path / "backup")
    assert back_up(stores, tmp_path / "backup").tags == 1


def overwrite(path: Path) -> None:
    """Leave the first page of a database, and nothing of the others, or of a smaller file."""
    content = path.read_bytes()
    path.write_bytes(content[:4096] + b"x" * (len(content) - 4096) if len(content) > 4096 else b"x")


@pytest.mark.parametrize("name", ["metadata.sqlite", "blobs/LAYOUT"])
def test_a_damaged_backup_is_told_from_a_damaged_registry(
    name: str, stores: Stores, registry: Registry, tmp_path: Path
) -> None:
    push_image(registry, "a", "v1")
    folder = tmp_path / "backup"
    back_up(stores, folder)
    overwrite(folder / name)

    with pytest.raises(BackupRefused, match=f"{folder / name} is damaged .* the backup's, not .* move {folder} away"):
        back_up(stores, folder)
    with pytest.raises(StoreDamaged, match=f"{folder / name} is damaged"):
        restore(folder, stores)
    assert back_up(stores, tmp_path / "new").tags == 1


def test_a_backup_whose_index_says_that_there_is_nothing_is_not_restored(stores: Stores, tmp_path: Path) -> None:
    with contextlib.closing(folder_stores(tmp_path / "data")) as source:
        push_image(Registry(source.blobs, source.metadata), "a", "v1")
        back_up(source, tmp_path / "backup")
    path = tmp_path / "backup" / "metadata.sqlite"
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA writable_schema = ON")
        # An index over other rows than it says, as one whose pages are not the newest.
        connection.execute("UPDATE sqlite_schema SET sql = sql || ' WHERE kind < 0' WHERE name = 'listing'")
        connection.commit()
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("REINDEX listing")
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute("UPDATE sqlite_schema SET sql = replace(sql, ' WHERE kind < 0', '') WHERE name = 'listing'")
        connection.commit()
    with contextlib.closing(folder_stores(tmp_path / "backup")) as copy:
        assert copy.metadata.find(Query(Tag, repository="a", limit=9)) == []

    for act in (lambda: restore(tmp_path / "backup", stores), lambda: promote(tmp_path / "backup")):
        with pytest.raises(StoreDamaged, match=rf"{path} is damaged \(SQLite: .*index listing.*\): use another backup"):
            act()


def test_a_damaged_registry_is_told_from_a_damaged_backup(tmp_path: Path) -> None:
    stores = folder_stores(tmp_path / "data")
    push_image(Registry(stores.blobs, stores.metadata), "a", "v1")
    back_up(stores, tmp_path / "backup")
    with contextlib.closing(sqlite3.connect(tmp_path / "data" / "metadata.sqlite")) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        (root,) = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'lookups'").fetchone()
    with (tmp_path / "data" / "metadata.sqlite").open("r+b") as file:
        file.seek((root - 1) * 4096)
        file.write(b"x" * 4096)

    with pytest.raises(StoreDamaged, match=f"{tmp_path / 'data' / 'metadata.sqlite'} is damaged"):
        back_up(stores, tmp_path / "backup")
    stores.close()


def test_a_registry_is_not_backed_up_into_itself(tmp_path: Path) -> None:
    stores = folder_stores(tmp_path / "data")
    push_image(Registry(stores.blobs, stores.metadata), "a", "v1")
    (tmp_path / "link").symlink_to(tmp_path / "data")

    for folder in (
        tmp_path / "data",
        tmp_path / "link",
        tmp_path / "data" / "blobs" / "ab",
        tmp_path / "data" / "blobs",
    ):
        with pytest.raises(BackupRefused):
            back_up(stores, folder)
        with pytest.raises((BackupRefused, ObjectNotFound)):
            restore(folder, stores)

    assert Registry(stores.blobs, stores.metadata).tags.names("a", "", 9).items == ["v1"]
    stores.close()
    backup = folder_stores(tmp_path / "data")
    back_up(backup, tmp_path / "backup")
    standby = folder_stores(tmp_path / "backup")
    with pytest.raises(BackupRefused, match="the registry itself"):
        back_up(standby, tmp_path / "backup")
    backup.close()
    standby.close()


def test_a_folder_that_a_killed_first_backup_left_counts_as_empty(
    stores: Stores, registry: Registry, tmp_path: Path
) -> None:
    push_image(registry, "a", "v1")
    (tmp_path / "backup" / "lost+found").mkdir(parents=True)
    (tmp_path / "backup" / LOCK).touch()
    # A full disk, or a crash, before the marker has its name.
    (tmp_path / "backup" / f"{FILE}.new").touch()

    assert back_up(stores, tmp_path / "backup").tags == 1


def test_the_marker_says_whose_backup_it_is(stores: Stores, tmp_path: Path) -> None:
    back_up(stores, tmp_path / "backup", BackupOptions(origin="somewhere"))

    marker = read_marker(tmp_path / "backup")
    assert marker is not None
    assert marker.registry == identity_of(stores.metadata)
    assert (marker.origin, bool(marker.finished)) == ("somewhere", True)


def test_of_two_backups_at_once_one_is_refused(stores: Stores, registry: Registry, tmp_path: Path) -> None:
    push_image(registry, "a", "v1")
    back_up(stores, tmp_path / "backup")
    holder = os.open(tmp_path / "backup" / LOCK, os.O_RDWR)
    fcntl.flock(holder, fcntl.LOCK_EX)

    with pytest.raises(BackupRefused, match="is running"):
        back_up(stores, tmp_path / "backup")
    with pytest.raises(BackupRefused, match="is running"):
        promote(tmp_path / "backup")
    with pytest.raises(BackupRefused, match="is running"):
        restore(tmp_path / "backup", stores)

    os.close(holder)
    assert back_up(stores, tmp_path / "backup").tags == 1


@pytest.mark.parametrize("what", ["repositories", "tags", "manifests"])
def test_a_backup_that_loses_more_than_half_wants_force(
    what: str, stores: Stores, registry: Registry, tmp_path: Path
) -> None:
    names = {"repositories": ["a", "b", "c"], "tags": ["a"], "manifests": ["a"]}[what]
    for repository in names:
        for tag in ("v1", "v2", "v3"):
            push_image(registry, repository, tag)
    back_up(stores, tmp_path / "backup")
    if what == "repositories":
        for each in ("a", "b"):
            registry.deletion.repository(each)
    elif what == "tags":
        for each in ("v1", "v2"):
            registry.tags.delete("a", each)
    else:
        for each in ("v1", "v2"):
            registry.deletion.manifest("a", registry.manifests.find("a", each).digest)

    with pytest.raises(BackupRefused, match="--force"):
        back_up(stores, tmp_path / "backup")

    kept = folder_stores(tmp_path / "backup")
    assert len(kept.metadata.find(Query(Tag, repository="a", limit=9))) == 3
    kept.close()
    assert back_up(stores, tmp_path / "backup", BackupOptions(force=True)).tags == (3 if what == "repositories" else 1)


@pytest.mark.parametrize("kind", [Robot, InUseReport, LastPull, TagHistory])
def test_a_kind_that_shrinks_by_more_than_half_asks_for_force(
    kind: type[Record], stores: Stores, registry: Registry, tmp_path: Path
) -> None:
    push_image(registry, "a", "v1")
    example, repository = next(each for each in EXAMPLES if type(each) is kind), "a" if kind.IN_REPOSITORY else ""
    left = len(stores.metadata.find(Query(kind, repository=repository, limit=9)))
    for name in ("x", "y", "z"):
        id = digest_of(name.encode()) if kind is LastPull else name
        stores.metadata.commit([Create(replace(example, id=id, repository=repository))])
    back_up(stores, tmp_path / "backup")
    for record in stores.metadata.find(Query(kind, repository=repository, limit=9)):
        if record.id in ("x", "y", "z") or kind is LastPull:
            stores.metadata.commit([Delete(record)])

    with pytest.raises(BackupRefused, match=f"has {left + 3} {kind.KIND}, and this one would have {left};"):
        back_up(stores, tmp_path / "backup")
    assert back_up(stores, tmp_path / "backup", BackupOptions(force=True)).repositories == 1


def test_a_promoted_backup_is_a_registry_of_its_own(stores: Stores, registry: Registry, tmp_path: Path) -> None:
    image = push_image(registry, "a", "v1")
    back_up(stores, tmp_path / "backup")
    before = identity_of(stores.metadata)

    identity = promote(tmp_path / "backup")

    assert read_marker(tmp_path / "backup") is None
    own = folder_stores(tmp_path / "backup")
    assert (known_identity(own.metadata), identity != before) == (identity, True)
    assert Registry(own.blobs, own.metadata).manifests.find("a", "v1").digest == image.digest
    own.close()
    with pytest.raises(BackupRefused, match="not a backup"):
        back_up(stores, tmp_path / "backup")
    with pytest.raises(BackupRefused, match="not a backup"):
        promote(tmp_path / "backup")


def test_a_promotion_that_was_interrupted_lets_no_backup_in_and_can_be_done_again(
    stores: Stores, registry: Registry, tmp_path: Path
) -> None:
    push_image(registry, "a", "v1")
    back_up(stores, tmp_path / "backup")

    def killed(folder: Path) -> None:
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("lading.jobs.backup.promotion.remove_marker", killed)
        with pytest.raises(KeyboardInterrupt):
            promote(tmp_path / "backup")

    with pytest.raises(BackupRefused, match="promote it again"):
        back_up(stores, tmp_path / "backup")
    promote(tmp_path / "backup")
    assert read_marker(tmp_path / "backup") is None


def test_what_is_no_backup_is_not_promoted(tmp_path: Path) -> None:
    for folder in (tmp_path / "absent", tmp_path):
        with pytest.raises(BackupRefused, match="not a backup"):
            promote(folder)
    assert not (tmp_path / "absent").exists()


def test_every_kind_is_part_of_a_backup_or_says_why_it_is_not() -> None:
    assert {kind.KIND for kind in KINDS if kind.NOT_IN_BACKUP} == {
        "uploads",
        "deleted_manifests",
        "deleted_tags",
        "deleted_links",
        "jobs",
        "events",
        "published_events",
        "deliveries",
        "stalled_repositories",
        "layer_scans",
        "trust",
    }
    for kind in KINDS:
        examples = [record for record in EXAMPLES if type(record) is kind]
        assert {bool(record.repository) for record in examples} == {kind.IN_REPOSITORY}, kind


def test_a_registry_keeps_its_identity(stores: Stores, tmp_path: Path) -> None:
    assert identity_of(stores.metadata) == identity_of(stores.metadata)
    other = Stores(FilesystemBlobs(tmp_path / "o" / "blobs"), SqliteMetadata(tmp_path / "o" / "metadata.sqlite"))
    assert identity_of(other.metadata) != identity_of(stores.metadata)
    other.close()

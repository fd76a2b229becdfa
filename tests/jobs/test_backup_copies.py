"""How a backup is copied from a store that is no file: while it changes, what a second one costs, and what is left."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import pytest

from lading.jobs.backup import BackupOptions, back_up
from lading.jobs.backup.folder import INCOMING, PART
from lading.jobs.gc.collect import Collector
from lading.jobs.gc.sweep import GracePeriods
from lading.registry.registry import Registry
from lading_storage.errors import Unavailable
from lading_storage.forwarding import ForwardingMetadata
from lading_storage.local import sqlite_backup
from lading_storage.protocols import MetadataStore, Replace
from lading_storage.query import Query
from lading_storage.records.core import Blob, Key, Link, Manifest, Repository, Tag
from lading_storage.stores import Stores
from tests.jobs.backup_content import assert_intact, push_everything
from tests.support.folder_stores import folder_stores
from tests.support.registry_pushes import push_image

T = TypeVar("T")

ZERO = timedelta(0)


class OpaqueStore(ForwardingMetadata):
    """A metadata store that cannot be copied as a file. Its calls are counted, and `before` is called before each."""

    def __init__(self, store: MetadataStore) -> None:
        super().__init__(store, self._count)
        self.calls: Counter[str] = Counter()
        self.before: Callable[[str, Any], None] = lambda name, kind: None

    def _count(self, method: str, arguments: Mapping[str, Any], forward: Callable[[], T], /) -> T:
        query = arguments.get("query")
        step = "list" if query and not query.where else method
        self.before(step, query and query.kind)
        if method == "read":
            self.calls.update(f"read {key.kind.__name__}" for key in arguments["keys"])
        else:
            self.calls[f"{step} {query.kind.__name__}" if query else step] += 1
        return forward()


@pytest.fixture
def plain(stores: Stores) -> Stores:
    return Stores(stores.blobs, OpaqueStore(stores.metadata))


def copied(folder: Path) -> Iterator[Registry]:
    stores = folder_stores(folder)
    yield Registry(stores.blobs, stores.metadata)
    stores.close()


def test_a_copy_record_by_record_is_as_whole_as_one_of_the_file(
    plain: Stores, registry: Registry, tmp_path: Path
) -> None:
    contents = push_everything(registry)
    back_up(plain, tmp_path / "backup")
    registry.tags.delete("team/app", "v2")
    push_image(registry, "team/app", "v1", "v3")
    registry.deletion.repository("b")

    report = back_up(plain, tmp_path / "backup")

    for copy in copied(tmp_path / "backup"):
        assert_intact(copy, {name: content for name, content in contents.items() if not name.startswith("b@")})
        assert copy.tags.names("team/app", "", 9).items == ["nested", "v1", "v3"]
        for tag in ("v1", "v2", "v3", "nested"):
            rows = registry.tags.history("team/app", tag, "", 9)
            assert copy.tags.history("team/app", tag, "", 9) == rows
        assert copy.repositories("", 9).items == ["team/app"]
    assert report.tags == 3


@pytest.mark.parametrize("kind", [Repository, Manifest, Link, Blob])
def test_a_tag_that_is_moved_beside_a_backup_is_in_it(
    kind: type, plain: Stores, registry: Registry, tmp_path: Path
) -> None:
    push_image(registry, "a", "v1")
    moved: list[str] = []

    def move(name: str, asked: Any) -> None:
        if name == "list" and asked is kind and not moved:
            moved.append("")
            old = registry.manifests.find("a", "v1").digest
            moved[0] = push_image(registry, "a", "v1", layers=2).digest
            registry.deletion.manifest("a", old)
            for _ in range(3):
                Collector(registry, GracePeriods(ZERO, ZERO, ZERO, ZERO)).run()

    plain.metadata.before = move  # type: ignore[attr-defined]
    back_up(plain, tmp_path / "backup")

    for copy in copied(tmp_path / "backup"):
        tag = copy.manifests.find("a", "v1")
        assert tag.digest == moved[0]
        assert_intact(copy, {f"a@{tag.digest}": copy.manifests.content(tag)})
        (last,) = copy.tags.history("a", "v1", "", 1).items
        assert last.digest == tag.digest
        assert {each.id for each in copy.metadata.find(Query(Tag, repository="a", limit=9))} == {"v1"}


def test_a_tag_that_is_deleted_beside_a_backup_is_not_in_it(plain: Stores, registry: Registry, tmp_path: Path) -> None:
    image = push_image(registry, "a", "v1")
    push_image(registry, "a", "v2")
    done: list[int] = []

    def delete(name: str, asked: Any) -> None:
        if name == "list" and asked is Manifest and not done:
            done.append(1)
            registry.deletion.manifest("a", image.digest)

    plain.metadata.before = delete  # type: ignore[attr-defined]
    back_up(plain, tmp_path / "backup")

    for copy in copied(tmp_path / "backup"):
        assert copy.tags.names("a", "", 9).items == ["v2"]


def test_the_next_backup_reads_only_what_changed(plain: Stores, registry: Registry, tmp_path: Path) -> None:
    for number in range(5):
        push_image(registry, "a", f"v{number}")
    back_up(plain, tmp_path / "backup")
    push_image(registry, "a", "v0")
    calls: Counter[str] = plain.metadata.calls  # type: ignore[attr-defined]
    calls.clear()

    back_up(plain, tmp_path / "backup")

    assert (calls["read Manifest"], calls["read Tag"], calls["read TagHistory"]) == (1, 1, 1)
    assert (calls["find TagEvent"], calls["list TagEvent"]) == (1, 0)


@pytest.mark.parametrize("source", ["file", "plain"])
def test_what_the_source_collected_is_kept_until_it_is_pruned(
    source: str, stores: Stores, plain: Stores, registry: Registry, tmp_path: Path
) -> None:
    chosen = stores if source == "file" else plain
    old = push_image(registry, "a", "v1", layers=2)
    push_image(registry, "a", "v2")
    back_up(chosen, tmp_path / "backup")
    registry.deletion.manifest("a", old.digest)
    for _ in range(3):
        Collector(registry, GracePeriods(ZERO, ZERO, ZERO, ZERO)).run()

    def objects() -> int:
        return sum(path.is_file() and path.name != "LAYOUT" for path in (tmp_path / "backup" / "blobs").rglob("*"))

    back_up(chosen, tmp_path / "backup")
    before = objects()
    report = back_up(chosen, tmp_path / "backup", BackupOptions(prune=True))

    named = len(stores.metadata.find(Query(Link, repository="a", limit=99)))
    assert (objects(), report.removed) == (named, before - named)
    assert report.removed == 2
    for copy in copied(tmp_path / "backup"):
        tag = copy.manifests.find("a", "v2")
        assert_intact(copy, {f"a@{tag.digest}": copy.manifests.content(tag)})


def test_what_a_failed_backup_left_is_used_or_removed_by_the_next_one(
    stores: Stores, registry: Registry, tmp_path: Path
) -> None:
    push_image(registry, "a", "v1", layers=3)
    backup = tmp_path / "backup"

    def fail(source: Path, target: Path, progress: object) -> None:
        raise Unavailable("it is unplugged")

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(sqlite_backup, "overwrite", fail)
        with pytest.raises(Unavailable):
            back_up(stores, backup)
    (backup / INCOMING).mkdir(exist_ok=True)
    (backup / INCOMING / "1").write_bytes(b"half of a blob")
    for suffix in ("", "-wal", "-shm"):
        (backup / f"{PART}{suffix}").write_bytes(b"half of a database")

    report = back_up(stores, backup)

    assert report.blobs == 0, "their objects are there already"
    assert {path.name for path in backup.iterdir()} >= {"metadata.sqlite", "blobs", "backup.json", "backup.lock"}
    assert not [path for path in backup.iterdir() if path.name.startswith((PART, INCOMING))]
    for copy in copied(backup):
        assert copy.tags.names("a", "", 9).items == ["v1"]


def test_an_object_that_was_cut_in_the_backup_is_copied_again(
    stores: Stores, registry: Registry, tmp_path: Path
) -> None:
    image = push_image(registry, "a", "v1")
    back_up(stores, tmp_path / "backup")
    for copy in copied(tmp_path / "backup"):
        name = copy.blobs.get("a", image.blobs[-1]).object
    path = tmp_path / "backup" / "blobs" / name[:2] / name
    path.write_bytes(path.read_bytes()[:-1])

    assert back_up(stores, tmp_path / "backup").blobs == 1
    for copy in copied(tmp_path / "backup"):
        assert_intact(copy, {f"a@{image.digest}": image.content or b""})


def test_what_scrub_marked_is_looked_at_again(stores: Stores, registry: Registry, tmp_path: Path) -> None:
    image = push_image(registry, "a", "v1")
    back_up(stores, tmp_path / "backup")
    key = Key(Blob, image.blobs[-1])
    blob = stores.metadata.read([key])[key]
    assert blob is not None
    stores.blobs.delete(blob.object)
    stores.metadata.commit([Replace(replace(blob, damaged="missing"))])

    report = back_up(stores, tmp_path / "backup")

    assert report.damaged == set(), "the backup has it"
    for copy in copied(tmp_path / "backup"):
        assert_intact(copy, {f"a@{image.digest}": image.content or b""})
        assert not copy.metadata.read([key])[key].damaged  # type: ignore[union-attr]

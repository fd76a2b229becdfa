"""Copying all that a registry has into a folder, and back, while it serves.

A backup is a data folder like any other: `lading serve --data FOLDER` serves it. It is read from the names down:
tags, then manifests, then links, then blobs. Whatever a name that was read needs was there before the name, so it is
found unless it is deleted in that very moment; then what needs it has been deleted as well, and is left out at the end.
It is put back from the blobs up, so that whatever can be seen is whole. Records are copied as they are, times included.

Both directions copy only the blobs that the target lacks, so the next backup into a folder is quick. A restore changes
nothing that the registry has: what it lacks is put back, a tag that names something else by now is left. Upload
sessions are not copied, and neither is what was deleted.
"""

import contextlib
import os
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from functions.registry.acts import now
from functions.registry.attempts import settle
from functions.registry.needs import needs_of
from functions.registry.pages import find_all
from functions.registry.repositories import alive
from storage.digests import Hasher, algorithm_of
from storage.errors import Corrupt, Missing, Unavailable
from storage.filesystem import FilesystemBlobs
from storage.past import History, Move
from storage.protocols import BlobStore, Create, Delete, MetadataStore, Replace, Touch, is_there
from storage.records import LOOSE, Blob, Key, Link, Manifest, R, Record, Repository, Tag
from storage.sqlite import SqliteMetadata
from storage.upkeep import Pull, Running

PAGE: Final = 100
"""Records read at a time: their contents are in memory together."""


@dataclass(frozen=True, slots=True)
class Stores:
    """The two stores of one registry."""

    blobs: BlobStore
    metadata: MetadataStore

    def close(self) -> None:
        """Close both."""
        self.blobs.close()
        self.metadata.close()


@dataclass(slots=True)
class Report:
    """What was copied, and what was not.

    tags_left  how many tags were left as they were although the backup knows them otherwise
    damaged    the digests of blobs whose bytes are lost or others where they are copied from
    """

    repositories: int = 0
    tags: int = 0
    manifests: int = 0
    blobs: int = 0
    bytes: int = 0
    tags_left: int = 0
    damaged: set[str] = field(default_factory=set)

    def __str__(self) -> str:
        text = (
            f"copied {self.repositories} repositories: {self.tags} tags, {self.manifests} manifests,"
            f" and {self.blobs} blobs of {self.bytes} bytes"
        )
        if self.tags_left:
            text += f"; left {self.tags_left} tags that name something else by now"
        if self.damaged:
            text += f"; left out what needs these, whose bytes are lost or damaged: {', '.join(sorted(self.damaged))}"
        return text


def back_up(source: Stores, folder: Path) -> Report:
    """Copy all of `source` into `folder`: a new one, or an earlier backup, which stays whole until this one is done.

    Raises Unavailable where the disk is full.
    """
    final, part = folder / "metadata.sqlite", folder / "metadata.sqlite.part"
    _remove_database(part)
    earlier = SqliteMetadata(final) if final.exists() else None
    target = Stores(FilesystemBlobs(folder / "blobs"), SqliteMetadata(part))
    report = Report()
    with contextlib.ExitStack() as stack:
        stack.callback(target.close)
        if earlier:
            stack.callback(earlier.close)
        _copy_running(source, target)
        for repository in _all(source.metadata, Repository):
            _back_up_repository(source, target, repository, earlier, report)
    # The last connection that closes puts everything into the one file, unless the disk is full: SQLite does not tell
    # then, but leaves the log beside it.
    if part.with_name(f"{part.name}-wal").exists():
        raise Unavailable(f"{part} could not be written to its end; an earlier backup is as it was")
    part.rename(final)
    _flush(folder)
    return report


def restore(folder: Path, target: Stores) -> Report:
    """Put into `target` what the backup in `folder` has and `target` lacks. Raises Missing where there is no backup."""
    if not (folder / "metadata.sqlite").exists():
        raise Missing(f"{folder} holds no backup")
    source = Stores(FilesystemBlobs(folder / "blobs"), SqliteMetadata(folder / "metadata.sqlite"))
    report = Report()
    with contextlib.closing(source):
        _copy_running(source, target)
        for repository in _all(source.metadata, Repository):
            _restore_repository(source, target, repository, report)
    return report


def _back_up_repository(
    source: Stores, target: Stores, repository: Repository, earlier: MetadataStore | None, report: Report
) -> None:
    """Copy one repository, from the names down."""
    name = repository.id
    report.repositories += _ensure(target.metadata, repository)
    for tag in _all(source.metadata, Tag, name):
        report.tags += _ensure(target.metadata, tag)
    _copy_histories(source, target, name)
    _copy_pulls(source, target, name)
    for manifest in _all(source.metadata, Manifest, name):
        report.manifests += _ensure(target.metadata, manifest)
    for link in _all(source.metadata, Link, name):
        known = _get(earlier, Key(Blob, link.id)) if earlier else None
        if known is not None:
            _ensure(target.metadata, known)
        blob = _copy_blob(source, target, link.id, report)
        if blob is not None:
            _ensure_link(target.metadata, link, blob)
    _settle_objects(target.metadata, name)
    _leave_out_what_lacks_something(target.metadata, name, report)


def _restore_repository(source: Stores, target: Stores, repository: Repository, report: Report) -> None:
    """Put one repository back, from the blobs up."""
    name = repository.id
    for link in _all(source.metadata, Link, name):
        blob = _copy_blob(source, target, link.id, report)
        if blob is not None:
            _ensure_link(target.metadata, link, blob)
    waiting = True
    while waiting:
        # An index comes after its children, however deep they are.
        ready = [each for each in _all(source.metadata, Manifest, name) if _is_ready(target.metadata, each)]
        for manifest in ready:
            _ensure(target.metadata, _with_object(target.metadata, manifest), needs_of(manifest))
        report.manifests += len(ready)
        waiting = bool(ready)
    report.repositories += _ensure(target.metadata, repository)
    settle(lambda: _list_again(target.metadata, repository))
    _copy_histories(source, target, name)
    _copy_pulls(source, target, name)
    for tag in _all(source.metadata, Tag, name):
        if not _ensure(target.metadata, tag, [Key(Manifest, tag.digest, name)]):
            there = _get(target.metadata, tag.key)
            report.tags_left += there is not None and there.digest != tag.digest
        else:
            report.tags += 1


def _list_again(metadata: MetadataStore, repository: Repository) -> None:
    """Let a repository that was deleted be listed, as it was when it was backed up."""
    writes = alive(metadata.read([repository.key]), repository.id, now())
    if writes and not repository.deleted:
        metadata.commit(writes)


def _copy_histories(source: Stores, target: Stores, repository: str) -> None:
    """The moves of each tag that has no history in `target`; the counter last, so that none is left half copied."""
    for history in _all(source.metadata, History, repository):
        if not _has(target.metadata, [history.key]):
            for move in find_all(source.metadata, Move, {"tag": history.id}, repository):
                _ensure(target.metadata, move)
            _ensure(target.metadata, history)


def _copy_running(source: Stores, target: Stores) -> None:
    """What runs where: without that, clean-up would take images that run."""
    for running in _all(source.metadata, Running):
        _ensure(target.metadata, running)


def _copy_pulls(source: Stores, target: Stores, repository: str) -> None:
    """When manifests were pulled: without that, clean-up would take all that was pushed long ago for unused."""
    for pull in _all(source.metadata, Pull, repository):
        _ensure(target.metadata, pull)


def _copy_blob(source: Stores, target: Stores, digest: str, report: Report) -> Blob | None:
    """The blob in `target`, copied where it lacks it or its bytes; None where `source` has not got it, or no more."""
    there, blob = _get(target.metadata, Key(Blob, digest)), _get(source.metadata, Key(Blob, digest))
    is_lost = there is not None and not is_there(target.blobs, there.object, there.size)
    if blob is None or (there is not None and not is_lost):
        return there
    name, hasher = there.object if there else f"{secrets.token_hex(16)}/0", Hasher(algorithm_of(digest))

    def checked() -> Iterator[bytes]:
        for chunk in source.blobs.open(blob.object, 0, blob.size):
            hasher.update(chunk)
            yield chunk
        if hasher.digest != digest:
            raise Corrupt(f"the object of {digest} holds other bytes")

    try:
        target.blobs.append(name, checked(), blob.size)
    except (Missing, Corrupt):
        # Collected while it was copied, it has no record any more.
        if _get(source.metadata, blob.key) is not None:
            report.damaged.add(digest)
        return there
    _ensure(target.metadata, replace(blob, object=name))
    report.blobs += 1
    report.bytes += blob.size
    # Another restore may have been faster, and then its object counts.
    return _get(target.metadata, blob.key)


def _ensure_link(metadata: MetadataStore, link: Link, blob: Blob) -> None:
    """Link a blob as `link` did in the source, unless it is linked: loose, for collection to find what names it.

    The blob is written at the version that was read: collected and pushed again meanwhile, it has another object.
    """

    def attempt() -> None:
        current = _get(metadata, blob.key)
        if current is not None and not _has(metadata, [link.key]):
            new = replace(link, object=current.object, state=LOOSE, since=now())
            metadata.commit([Create(new), Replace(replace(current, state=""))])

    settle(attempt)


def _settle_objects(metadata: MetadataStore, repository: str) -> None:
    """Let manifests that are kept as objects name those of this store."""
    for manifest in _all(metadata, Manifest, repository):
        if manifest.object:
            metadata.commit([Delete(manifest)])
            metadata.commit([Create(_with_object(metadata, manifest))])


def _with_object(metadata: MetadataStore, manifest: Manifest) -> Manifest:
    link = _get(metadata, Key(Link, manifest.digest, manifest.repository)) if manifest.object else None
    return replace(manifest, object=link.object) if link else manifest


def _leave_out_what_lacks_something(metadata: MetadataStore, repository: str, report: Report) -> None:
    """Remove what was deleted in the source while it was being copied: manifests that lack a part, and their tags."""
    lacking = True
    while lacking:
        incomplete = [each for each in _all(metadata, Manifest, repository) if not _has(metadata, needs_of(each))]
        for manifest in incomplete:
            metadata.commit([Delete(manifest)])
        report.manifests -= len(incomplete)
        lacking = bool(incomplete)
    for tag in _all(metadata, Tag, repository):
        if not _has(metadata, [Key(Manifest, tag.digest, repository)]):
            metadata.commit([Delete(tag)])
            report.tags -= 1


def _is_ready(metadata: MetadataStore, manifest: Manifest) -> bool:
    """Whether a manifest is not there yet, and all that it needs is."""
    return not _has(metadata, [manifest.key]) and _has(metadata, needs_of(manifest))


def _has(metadata: MetadataStore, keys: Sequence[Key[Any]]) -> bool:
    found = metadata.read(keys)
    return all(found[key] is not None for key in keys)


def _get(metadata: MetadataStore, key: Key[R]) -> R | None:
    return metadata.read([key])[key]


def _ensure(metadata: MetadataStore, record: Record, needs: Sequence[Key[Any]] = ()) -> bool:
    """Create `record` unless one of its key is there or what it needs is not; answers whether it did."""

    def attempt() -> bool:
        if _has(metadata, [record.key]) or not _has(metadata, needs):
            return False
        metadata.commit([Create(record), *(Touch(key) for key in needs)])
        return True

    return settle(attempt)


def _all(metadata: MetadataStore, kind: type[R], repository: str = "") -> Iterator[R]:
    """All records of a kind, whole, a page in memory at a time."""
    after = ""
    while page := metadata.scan(kind, repository, after=after, limit=PAGE):
        found = metadata.read([record.key for record in page])
        yield from (whole for record in page if (whole := found[record.key]) is not None)
        after = page[-1].id


def _remove_database(path: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def _flush(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

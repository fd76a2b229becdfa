"""Putting back what a backup has and a registry lacks, while it serves.

    what protects    robots, and every other kind that is in no repository: before the first tag
    each repository  blobs ─▶ manifests ─▶ repository ─▶ history ─▶ tags: what can be seen is whole

A restore changes nothing that is there. A tag that is put back is a move like any other: where its history here goes on
after what the backup knows, or says that it was deleted, that is a row of history, and the tombstone goes.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from lading.jobs.backup.batch_restore import BatchRestore
from lading.jobs.backup.folder import database_of, open_data
from lading.jobs.backup.history import restore_history
from lading.jobs.backup.marker import BackupRefused, file_errors, locked, read_marker
from lading.jobs.backup.objects import verified
from lading.jobs.backup.records import BACKED_UP_KINDS, all_exist, get
from lading.jobs.backup.sessions import ObjectSessions
from lading.jobs.backup.stores import BackupReport, Progress, Stores, no_progress
from lading.registry.change_context import RESTORE, ChangeContext, now
from lading.registry.content.dependencies import (
    dependencies_of,
    hidden_dependencies_of,
    object_of,
    reference_writes,
    required_dependencies_of,
)
from lading.registry.content.large_manifests import drop_tombstone_writes
from lading.registry.pagination import scan_all
from lading.registry.repositories import review_writes, revive_writes
from lading.registry.retry import retry_on_conflict
from lading.registry.tags.immutable import ImmutableTags
from lading.registry.tags.tags import Tags
from lading_storage.errors import Corrupt, ObjectNotFound
from lading_storage.protocols import Create, Delete, MetadataStore, Replace, Touch, object_exists
from lading_storage.records.core import UNVERIFIED, Blob, Key, Link, Manifest, Record, Repository, Robot, Tag
from lading_storage.records.deleted import DeletedManifest, DeletedTag, TagEvent, TagHistory
from lading_storage.records.jobs import Identity

SPECIAL_KINDS: Final = (Repository, Blob, Identity, Robot, Link, Manifest, Tag, TagHistory, TagEvent)
"""Kinds that are put back in a way of their own; of every other one a record is created where there is none."""


NO_IMMUTABLE_TAGS: Final = ImmutableTags()


@dataclass(frozen=True, slots=True)
class RestoreOptions:
    """How tags are put back.

    act        what is done, and by whom, for the history
    immutable  which tags name one manifest for ever
    """

    change_context: ChangeContext = RESTORE
    immutable_tags: ImmutableTags = NO_IMMUTABLE_TAGS


def restore(
    folder: Path,
    target: Stores | Callable[[], Stores],
    options: RestoreOptions = RestoreOptions(),  # it is frozen
    progress: Progress = no_progress,
) -> BackupReport:
    """Put into `target` what the backup in `folder` has and `target` lacks.

    `target` can be a function that opens, or makes, the stores: it is called once there is a backup to restore.
    Raises Missing where there is no backup, and BackupRefused where one is just being written.
    """
    if read_marker(folder) is None:
        return _restore(folder, target, options, progress)
    with file_errors(folder), locked(folder, shared=True):
        return _restore(folder, target, options, progress)


def _restore(
    folder: Path, target: Stores | Callable[[], Stores], rules: RestoreOptions, progress: Progress
) -> BackupReport:
    source = open_data(folder)
    try:
        opened = target if isinstance(target, Stores) else target()
        own, other = database_of(opened.metadata), database_of(source.metadata)
        if own is not None and other is not None and own.samefile(other):
            raise BackupRefused(f"{folder} is the registry itself; a backup is restored into another one")
        return Restore(source, opened, rules, progress).run()
    finally:
        source.close()


class Restore:
    """One restore."""

    def __init__(self, source: Stores, target: Stores, options: RestoreOptions, progress: Progress) -> None:
        """Put back what `source` has and `target` lacks."""
        self._source = source
        self._target = target
        self._metadata: MetadataStore = target.metadata
        self._options = options
        self._tags = Tags(target.metadata, options.immutable_tags, now)
        self._sessions = ObjectSessions(target.metadata, now)
        self._progress = progress
        self._report = BackupReport()
        self._batches = BatchRestore(source, target, self._sessions, self._tags, self._report)

    def run(self) -> BackupReport:
        """Put everything back."""
        self._robots()
        for kind in BACKED_UP_KINDS:
            if not kind.IN_REPOSITORY and kind not in SPECIAL_KINDS:
                self._records(kind)
        self._report.begin_phase("repositories", sum(1 for _ in scan_all(self._source.metadata, Repository)))
        for repository in scan_all(self._source.metadata, Repository):
            self._repository(repository)
            self._report.done += 1
            self._progress(self._report)
        self._sessions.close()
        return self._report

    def _robots(self) -> None:
        """Put robots back into a registry that has nothing yet. In one in use, some may have been revoked since."""
        in_use = bool(self._metadata.scan(Repository, limit=1))
        for robot in scan_all(self._source.metadata, Robot):
            if not in_use:
                self._create_if_absent(robot)
            elif get(self._metadata, robot.key) is None:
                self._report.robots_skipped += 1

    def _records(self, kind: type[Record], repository: str = "") -> None:
        for listed in scan_all(self._source.metadata, kind, repository):
            record = get(self._source.metadata, listed.key)
            if record is not None:
                self._create_if_absent(record)

    def _repository(self, repository: Repository) -> None:
        """Put one repository back, from the blobs up."""
        name = repository.id
        for _ in self._batches.blobs(name):
            self._progress(self._report)
        for link in scan_all(self._source.metadata, Link, name):
            blob = self._blob(link.id)
            if blob is not None:
                self._link(link, blob)
            self._progress(self._report)
        for _ in self._batches.manifests(name):
            self._progress(self._report)
        # An index comes after its children, however deep they are.
        while sum(self._manifest(each) for each in scan_all(self._source.metadata, Manifest, name)):
            self._progress(self._report)
        # Clean-up is to look at what comes.
        self._report.repositories += self._create_if_absent(replace(repository, review=now(), looked=False))
        retry_on_conflict(lambda: self._relist(repository))
        for kind in BACKED_UP_KINDS:
            if kind.IN_REPOSITORY and kind not in SPECIAL_KINDS:
                self._records(kind, name)
        for _ in self._batches.tags(name):
            self._progress(self._report)
        for history in scan_all(self._source.metadata, TagHistory, name):
            restore_history(self._source.metadata, self._metadata, history)
        for tag in scan_all(self._source.metadata, Tag, name):
            whole = get(self._source.metadata, tag.key)
            if whole is not None:
                retry_on_conflict(lambda tag=whole: self._tag(tag))  # type: ignore[misc]

    def _relist(self, repository: Repository) -> None:
        """Let a repository that was deleted be listed, as it was when it was backed up."""
        writes = revive_writes(self._metadata.read([repository.key]), repository.id, now())
        if writes and not repository.deleted:
            self._metadata.commit(writes)

    def _blob(self, digest: str) -> Blob | None:
        """Return the blob in the target, copied where that lacks it or its bytes; None where the backup lacks them."""
        key = Key(Blob, digest)
        there, blob = get(self._metadata, key), get(self._source.metadata, key)
        is_lost = there is not None and (
            bool(there.damaged) or not object_exists(self._target.blobs, there.object, there.size)
        )
        if blob is None or (there is not None and not is_lost):
            return there
        name = self._sessions.name()
        try:
            chunks = verified(self._source.blobs.open(blob.object, 0, blob.size), digest)
            self._target.blobs.append(name, chunks, blob.size)
        except (ObjectNotFound, Corrupt):
            self._report.damaged.add(digest)
            return there
        if there is not None:
            self._target.blobs.replace(there.object, name)
            retry_on_conflict(lambda: self._clear_damage_mark(key))
        elif not self._create_if_absent(replace(blob, object=name, damaged="", state="")):
            # Another restore, or a push, was faster, and its object counts.
            self._target.blobs.delete(name)
        self._report.blobs += 1
        self._report.bytes += blob.size
        self._report.moved += blob.size
        return get(self._metadata, key)

    def _clear_damage_mark(self, key: Key[Blob]) -> None:
        """Take back what scrub found wrong with a blob. A new version in any case: a scrub may be about to mark it."""
        blob = get(self._metadata, key)
        if blob is not None:
            self._metadata.commit([Replace(replace(blob, damaged=""))])

    def _link(self, link: Link, blob: Blob) -> None:
        """Link a blob, unless it is linked: loose, for collection to find what names it.

        The blob is written at the version that was read: collected and pushed again meanwhile, it has another object.
        """

        def attempt() -> None:
            current = get(self._metadata, blob.key)
            if current is not None and not all_exist(self._metadata, [link.key]):
                new = replace(link, object=current.object, state=UNVERIFIED, since=now(), damaged=False)
                self._metadata.commit([Create(new), Replace(replace(current, state=""))])

        retry_on_conflict(attempt)

    def _manifest(self, listed: Manifest) -> bool:
        """Put a manifest back that is not there, where all that it needs is; returns whether it was."""
        if all_exist(self._metadata, [listed.key]) or not all_exist(self._metadata, required_dependencies_of(listed)):
            return False
        manifest = get(self._source.metadata, listed.key)
        done = manifest is not None and retry_on_conflict(lambda: self._put(manifest))
        self._report.manifests += done
        return done

    def _put(self, manifest: Manifest) -> bool:
        needed = dependencies_of(manifest)
        dead = Key(DeletedManifest, manifest.id, manifest.repository)
        own_keys = [manifest.key, dead, Key(Repository, manifest.repository)]
        found = self._metadata.read([*own_keys, *needed, *hidden_dependencies_of(manifest)], content=False)
        if found[manifest.key] is not None or any(found[key] is None for key in required_dependencies_of(manifest)):
            return False
        # Where it is kept as a blob, that has another object here.
        manifest = replace(manifest, object=object_of(found, manifest), damaged=False)
        tombstone = found[dead]
        forgotten = drop_tombstone_writes(self._metadata, tombstone, manifest, now) if tombstone is not None else []
        listed = review_writes(found, manifest.repository, now())
        self._metadata.commit([*reference_writes(found, manifest, now()), Create(manifest), *forgotten, *listed])
        return True

    def _tag(self, tag: Tag) -> None:
        """Put a tag back that is not there, where its manifest is."""
        keys = self._tags.keys(tag.repository, tag.id)
        manifest_key = Key(Manifest, tag.digest, tag.repository)
        found = self._metadata.read([*dict.fromkeys([*keys, manifest_key, Key(Repository, tag.repository)])])
        live, manifest = found[tag.key], found[manifest_key]
        if live is not None or manifest is None:
            self._report.tags_skipped += live is not None and live.digest != tag.digest
            return
        history, tombstone = (
            found[Key(TagHistory, tag.id, tag.repository)],
            found[Key(DeletedTag, tag.id, tag.repository)],
        )
        last = self._metadata.find(TagEvent, {"tag": tag.id}, repository=tag.repository, limit=1)
        named_last = (last[0].digest or last[0].before) if last else ""
        if named_last not in ("", tag.digest) and self._options.immutable_tags.rule(tag.repository, tag.id):
            self._report.immutable_tags_skipped += 1
            return
        writes: list[Any] = [Touch(manifest_key), *([Delete(tombstone)] if tombstone else [])]
        writes += review_writes(found, tag.repository, now())
        if history is not None and last and last[0].digest == tag.digest:
            # As the history says already. At its version: whoever moves the tag meanwhile changes it.
            writes += [Create(replace(tag, damaged=manifest.damaged)), Replace(history)]
        else:
            writes += self._tags.move(
                found, tag.id, replace(manifest, content=tag.content), self._options.change_context
            )
        self._metadata.commit(writes)
        self._report.tags += 1

    def _create_if_absent(self, record: Record) -> bool:
        """Create a record unless one of its key is there; returns whether it did."""

        def attempt() -> bool:
            if all_exist(self._metadata, [record.key]):
                return False
            self._metadata.commit([Create(record)])
            return True

        return retry_on_conflict(attempt)

"""Backup of a registry into a folder, while the registry serves requests.

    objects   copied under their own names, flushed, renamed; no record names them yet
    metadata  the next state is built in a separate file, made consistent, and installed in one SQLite transaction
    prune     objects that the new state does not name are removed

So a reader of the folder, including a standby that serves it, sees one state or the next, and never a record whose
bytes are missing. A killed backup leaves the previous state; its other files are used or removed by the next backup.

From SQLite the metadata is copied as one snapshot; from any other store only records that differ are copied.
"""

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from lading.jobs.backup.consistency import ConsistencyPass, counts
from lading.jobs.backup.folder import (
    BackupFolder,
    BackupMetadata,
    PageProgress,
    attribute_damage,
    database_of,
    is_inside,
)
from lading.jobs.backup.marker import (
    DATABASE,
    BackupRefused,
    Marker,
    check_target,
    file_errors,
    locked,
    read_marker,
    write_marker,
)
from lading.jobs.backup.objects import ObjectCopier
from lading.jobs.backup.records import BACKED_UP_KINDS
from lading.jobs.backup.report import BackupReport, Progress, no_progress
from lading.jobs.backup.sync import Sync
from lading.registry.change_context import now
from lading.registry.identity import identity_of, known_identity
from lading.registry.pagination import check_advance
from lading_storage.local.durable_folders import make_durably
from lading_storage.protocols import MetadataStore
from lading_storage.query import Query
from lading_storage.records.core import Blob, Repository
from lading_storage.stores import Stores

NAME_BATCH_SIZE: Final = 50_000
"""Names of objects in memory at a time."""

PRUNE_DELAY: Final = 1.0
"""Seconds between the new state and the removal of objects, for requests that have read a name and not yet opened its
object."""


@dataclass(frozen=True, slots=True)
class BackupOptions:
    """Options of a backup.

    Attributes:
        force: back up even if the backup shrinks by more than half.
        prune: remove objects that no record names any more.
        origin: the location of the registry, for people.
    """

    force: bool = False
    prune: bool = False
    origin: str = ""


def back_up(
    source: Stores,
    folder: Path,
    options: BackupOptions = BackupOptions(),  # frozen, so safe as a default
    progress: Progress = no_progress,
) -> BackupReport:
    """Copy a registry into a folder; a previous backup in it stays consistent until the new one is installed.

    Args:
        source: the stores of the registry, which may serve requests meanwhile.
        folder: a folder that is empty, holds a backup of this registry, or does not exist and is created.
        options: options of the backup.
        progress: called with the report after each step.

    Raises:
        BackupRefused: the folder holds anything else, another backup is running, or the backup would shrink by more
            than half without `force`.
        Unavailable: a store fails, or the disk is full. The previous backup is unchanged.
    """
    folder = folder.absolute()
    database = database_of(source.metadata)
    if database is not None and database.resolve() == (folder / DATABASE).resolve():
        raise BackupRefused(f"{folder} is the registry itself; use another folder for the backup")
    if is_inside(source.blobs, folder):
        raise BackupRefused(f"{folder} is inside the registry's blobs; use another folder for the backup")
    registry = identity_of(source.metadata)
    with file_errors(folder):
        check_target(folder, registry)
        make_durably(folder)
    with file_errors(folder), locked(folder):
        # Another backup may have run between the first check and the lock.
        check_target(folder, registry)
        marker = read_marker(folder) or Marker(registry)
        write_marker(folder, replace(marker, origin=options.origin or marker.origin))
        with attribute_damage(folder, database), contextlib.closing(BackupFolder(folder)) as target:
            report = _Backup(source, target, registry, progress).run(options)
        write_marker(folder, Marker(registry, options.origin or marker.origin, now().isoformat(timespec="seconds")))
    return report


class _Backup:
    """A single backup."""

    def __init__(self, source: Stores, target: BackupFolder, registry: str, progress: Progress) -> None:
        self._source = source
        self._target = target
        self._registry = registry
        self._progress = progress
        self._report = BackupReport()

    def run(self, options: BackupOptions) -> BackupReport:
        with self._open_previous() as previous, contextlib.closing(self._next_state()) as part:
            objects = ObjectCopier(self._source, self._target.blobs, previous, self._report)
            consistency = ConsistencyPass(self._source.metadata, part, objects, self._report)
            is_snapshot = database_of(self._source.metadata) is not None
            if is_snapshot:
                self._begin_phase("records", part.count(Repository))
                consistency.remove_excluded_kinds(self._progress)
            self._check_not_shrunk(previous, part, options)
            self._begin_phase("blobs", part.count(Blob))
            consistency.copy_objects(self._progress)
            if not is_snapshot:
                self._begin_phase("checks", part.count(Repository))
                consistency.check_references(self._progress)
            consistency.reread_tags()
            self._check_not_shrunk(previous, part, options)
            self._begin_phase("metadata")
            self._target.put_in_place(self._pages())
            for name, count in counts(part.count).items():
                setattr(self._report, name, count)
            if options.prune:
                self._prune(part)
        return self._report

    @contextlib.contextmanager
    def _open_previous(self) -> Iterator[BackupMetadata | None]:
        """Open the metadata of the previous backup for a block; yield None if there is none.

        Raises:
            BackupRefused: it is the metadata of another registry.
        """
        previous = self._target.open_previous()
        if previous is None:
            yield None
            return
        with contextlib.closing(previous):
            identity = known_identity(previous)
            if identity != self._registry and (identity or previous.count(Repository)):
                raise BackupRefused(
                    f"{self._target.path} holds the metadata of another registry ({identity or 'of an older release'});"
                    " use another folder; after an interrupted promotion, promote it again"
                )
            yield previous

    def _next_state(self) -> BackupMetadata:
        """Build the next state of the metadata: a snapshot, or the previous state with the records that differ."""
        self._begin_phase("metadata")
        database = database_of(self._source.metadata)
        if database is not None:
            return self._target.copy_of(database, self._pages())
        part = self._target.copy_of_previous(self._pages())
        self._begin_phase("records")
        for _ in Sync(self._source.metadata, part).run():
            self._report.done += 1
            self._progress(self._report)
        return part

    def _check_not_shrunk(self, previous: BackupMetadata | None, part: BackupMetadata, options: BackupOptions) -> None:
        if previous is None or options.force:
            return
        for kind in BACKED_UP_KINDS:
            before, after = previous.count(kind), part.count(kind)
            if after * 2 < before:
                raise BackupRefused(
                    f"the backup in {self._target.path} has {before} {kind.KIND}, and this one would have {after};"
                    " it is unchanged. Use --force if this is intended"
                )

    def _prune(self, part: MetadataStore) -> None:
        """Remove objects that no record names any more."""
        self._begin_phase("prune")
        time.sleep(PRUNE_DELAY)
        after = ""
        while names := self._target.blobs.names("", after=after, limit=NAME_BATCH_SIZE):
            check_advance(after, names)
            for name in names:
                if not part.find(Query(Blob, {"object": name}, limit=1)):
                    self._target.blobs.delete(name)
                    self._report.removed += 1
            self._report.done += len(names)
            self._progress(self._report)
            after = names[-1]

    def _begin_phase(self, phase: str, total: int = 0) -> None:
        self._report.begin_phase(phase, total)
        self._progress(self._report)

    def _pages(self) -> PageProgress:
        def progress(done: int, total: int) -> None:
            self._report.done, self._report.total = done, total
            self._progress(self._report)

        return progress

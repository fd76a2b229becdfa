"""Backing a registry up into a folder, while it serves.

    objects   copied under their own names, flushed, renamed         nobody sees them yet
    metadata  the next state is made in a file of its own, made whole, and put in place in one SQLite transaction
    prune     what the new state does not name is removed

So whoever reads the folder, a standby that serves it included, sees one state or the next, and never a name whose bytes
are not there. A killed backup leaves the state before; what it left beside is used or removed by the next one.

From SQLite the metadata is copied as a whole, as of one moment; from any other store the records that differ are.
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
from lading.jobs.backup.stores import BackupReport, Progress, Stores, no_progress
from lading.jobs.backup.sync import Sync
from lading.registry.change_context import now
from lading.registry.identity import identity_of, known_identity
from lading.registry.pagination import check_advance
from lading_storage.local.durable_folders import make_durably
from lading_storage.protocols import MetadataStore
from lading_storage.records.core import Blob, Repository

NAME_BATCH_SIZE: Final = 50_000
"""Names of objects that are in memory together."""

PRUNE_DELAY: Final = 1.0
"""Seconds between the new state and the removal of objects: a request that had just read a name opens its object."""


@dataclass(frozen=True, slots=True)
class BackupOptions:
    """How a backup is made.

    force   even where it shrinks by more than half
    prune   remove the objects that nothing names any more
    origin  where the registry is, for people
    """

    force: bool = False
    prune: bool = False
    origin: str = ""


def back_up(
    source: Stores,
    folder: Path,
    options: BackupOptions = BackupOptions(),  # it is frozen
    progress: Progress = no_progress,
) -> BackupReport:
    """Copy all of `source` into `folder`: an empty one, or an earlier backup, which stays whole until this one is done.

    `source` may serve meanwhile. `folder` is made where it does not exist.
    Raises BackupRefused for a folder that is no backup of this registry, where another backup is at work, and where it
    shrinks without `force`; Unavailable where a store fails or the disk is full. Then the earlier backup is as it was.
    """
    folder = folder.absolute()
    database = database_of(source.metadata)
    if database is not None and database.resolve() == (folder / DATABASE).resolve():
        raise BackupRefused(f"{folder} is the registry itself; a backup goes into another folder")
    if is_inside(source.blobs, folder):
        raise BackupRefused(f"{folder} is inside the registry's blobs; a backup goes into another folder")
    registry = identity_of(source.metadata)
    with file_errors(folder):
        check_target(folder, registry)
        make_durably(folder)
    with file_errors(folder), locked(folder):
        # Another backup may have begun, and ended, between the look and the lock.
        check_target(folder, registry)
        marker = read_marker(folder) or Marker(registry)
        write_marker(folder, replace(marker, origin=options.origin or marker.origin))
        with attribute_damage(folder, database), contextlib.closing(BackupFolder(folder)) as target:
            report = _Backup(source, target, registry, progress).run(options)
        write_marker(folder, Marker(registry, options.origin or marker.origin, now().isoformat(timespec="seconds")))
    return report


class _Backup:
    """One backup, from its beginning to its end."""

    def __init__(self, source: Stores, target: BackupFolder, registry: str, progress: Progress) -> None:
        self._source = source
        self._target = target
        self._registry = registry
        self._progress = progress
        self._report = BackupReport()

    def run(self, options: BackupOptions) -> BackupReport:
        with self._open_previous() as earlier, contextlib.closing(self._next_state()) as part:
            objects = ObjectCopier(self._source, self._target.blobs, earlier, self._report)
            whole = ConsistencyPass(self._source.metadata, part, objects, self._report)
            is_snapshot = database_of(self._source.metadata) is not None
            if is_snapshot:
                self._begin_phase("records", part.count(Repository))
                whole.remove_excluded_kinds(self._progress)
            self._check_not_shrunk(earlier, part, options)
            self._begin_phase("blobs", part.count(Blob))
            whole.copy_objects(self._progress)
            if not is_snapshot:
                self._begin_phase("checks", part.count(Repository))
                whole.check_references(self._progress)
            whole.reread_tags()
            self._check_not_shrunk(earlier, part, options)
            self._begin_phase("metadata")
            self._target.put_in_place(self._pages())
            for what, number in counts(part.count).items():
                setattr(self._report, what, number)
            if options.prune:
                self._prune(part)
        return self._report

    @contextlib.contextmanager
    def _open_previous(self) -> Iterator[BackupMetadata | None]:
        """The metadata of the backup before. Raises BackupRefused where it is another registry's."""
        earlier = self._target.open_previous()
        if earlier is None:
            yield None
            return
        with contextlib.closing(earlier):
            identity = known_identity(earlier)
            if identity != self._registry and (identity or earlier.count(Repository)):
                raise BackupRefused(
                    f"{self._target.path} holds the metadata of another registry ({identity or 'an older one'});"
                    " where a promotion was interrupted, promote it again"
                )
            yield earlier

    def _next_state(self) -> BackupMetadata:
        """Make the next state of the metadata."""
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

    def _check_not_shrunk(self, earlier: BackupMetadata | None, part: BackupMetadata, options: BackupOptions) -> None:
        if earlier is None or options.force:
            return
        for kind in BACKED_UP_KINDS:
            before, after = earlier.count(kind), part.count(kind)
            if after * 2 < before:
                raise BackupRefused(
                    f"the backup in {self._target.path} has {before} {kind.KIND}, and this one would have {after};"
                    " it is as it was. Use --force, if that is right"
                )

    def _prune(self, part: MetadataStore) -> None:
        """Remove the objects that nothing names any more."""
        self._begin_phase("prune")
        time.sleep(PRUNE_DELAY)
        after = ""
        while names := self._target.blobs.names("", after=after, limit=NAME_BATCH_SIZE):
            check_advance(after, names)
            for name in names:
                if not part.find(Blob, {"object": name}, limit=1):
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

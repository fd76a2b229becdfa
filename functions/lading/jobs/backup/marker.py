"""Marker of a backup: a file that says which registry a folder is a backup of, and that only backups may write to it.

    backup.json   the registry's identity, the location it was copied from, the end of the last backup
    backup.lock   an empty file, locked (flock) by a backup, a restore or a promotion until its process ends

A folder with the marker is a standby: `lading serve` serves it read-only.
"""

import contextlib
import errno
import fcntl
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from lading_storage.errors import NO_SPACE, StorageError, StoreFull, Unavailable
from lading_storage.local.durable_folders import FILE_MODE, flush_folder, private_opener

FILE: Final = "backup.json"
LOCK: Final = "backup.lock"
DATABASE: Final = "metadata.sqlite"
BLOBS: Final = "blobs"

FORMAT: Final = 1

NEW: Final = f"{FILE}.new"
"""The marker while it is written. A crash, or a full disk, leaves it."""

READ_ONLY: Final = (errno.EROFS, errno.EACCES, errno.EPERM)
"""Errors of the system where no file can be created."""

IGNORED_IN_EMPTY_FOLDER: Final = frozenset({LOCK, NEW, "lost+found"})
"""Files in a folder that counts as empty: of a killed first backup, or of a new file system."""


class BackupRefused(StorageError):
    """A folder cannot be a backup's target, be restored from or be promoted; the message says why."""


@dataclass(frozen=True, slots=True)
class Marker:
    """Contents of the marker.

    Attributes:
        registry: the identity of the registry.
        origin: the URL of the metadata that was copied, for people.
        finished: when the last backup ended, in ISO 8601; "" if none has.
    """

    registry: str
    origin: str = ""
    finished: str = ""

    @property
    def standby_of(self) -> str:
        """The message of a standby that refuses a write."""
        origin = f" ({self.origin})" if self.origin else ""
        return f"this is a standby of registry {self.registry}{origin}; it is read-only"


def read_marker(folder: Path) -> Marker | None:
    """Return the marker of a folder, or None if it has none.

    Raises:
        BackupRefused: the marker cannot be read.
    """
    try:
        fields = json.loads((folder / FILE).read_bytes())
        if fields["format"] > FORMAT:
            raise BackupRefused(f"{folder} holds a backup by a newer release of Lading; use that release")
        return Marker(str(fields["registry"]), str(fields["origin"]), str(fields["finished"]))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise BackupRefused(f"{folder / FILE} cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise BackupRefused(f"{folder / FILE} is damaged, so the registry of this backup is unknown") from error


def write_marker(folder: Path, marker: Marker) -> None:
    """Replace the marker; it is durable on return."""
    new = folder / NEW
    with open(new, "w", opener=private_opener) as file:
        json.dump({"format": FORMAT, **asdict(marker)}, file)
        file.flush()
        os.fsync(file.fileno())
    new.replace(folder / FILE)
    flush_folder(folder)


def remove_marker(folder: Path) -> None:
    """Remove the marker; the removal is durable on return."""
    (folder / FILE).unlink()
    flush_folder(folder)


def check_target(folder: Path, registry: str) -> None:
    """Check that a folder is empty, absent, or a backup of this registry; create nothing.

    Raises:
        BackupRefused: it is anything else.
    """
    if folder.exists() and not folder.is_dir():
        raise BackupRefused(f"{folder} is not a folder")
    marker = read_marker(folder)
    if marker is not None:
        if marker.registry != registry:
            raise BackupRefused(
                f"{folder} holds a backup of another registry ({marker.registry}, this one is {registry});"
                " use another folder"
            )
        return
    if not folder.exists() or {entry.name for entry in folder.iterdir()} <= IGNORED_IN_EMPTY_FOLDER:
        return
    if (folder / DATABASE).exists():
        raise BackupRefused(f"{folder} holds a registry that is not a backup; use an empty folder")
    raise BackupRefused(f"{folder} is not empty, and is not a backup; use an empty folder")


@contextlib.contextmanager
def file_errors(folder: Path) -> Iterator[None]:
    """Turn errors about files of a backup into Unavailable or StoreFull, with messages for people."""
    try:
        yield
    except StoreFull as error:
        if not error.place.is_relative_to(folder):
            raise
        raise _full(folder) from error
    except OSError as error:
        if error.errno in NO_SPACE:
            raise _full(folder) from error
        raise Unavailable(f"{error.filename or folder}: {error.strerror}") from error


def _full(folder: Path) -> StoreFull:
    return StoreFull("the backup", folder, "free some on that disk, or enlarge it; the previous backup is unchanged")


@contextlib.contextmanager
def locked(folder: Path, shared: bool = False) -> Iterator[None]:
    """Hold the lock of a backup's folder for a block; the kernel releases it when the process ends.

    Args:
        folder: the folder of the backup.
        shared: whether to share the lock with other readers. A reader needs no lock in a folder that is read-only and
            has no lock file.

    Raises:
        BackupRefused: another process holds the lock.
    """
    descriptor = _open_lock(folder / LOCK, shared)
    if descriptor is None:
        yield
        return
    try:
        try:
            fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BackupRefused(f"another backup, restore or promotion is running in {folder}") from None
        yield
    finally:
        os.close(descriptor)


def _open_lock(path: Path, shared: bool) -> int | None:
    """Open the lock file, created if it is absent; None if it is absent, and cannot be created for a reader."""
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
    except OSError as error:
        if not shared or error.errno not in READ_ONLY:
            raise
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except (FileNotFoundError, PermissionError):
        return None

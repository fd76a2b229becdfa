"""The marker of a backup: a file in its folder that says whose backup it is, and that nothing else is to write there.

    backup.json   the registry's identity, where it was copied from, when the last backup ended
    backup.lock   an empty file that a backup, a restore or a promotion holds a lock on (flock), which ends with it

A folder with the marker is a standby: `lading serve` serves it without writing.
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
"""The marker while it is written: a crash, or a full disk, leaves it."""

READ_ONLY: Final = (errno.EROFS, errno.EACCES, errno.EPERM)
"""What the system says where nothing can be made."""

IGNORED_IN_EMPTY_FOLDER: Final = frozenset({LOCK, NEW, "lost+found"})
"""What a folder may hold that counts as empty: a killed first backup, or a new file system."""


class BackupRefused(StorageError):
    """A folder that is not backed up into, restored from or promoted; the message says why."""


@dataclass(frozen=True, slots=True)
class Marker:
    """What the file says.

    registry  the identity of the registry
    origin    the URL of the metadata that was copied, for people
    finished  when the last backup ended, ISO 8601, or "" where none has
    """

    registry: str
    origin: str = ""
    finished: str = ""

    @property
    def standby_of(self) -> str:
        """What a standby says of itself."""
        origin = f" ({self.origin})" if self.origin else ""
        return f"this is a standby of registry {self.registry}{origin}: it takes no writes"


def read_marker(folder: Path) -> Marker | None:
    """Return the marker of a folder, or None where it has none. Raises BackupRefused where it cannot be read."""
    try:
        fields = json.loads((folder / FILE).read_bytes())
        if fields["format"] > FORMAT:
            raise BackupRefused(f"{folder} holds a backup by a newer release of Lading")
        return Marker(str(fields["registry"]), str(fields["origin"]), str(fields["finished"]))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise BackupRefused(f"{folder / FILE} cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise BackupRefused(f"{folder / FILE} is damaged, and does not say whose backup this is") from error


def write_marker(folder: Path, marker: Marker) -> None:
    """Write the marker over the one that is there; it is on the disk on return."""
    new = folder / NEW
    with open(new, "w", opener=private_opener) as file:
        json.dump({"format": FORMAT, **asdict(marker)}, file)
        file.flush()
        os.fsync(file.fileno())
    new.replace(folder / FILE)
    flush_folder(folder)


def remove_marker(folder: Path) -> None:
    """Remove the marker; it is gone from the disk on return."""
    (folder / FILE).unlink()
    flush_folder(folder)


def check_target(folder: Path, registry: str) -> None:
    """Raise BackupRefused unless a folder is empty, absent, or a backup of this very registry. Makes nothing."""
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
        raise BackupRefused(f"{folder} holds a registry that is no backup; use an empty folder")
    raise BackupRefused(f"{folder} is not empty, and holds no backup; use an empty folder")


@contextlib.contextmanager
def file_errors(folder: Path) -> Iterator[None]:
    """Turn errors about files of a backup into Unavailable, or Full, in words for people."""
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
    return StoreFull("the backup", folder, "free some on that disk, or enlarge it; the backup before is as it was")


@contextlib.contextmanager
def locked(folder: Path, shared: bool = False) -> Iterator[None]:
    """Hold the lock of a backup's folder; the kernel releases it whatever ends this process.

    shared  beside others that only read; where the folder cannot be written and has no lock, without one
    Raises BackupRefused where another process holds it.
    """
    descriptor = _open_lock(folder / LOCK, shared)
    if descriptor is None:
        yield
        return
    try:
        try:
            fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BackupRefused(f"another backup, restore or promotion is at work in {folder}") from None
        yield
    finally:
        os.close(descriptor)


def _open_lock(path: Path, shared: bool) -> int | None:
    """Open the lock, made where there is none; None where there is none, and none can be made for a reader."""
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
    except OSError as error:
        if not shared or error.errno not in READ_ONLY:
            raise
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except (FileNotFoundError, PermissionError):
        return None

"""Private folders and files, and folders whose names survive a power failure.

Everything that Lading creates on a disk is accessible to its own user only, whatever the umask: layers and names may be
private, and so may their copies in backups and scratch files. Existing files and folders keep their modes, except for
an empty folder (`make_private_if_empty`); `lading doctor` checks them.

A new name is durable only once the folder that contains it has been flushed, even if its content was flushed before.
"""

import contextlib
import errno
import os
from pathlib import Path
from typing import Final

from lading_storage.errors import NO_SPACE, Unavailable

FOLDER_MODE: Final = 0o700
FILE_MODE: Final = 0o600
"""Modes of created folders and files. The umask can only restrict them further."""


def make_durably(folder: Path) -> None:
    """Create `folder` and its missing parents, and flush the name of each to the disk.

    The name of `folder` is flushed even if it exists, because the process that created it may have been killed before
    the flush. A failure of that flush is ignored: the folder may be a mount point in a read-only file system, or in a
    folder of another user.
    """
    created = _create(folder)
    for each in created:
        flush_folder(each.parent)
    if not created:
        try:
            flush_folder(folder.parent)
        except OSError:
            return


def make_store(folder: Path) -> None:
    """Create the folder of a store, like `make_durably`. Raises Unavailable, and OSError on a full disk."""
    try:
        make_durably(folder)
    except OSError as error:
        if error.errno in NO_SPACE:
            raise
        raise Unavailable(
            f"{error.filename or folder}: {error.strerror}; use another --data FOLDER, or change the owner of this one"
        ) from error


def make_private_if_empty(folder: Path) -> None:
    """Restrict an existing empty folder, such as a mount point or one created in advance, to the own user.

    A folder with content, or of another user, keeps its mode.
    """
    with contextlib.suppress(OSError):
        if folder.stat().st_uid == os.geteuid() and not any(folder.iterdir()):
            folder.chmod(FOLDER_MODE)


def make_private(folder: Path) -> None:
    """Create `folder` and its missing parents, without flushing their names."""
    _create(folder)


def private_opener(path: str, flags: int) -> int:
    """Open a file, created for the own user only if it does not exist. An `opener` for the built-in `open`."""
    return os.open(path, flags | os.O_CLOEXEC, FILE_MODE)


def flush_folder(folder: Path) -> None:
    """Flush the names in `folder` to the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _create(folder: Path) -> list[Path]:
    """Create `folder` and its missing parents. Return the created folders, outermost first."""
    folder = folder.absolute()
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    for each in reversed(missing):
        each.mkdir(FOLDER_MODE, exist_ok=True)
    if not folder.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder))
    return missing[::-1]

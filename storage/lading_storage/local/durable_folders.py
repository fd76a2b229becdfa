"""Folders and files for the own user alone, and folders whose names survive a power failure.

Whatever Lading makes on a disk is for its own user alone, whatever the umask: layers and names may be private, and so
may be what a backup or a scratch file copies of them. What exists keeps its mode, but for an empty folder (`claim`);
`lading doctor` looks at it.

A new name is on the disk only once the folder that holds it is flushed, whatever was flushed below it.
"""

import contextlib
import errno
import os
from pathlib import Path
from typing import Final

from lading_storage.errors import NO_SPACE, Unavailable

FOLDER_MODE: Final = 0o700
FILE_MODE: Final = 0o600
"""Modes of what is made. A umask could only take more away."""


def make_durably(folder: Path) -> None:
    """Make `folder` and the parents that it lacks, and flush the name of each to the disk.

    The name of `folder` is flushed even where it exists: the process that made it may have been killed before it did
    so. That it cannot be flushed is no error then: it may be a mount point in a file system that is read-only, or in a
    folder that belongs to somebody else.
    """
    made = _make(folder)
    for each in made:
        flush_folder(each.parent)
    if not made:
        try:
            flush_folder(folder.parent)
        except OSError:
            return


def make_store(folder: Path) -> None:
    """Make the folder of a store as `make_durably` does. Raises Unavailable, and OSError on a full disk."""
    try:
        make_durably(folder)
    except OSError as error:
        if error.errno in NO_SPACE:
            raise
        raise Unavailable(
            f"{error.filename or folder}: {error.strerror}; use another --data FOLDER, or change who owns this one"
        ) from error


def make_private_if_empty(folder: Path) -> None:
    """Let only the own user into a folder that is there and empty, as one that was made beforehand is, or mounted.

    One with anything in it keeps its mode, and so does another user's.
    """
    with contextlib.suppress(OSError):
        if folder.stat().st_uid == os.geteuid() and not any(folder.iterdir()):
            folder.chmod(FOLDER_MODE)


def make_private(folder: Path) -> None:
    """Make `folder` and the parents that it lacks."""
    _make(folder)


def private_opener(path: str, flags: int) -> int:
    """Open a file, made for the own user alone where it is not there: an `opener` of the built-in `open`."""
    return os.open(path, flags | os.O_CLOEXEC, FILE_MODE)


def flush_folder(folder: Path) -> None:
    """Flush the names in `folder` to the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _make(folder: Path) -> list[Path]:
    """Make `folder` and the parents that it lacks; return what was made, the outermost first."""
    folder = folder.absolute()
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    for each in reversed(missing):
        each.mkdir(FOLDER_MODE, exist_ok=True)
    if not folder.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder))
    return missing[::-1]

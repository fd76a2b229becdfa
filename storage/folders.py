"""Folders and files for the own user alone, and folders whose names survive a power failure.

Whatever Lading makes on a disk is for its own user alone, whatever the umask: layers and names may be private, and so
may be what a backup or a scratch file copies of them. What exists keeps its mode; `lading doctor` looks at it.

A new name is on the disk only once the folder that holds it is flushed, whatever was flushed below it.
"""

import os
from pathlib import Path
from typing import Final

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
        raise NotADirectoryError(f"{folder} is no folder")
    return missing[::-1]

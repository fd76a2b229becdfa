"""Folders whose names survive a power failure.

A new name is on the disk only once the folder that holds it is flushed, whatever was flushed below it.
"""

import os
from pathlib import Path


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
        each.mkdir(exist_ok=True)
    if not folder.is_dir():
        raise NotADirectoryError(f"{folder} is no folder")
    return missing[::-1]

"""Reserve of a disk: a file that is there to be deleted, so that a full disk can be collected.

Whatever frees space has to write first: its lease, and that something is gone. `lading serve` makes the file; a
collection deletes it before it opens the stores, and makes it again when it is done. A server lends most of it to
deletions.
"""

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from lading_storage.errors import StorageError
from lading_storage.local.durable_folders import FILE_MODE
from lading_storage.local.sqlite_owner import is_metadata_store

SIZE: Final = 4 * 1024 * 1024
"""Bytes: as many as SQLite's log has before it is written back, which is more than a collection needs to begin."""

SIZES: Final = tuple(SIZE >> halvings for halvings in range(5))
"""What is tried, down to 256 KiB. A collection that freed little leaves less space than the reserve had, since the log
grew meanwhile; without a reserve, whoever fills the disk then could not be collected any more."""

NAME: Final = "reserve"


def create_reserve(metadata: str) -> None:
    """Make the reserve beside a metadata store of this machine, or what the disk has space for of it."""
    path = _path(metadata)
    if path is None or not hasattr(os, "posix_fallocate"):
        return
    with contextlib.suppress(OSError):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
        try:
            if not any(_allocate(descriptor, size) for size in SIZES):
                path.unlink()
        finally:
            os.close(descriptor)


def _allocate(descriptor: int, size: int) -> bool:
    """Allocate `size` bytes of a file that may have fewer; returns whether the disk has space for them."""
    try:
        os.posix_fallocate(descriptor, 0, size)
    except OSError:
        # Some file systems keep what they allocated up to the failure.
        return False
    return True


@contextlib.contextmanager
def released(metadata: str) -> Iterator[None]:
    """Let a metadata store have the reserve in this block, which is made again at its end, also after a failure."""
    path = _path(metadata)
    if path is not None:
        # Who may not remove it may not write the stores either, and is told so by them.
        with contextlib.suppress(OSError):
            path.unlink()
    try:
        yield
    finally:
        create_reserve(metadata)


@contextlib.contextmanager
def partly_released(metadata: str) -> Iterator[None]:
    """Let a deletion in this block have the reserve but for the least that a collection begins with."""
    path = _path(metadata)
    if path is not None:
        with contextlib.suppress(OSError):
            if path.stat().st_size > SIZES[-1]:
                os.truncate(path, SIZES[-1])
    try:
        yield
    finally:
        create_reserve(metadata)


def _path(metadata: str) -> Path | None:
    """Return where the reserve is; None where the metadata is not on this machine, or there is none."""
    parts = urlsplit(metadata)
    if parts.scheme != "sqlite":
        return None
    database = Path(unquote(parts.path))
    return database.parent / NAME if _is_registry(database) else None


def _is_registry(database: Path) -> bool:
    """Whether a file of that name in its folder is ours to make and to delete."""
    try:
        return is_metadata_store(database)
    except sqlite3.Error:
        # As where the disk is too full for what SQLite has in memory: the reserve is for that.
        return True
    except StorageError:
        return False

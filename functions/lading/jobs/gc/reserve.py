"""Reserved disk space: a file that is deleted when the disk is full, so that garbage collection can run.

Freeing space requires writing first: the job's lease, and the records of what is removed. `lading serve` creates the
file; a collection deletes it before it opens the stores, and creates it again at its end. A server releases most of it
to deletions.
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
"""Bytes: the size of SQLite's write-ahead log at its checkpoint, and more than a collection needs to start."""

SIZES: Final = tuple(SIZE >> halvings for halvings in range(5))
"""Sizes in bytes to try, down to 256 KiB. A collection that freed little leaves less space than the reserve took, since
the log grew meanwhile. Without any reserve, a disk that fills up after that could no longer be collected."""

NAME: Final = "reserve"


def create_reserve(metadata: str) -> None:
    """Create the reserve beside a metadata store on this machine, in the largest of SIZES that the disk has space for.

    Args:
        metadata: the URL of the metadata store; nothing is created for one that is not on this machine.
    """
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
    """Extend a file to `size` allocated bytes; return whether the disk has space for them."""
    try:
        os.posix_fallocate(descriptor, 0, size)
    except OSError:
        # Some file systems keep the blocks that they allocated before the failure.
        return False
    return True


@contextlib.contextmanager
def released(metadata: str) -> Iterator[None]:
    """Delete the reserve for the duration of a block, and create it again at its end, also after a failure."""
    path = _path(metadata)
    if path is not None:
        # A process without permission to remove it cannot write the stores either, and they report that.
        with contextlib.suppress(OSError):
            path.unlink()
    try:
        yield
    finally:
        create_reserve(metadata)


@contextlib.contextmanager
def partly_released(metadata: str) -> Iterator[None]:
    """Shrink the reserve for the duration of a block, to the least that a collection needs to start."""
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
    """Return the path of the reserve, or None where the metadata store is not on this machine or does not exist."""
    parts = urlsplit(metadata)
    if parts.scheme != "sqlite":
        return None
    database = Path(unquote(parts.path))
    return database.parent / NAME if _is_registry(database) else None


def _is_registry(database: Path) -> bool:
    """Return whether the folder of a database is a registry's, where the reserve may be created and deleted."""
    try:
        return is_metadata_store(database)
    except sqlite3.Error:
        # For example on a disk too full for SQLite's shared memory, which is what the reserve is for.
        return True
    except StorageError:
        return False

"""Stores in a folder of a test's own."""

from pathlib import Path

from functions.jobs.backup import Stores
from storage.filesystem import FilesystemBlobs
from storage.sqlite import SqliteMetadata


def folder_stores(folder: Path) -> Stores:
    """Open, or make, the two stores of a data folder."""
    return Stores(FilesystemBlobs(folder / "blobs"), SqliteMetadata(folder / "metadata.sqlite"))

"""Stores in a folder of a test's own."""

from pathlib import Path

from lading_storage.local.filesystem import FilesystemBlobs
from lading_storage.local.sqlite import SqliteMetadata
from lading_storage.stores import Stores


def folder_stores(folder: Path) -> Stores:
    """Open, or make, the two stores of a data folder."""
    return Stores(FilesystemBlobs(folder / "blobs"), SqliteMetadata(folder / "metadata.sqlite"))

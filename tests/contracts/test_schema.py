"""The folder says which version of its layout it has. Those of the metadata stores have tests of their own."""

from pathlib import Path

import pytest

from lading_storage.errors import StorageError
from lading_storage.local.filesystem import FilesystemBlobs


def test_a_folder_of_a_newer_release_is_refused(tmp_path: Path) -> None:
    FilesystemBlobs(tmp_path / "blobs").close()
    (tmp_path / "blobs" / "LAYOUT").write_text("2\n")

    with pytest.raises(StorageError, match="newer release"):
        FilesystemBlobs(tmp_path / "blobs")

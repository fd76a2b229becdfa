"""Making a registry of its own of a backup."""

import contextlib
from pathlib import Path

from lading.jobs.backup.folder import open_data
from lading.jobs.backup.marker import BackupRefused, file_errors, locked, read_marker, remove_marker
from lading.registry.identity import replace_identity


def promote(folder: Path) -> str:
    """Let the backup in a folder be a registry of its own; returns its identity. No backup goes into it any more.

    It gets another identity first: the registry that it is a copy of may go on. Whoever is stopped in between leaves a
    folder that is neither backed up into nor served as a registry, and that can be promoted again.
    Raises BackupRefused where there is no backup, or where it is in use.
    """
    if read_marker(folder) is None:
        raise BackupRefused(f"{folder} is no backup")
    with file_errors(folder), locked(folder):
        marker = read_marker(folder)
        if marker is None or not marker.finished:
            raise BackupRefused(f"the first backup into {folder} has not ended; there is nothing to promote")
        with contextlib.closing(open_data(folder)) as stores:
            identity = replace_identity(stores.metadata)
        remove_marker(folder)
    return identity

"""Promotion of a backup to an independent registry."""

import contextlib
from pathlib import Path

from lading.jobs.backup.folder import open_data
from lading.jobs.backup.marker import BackupRefused, file_errors, locked, read_marker, remove_marker
from lading.registry.identity import replace_identity


def promote(folder: Path) -> str:
    """Make the backup in a folder an independent registry, which takes no more backups.

    It gets a new identity first, since the original registry may continue. An interrupted promotion leaves a folder
    that is refused as a target of backups and as a registry, and that can be promoted again.

    Returns:
        The new identity.

    Raises:
        BackupRefused: there is no backup, or it is in use.
    """
    if read_marker(folder) is None:
        raise BackupRefused(f"{folder} is not a backup; name a folder that `lading backup` wrote")
    with file_errors(folder), locked(folder):
        marker = read_marker(folder)
        if marker is None or not marker.finished:
            raise BackupRefused(f"the first backup into {folder} has not ended; complete it before you promote it")
        with contextlib.closing(open_data(folder)) as stores:
            identity = replace_identity(stores.metadata)
        remove_marker(folder)
    return identity

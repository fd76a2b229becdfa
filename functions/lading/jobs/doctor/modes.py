"""Check of what other users of this machine may read: the data folder, and the files with secrets."""

from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from lading.jobs.doctor.checks import Check, CheckFailed, CheckSkipped
from lading.settings import Settings, local_path

GROUP_AND_OTHERS_MASK: Final = 0o077
"""Bits of a mode that let the group and all other users read, write or pass."""

TRAVERSE_MASK: Final = 0o011
"""Bits of a folder's mode that let them reach what is in it."""


class FileModeChecks:
    """Check of the folders and files that the settings name."""

    def __init__(self, settings: Settings) -> None:
        """Check what is on this machine of the settings' stores and keys."""
        self._paths = _paths(settings)

    def checks(self) -> list[Check]:
        """Return the one check."""
        return [Check("modes", self.modes)]

    def modes(self) -> str:
        """The stores, keys and passwords are for their owner alone."""
        if not any(path.exists() for path in self._paths):
            raise CheckSkipped("neither stores nor keys are on this machine")
        if wide := self.exposed():
            names = ", ".join(f"{path} ({path.stat().st_mode & 0o777:04o})" for path in wide)
            raise CheckFailed(f"other users of this machine may read {names}", f"chmod go= {' '.join(map(str, wide))}")
        return "the stores, keys and passwords are for their owner alone"

    def exposed(self) -> list[Path]:
        """Return what other users of this machine may read or reach; nothing inside a private folder."""
        return [path for path in self._paths if path.exists() and _is_exposed(path)]


def _is_exposed(path: Path) -> bool:
    return bool(path.stat().st_mode & GROUP_AND_OTHERS_MASK) and all(
        parent.stat().st_mode & TRAVERSE_MASK for parent in path.parents
    )


def _paths(settings: Settings) -> list[Path]:
    """Return the folders of the stores, and the files with secrets, the outer ones first."""
    found = [
        *(local_path(url, "file") for url in (settings.blobs, settings.keys) if urlsplit(url).scheme == "file"),
        *(each for each in (settings.hmac_key, settings.cdn_key, settings.tls_key) if each is not None),
        settings.users,
    ]
    if urlsplit(settings.metadata).scheme == "sqlite":
        database = local_path(settings.metadata, "sqlite")
        # Any other folder may be shared with other programs, as /var/lib is, and must stay open to them.
        found.append(database.parent if database.parent == settings.data else database)
    return sorted({path.absolute() for path in found}, key=lambda path: (len(path.parts), path))

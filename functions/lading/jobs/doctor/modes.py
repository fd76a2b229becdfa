"""Check of file modes: which data and secrets other users of this machine can read."""

from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from lading.jobs.doctor.checks import Check, CheckFailed, CheckSkipped
from lading.local_path import local_path
from lading.settings import Settings

GROUP_AND_OTHERS_MASK: Final = 0o077
"""Mode bits of read, write and execute for the group and for others."""

TRAVERSE_MASK: Final = 0o011
"""Mode bits of a folder that let the group and others access its entries."""


class FileModeChecks:
    """Check of the folders and files that the settings name."""

    def __init__(self, settings: Settings) -> None:
        """Check those stores, keys and passwords of the settings that are on this machine."""
        self._paths = _paths(settings)

    def checks(self) -> list[Check]:
        """Return the check."""
        return [Check("modes", self.modes)]

    def modes(self) -> str:
        """Check that only their owner can access the stores, keys and passwords."""
        if not any(path.exists() for path in self._paths):
            raise CheckSkipped("neither stores nor keys are on this machine")
        if exposed := self.exposed():
            names = ", ".join(f"{path} ({path.stat().st_mode & 0o777:04o})" for path in exposed)
            remedy = f"chmod go= {' '.join(map(str, exposed))}"
            raise CheckFailed(f"other users of this machine can read {names}", remedy)
        return "only their owner can read the stores, keys and passwords"

    def exposed(self) -> list[Path]:
        """Return the paths that other users of this machine can access; nothing inside a private folder."""
        return [path for path in self._paths if path.exists() and _is_exposed(path)]


def _is_exposed(path: Path) -> bool:
    return bool(path.stat().st_mode & GROUP_AND_OTHERS_MASK) and all(
        parent.stat().st_mode & TRAVERSE_MASK for parent in path.parents
    )


def _paths(settings: Settings) -> list[Path]:
    """Return the folders of the stores and the files with secrets, parents first."""
    paths = [
        *(local_path(url, "file") for url in (settings.blobs, settings.keys) if urlsplit(url).scheme == "file"),
        *(each for each in (settings.hmac_key, settings.cdn_key, settings.tls_key) if each is not None),
        settings.users,
    ]
    if urlsplit(settings.metadata).scheme == "sqlite":
        database = local_path(settings.metadata, "sqlite")
        # Any other folder may be shared with other programs, as /var/lib is, and must stay accessible to them.
        paths.append(database.parent if database.parent == settings.data else database)
    return sorted({path.absolute() for path in paths}, key=lambda path: (len(path.parts), path))

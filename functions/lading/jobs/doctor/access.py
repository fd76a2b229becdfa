"""Check of the files of users and grants: a running server ignores a wrong file and keeps the one before it."""

from pathlib import Path
from typing import Final

from lading.jobs.doctor.checks import Check, CheckFailed, CheckSkipped

REMEDY: Final = "correct that line: until then a running server keeps the file as it was, and no server can be started"


class AccessFileChecks:
    """Check of what decides where --access is users."""

    def __init__(self, access: str, users: Path, grants: Path) -> None:
        """Check the two files, where `access` says that they count."""
        self._access = access
        self._users = users
        self._grants = grants

    def checks(self) -> list[Check]:
        """Return the one check."""
        return [Check("access", self.access)]

    def access(self) -> str:
        """Both files are read as a server reads them."""
        if self._access != "users":
            raise CheckSkipped("no files of users and grants decide")
        from lading.auth.access_files import COST, FileInvalid, read_grants, read_users
        from lading.auth.watched_file import read_file

        try:
            users = read_file(self._users, read_users)
            grants = read_file(self._grants, read_grants)
        except FileInvalid as error:
            raise CheckFailed(error, REMEDY) from error
        cheap = (
            f", {len(users.weakly_hashed)} with a hash cheap to guess (bcrypt cost below {COST})"
            if users.weakly_hashed
            else ""
        )
        return f"{len(users.hashes)} users{cheap}; {len(grants)} grants"

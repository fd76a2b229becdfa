"""Check of the files of users and grants: a running server ignores an invalid file and keeps the last valid one."""

from pathlib import Path
from typing import Final

from lading.jobs.doctor.checks import Check, CheckFailed, CheckSkipped
from lading.quantity import counted

REMEDY: Final = "correct that line; until then a running server uses the last valid file, and no server can start"


class AccessFileChecks:
    """Check of the files that authorize clients with --access users."""

    def __init__(self, access: str, users: Path, grants: Path) -> None:
        """Check the files `users` and `grants`, if the setting `access` is users."""
        self._access = access
        self._users = users
        self._grants = grants

    def checks(self) -> list[Check]:
        """Return the check."""
        return [Check("access", self.access)]

    def access(self) -> str:
        """Check that both files are valid, by reading them as a server does."""
        if self._access != "users":
            raise CheckSkipped("--access is not users: no files of users and grants are used")
        from lading.auth.access_files import COST, FileInvalid, read_grants, read_users
        from lading.auth.watched_file import read_file

        try:
            users = read_file(self._users, read_users)
            grants = read_file(self._grants, read_grants)
        except FileInvalid as error:
            raise CheckFailed(error, REMEDY) from error
        weak = (
            f", {len(users.weakly_hashed)} with a weak hash (bcrypt cost below {COST})" if users.weakly_hashed else ""
        )
        return f"{counted(len(users.hashes), 'user')}{weak}; {counted(len(grants), 'grant')}"

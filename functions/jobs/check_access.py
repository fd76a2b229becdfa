"""Check of the files of users and grants: a running server ignores a wrong file and keeps the one before it."""

from pathlib import Path
from typing import Final

from functions.jobs.checks import Check, Failed, Skipped

MEND: Final = "correct that line: until then a running server keeps the file as it was, and no server can be started"


class AccessFiles:
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
            raise Skipped("no files of users and grants decide")
        from functions.auth.access_files import COST, FileInvalid, read_grants, read_users
        from functions.auth.watched_file import read_file

        try:
            users = read_file(self._users, read_users)
            grants = read_file(self._grants, read_grants)
        except FileInvalid as error:
            raise Failed(error, MEND) from error
        cheap = f", {len(users.cheap)} with a hash cheap to guess (bcrypt cost below {COST})" if users.cheap else ""
        return f"{len(users.hashes)} users{cheap}; {len(grants)} grants"

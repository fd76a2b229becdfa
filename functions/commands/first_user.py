"""The first user of a registry, made when its first start has checked everything else.

The users' file is written last and decides: where it exists, the first start is over. A start that ends before has made
nobody, and the next one tells another password. Several first starts at once take turns: one makes the user.
"""

import fcntl
import logging
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from functions.settings import Settings, SettingsError

ADMIN: Final = "admin"

FIRST_GRANTS: Final = f"# who      repositories   may\n{ADMIN}      *              pull,push,delete\n"

log = logging.getLogger("lading")


def welcome(read: Settings, tell: Callable[[str], None]) -> None:
    """Call `tell` with the password of the first user, who is made after that, or with "" where there are users.

    Raises SettingsError where no user can be made.
    """
    if read.access != "users" or not _is_first_start(read):
        tell("")
        return
    try:
        read.users.parent.mkdir(parents=True, exist_ok=True)
        with _alone_in(read.users.parent):
            _make(read, tell) if _is_first_start(read) else tell("")
    except OSError as error:
        raise SettingsError(f"the first user cannot be made: {error.filename}: {error.strerror}") from None


def _is_first_start(read: Settings) -> bool:
    """Return whether there are no users, and no grants but those of a first start that did not come to its end."""
    if read.users.exists():
        return False
    return not read.grants.exists() or read.grants.read_text() in ("", FIRST_GRANTS)


def _make(read: Settings, tell: Callable[[str], None]) -> None:
    from functions.auth.local import hash_password

    password = secrets.token_urlsafe(12)
    read.grants.parent.mkdir(parents=True, exist_ok=True)
    _written(read.grants, FIRST_GRANTS).replace(read.grants)
    new = _written(read.users, f"{ADMIN}:{hash_password(password)}\n")
    try:
        tell(password)
        os.link(new, read.users)
    except FileExistsError:
        log.warning("%s has been made by somebody else: the password of %s above is void", read.users, ADMIN)
    finally:
        new.unlink()


def _written(path: Path, text: str) -> Path:
    """Write `text` to a new file beside `path`, flush it, and return it."""
    new = path.with_name(f".{path.name}-{secrets.token_hex(4)}")
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    return new


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder until the block ends. The system releases it where the process is killed."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)

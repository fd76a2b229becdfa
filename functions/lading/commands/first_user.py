"""The first user of a registry, made when its first start has checked everything else.

The password goes into a file beside the users that only its owner may read, and nowhere else: what a service prints is
kept by journals and containers' logs, and read by others. The users' file is written last and decides: where it exists,
the first start is over. A start that ends before has made no user, and the next one writes another password. Several
first starts at once take turns: one makes the user.
"""

import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Final

from lading.settings import Settings, SettingsError
from lading_storage.local.durable_folders import make_private

ADMIN: Final = "admin"

FIRST_GRANTS: Final = f"# who      repositories   may\n{ADMIN}      *              pull,push,delete\n"


def password_file(settings: Settings) -> Path:
    """Return where the first user's password is: beside the file of users."""
    return settings.users.with_name(f"{ADMIN}.password")


def forget_password(settings: Settings) -> None:
    """Remove the file with the first user's password, where there is one."""
    password_file(settings).unlink(missing_ok=True)


def first_user_text(password: Path) -> str:
    """Return what an operator is told of the first user."""
    return (
        f"The first user is {ADMIN}, with the password in {password}, which only its owner may read;\n"
        f"`lading users set {ADMIN}` sets another, and removes that file."
    )


def create_first_user(settings: Settings, tell: Callable[[Path | None], None]) -> None:
    """Make the first user, and call `tell` with the file of the password, or with None where there are users.

    Raises SettingsError where no user can be made.
    """
    if settings.access != "users" or not _is_first_start(settings):
        tell(None)
        return
    from lading.auth.users_file import folder_lock

    try:
        make_private(settings.users.parent)
        with folder_lock(settings.users.parent):
            made = _is_first_start(settings) and _make(settings)
    except OSError as error:
        raise SettingsError(
            f"the first user cannot be made: {error.filename}: {error.strerror};"
            " use another --users FILE, or --data FOLDER"
        ) from None
    tell(password_file(settings) if made else None)


def _is_first_start(settings: Settings) -> bool:
    """Return whether there are no users, and no grants but those of a first start that did not come to its end."""
    if settings.users.exists():
        return False
    return not settings.grants.exists() or settings.grants.read_bytes() in (b"", FIRST_GRANTS.encode())


def _make(settings: Settings) -> bool:
    """Write grants, password and users, in this order; return whether the user is ours."""
    from lading.auth.access_files import hash_password
    from lading.auth.users_file import write_beside

    password = secrets.token_urlsafe(12)
    make_private(settings.grants.parent)
    write_beside(settings.grants, FIRST_GRANTS).replace(settings.grants)
    write_beside(password_file(settings), f"{password}\n").replace(password_file(settings))
    new = write_beside(settings.users, f"{ADMIN}:{hash_password(password)}\n")
    try:
        os.link(new, settings.users)
    except FileExistsError:
        # Made meanwhile by other means: the password would be good for nothing.
        forget_password(settings)
        return False
    finally:
        new.unlink()
    return True

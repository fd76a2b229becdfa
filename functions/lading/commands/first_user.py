"""The first user of a registry, created at its first start, after all other checks.

The password is written to a file beside the users' file that only its owner may read, and nowhere else: journals and
containers' logs keep what a service prints, and others read them. The users' file is written last and decides: where it
exists, the first start is over. A start that is killed before creates no user, and the next one writes another
password. Concurrent first starts are serialized by a lock, and one of them creates the user.
"""

import os
import secrets
from collections.abc import Callable
from pathlib import Path
from shlex import quote
from typing import Final

from lading.settings import Settings, SettingsError
from lading_storage.local.durable_folders import make_private

ADMIN: Final = "admin"

FIRST_GRANTS: Final = f"# who      repositories   may\n{ADMIN}      *              pull,push,delete,manage\n"

FORMER_FIRST_GRANTS: Final = FIRST_GRANTS.replace(",manage", "")
"""The grants of releases without rules."""


def password_file(settings: Settings) -> Path:
    """Return the path of the file with the first user's password, beside the file of users."""
    return settings.users.with_name(f"{ADMIN}.password")


def forget_password(settings: Settings) -> None:
    """Remove the file with the first user's password if it exists."""
    password_file(settings).unlink(missing_ok=True)


def first_user_text(password: Path) -> str:
    """Return the sentences about the first user that operators read."""
    return (
        f"The first user is {ADMIN}, with the password in {password}, which only its owner may read;\n"
        f"`lading users set {ADMIN}` sets another, and removes that file."
    )


def login_line(settings: Settings, password: Path | None) -> str:
    """Return the command by which a client logs in to the registry, or "" where none is needed.

    Args:
        settings: of the registry.
        password: the file with the first user's password, where there is one.
    """
    address = settings.realm.partition("://")[2]
    if password:
        return f"docker login {address} -u {ADMIN} --password-stdin < {quote(str(password))}"
    match settings.access:
        case "everybody":
            return ""
        case "users":
            return f"docker login {address} -u USER"
    return f"gcloud auth print-access-token | docker login -u oauth2accesstoken --password-stdin {address}"


def create_first_user(settings: Settings, announce: Callable[[Path | None], None]) -> None:
    """Create the first user, and call `announce` with the password's file, or with None where there are users.

    Raises:
        SettingsError: no user can be created.
    """
    if settings.access != "users" or not _is_first_start(settings):
        announce(None)
        return
    from lading.auth.users_file import folder_lock

    try:
        make_private(settings.users.parent)
        with folder_lock(settings.users.parent):
            created = _is_first_start(settings) and _create(settings)
    except OSError as error:
        raise SettingsError(
            f"the first user cannot be created: {error.filename}: {error.strerror};"
            " use another --users FILE, or --data FOLDER"
        ) from None
    announce(password_file(settings) if created else None)


def _is_first_start(settings: Settings) -> bool:
    """Return whether there are no users, and no grants but those of an interrupted first start."""
    if settings.users.exists():
        return False
    first = (b"", FIRST_GRANTS.encode(), FORMER_FIRST_GRANTS.encode())
    return not settings.grants.exists() or settings.grants.read_bytes() in first


def _create(settings: Settings) -> bool:
    """Write grants, password and users, in this order; return whether this process created the user."""
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
        # Another program created the file meanwhile: the password would not be valid.
        forget_password(settings)
        return False
    finally:
        new.unlink()
    return True

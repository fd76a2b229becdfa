"""`lading users`: the file of users. What each user may do is in the file of grants, which operators edit."""

import argparse
import getpass
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from lading.commands.first_user import ADMIN, forget_password
from lading.commands.options import CommandError, Commands, add, add_group, require_registry
from lading.commands.output import Column, Printer, add_output_options
from lading.settings import Settings

OPTIONS: Final = ("data", "metadata", "users")


@dataclass(frozen=True, slots=True)
class UserRow:
    """User who can log in with a password."""

    name: str


COLUMNS: Final[tuple[Column[UserRow], ...]] = (Column("NAME", lambda row: row.name),)


def add_to(commands: Commands) -> None:
    """Add the commands."""
    users = add_group(commands, "users", "users with passwords, where Google accounts are not used")
    setting = add(users, "set", "add a user, or change the password of one", _set, OPTIONS)
    setting.add_argument("name", metavar="NAME")
    source = setting.add_mutually_exclusive_group()
    source.add_argument("--password-stdin", action="store_true", help="read the password from standard input")
    source.add_argument("--password-file", type=Path, metavar="FILE", help="read the password from a file's first line")
    remove = add(users, "remove", "remove a user", _remove, OPTIONS)
    remove.add_argument("name", metavar="NAME")
    add_output_options(add(users, "list", "list the users", _list, OPTIONS), UserRow, wide=False)


def _set(parsed: argparse.Namespace, settings: Settings) -> None:
    from lading.auth.access_files import hash_password, is_printable
    from lading.auth.credentials import TOKEN_USERS
    from lading.auth.users_file import UsersFile

    name: str = parsed.name
    if not name or ":" in name or name.startswith(("#", "robot+")) or name.split() != [name] or not is_printable(name):
        raise CommandError(
            "a user's name has no colon, no blank and no control or format character, and begins neither with # nor"
            " with robot+"
        )
    if name == "*" or TOKEN_USERS.fullmatch(name):
        raise CommandError(f"{name} is not a user's name: it is reserved")
    _require_registry(settings)
    UsersFile(settings.users).set(name, hash_password(_password(parsed)))
    _forget_first_password(name, settings)
    print(f"{name} can log in; what {name} may do is in {settings.grants}")


def _remove(parsed: argparse.Namespace, settings: Settings) -> None:
    from lading.auth.users_file import UsersFile

    _require_registry(settings)
    if not UsersFile(settings.users).remove(parsed.name):
        raise CommandError(f"there is no user {parsed.name}")
    _forget_first_password(parsed.name, settings)


def _list(parsed: argparse.Namespace, settings: Settings) -> None:
    _require_registry(settings)
    Printer.of(parsed).table(COLUMNS, _rows(settings.users))


def _rows(file: Path) -> Iterator[UserRow]:
    from lading.auth.users_file import UsersFile

    return map(UserRow, UsersFile(file).names())


def _forget_first_password(name: str, settings: Settings) -> None:
    """Remove the file with the first user's password, which is valid no more."""
    if name == ADMIN:
        forget_password(settings)


def _require_registry(settings: Settings) -> None:
    """Raise StoreNotFound where the file of users would be in a folder that no server reads."""
    if not settings.is_given("users"):
        require_registry(settings)


def _password(parsed: argparse.Namespace) -> str:
    """Return the password, which is never an argument: other users of the machine can read those."""
    if parsed.password_file:
        try:
            with parsed.password_file.open(encoding="utf-8", newline="") as file:
                return str(file.readline().rstrip("\r\n"))
        except OSError as error:
            raise CommandError(f"{parsed.password_file} cannot be read: {error.strerror}") from None
        except UnicodeDecodeError as error:
            raise CommandError(f"{parsed.password_file} is not UTF-8: {error.reason}") from None
    if parsed.password_stdin or not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\r\n")
    password = getpass.getpass("Password: ")
    if getpass.getpass("Again: ") != password:
        raise CommandError("the two passwords differ")
    return password

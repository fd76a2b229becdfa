"""`lading users`: the file of users. What each may do is in the file of grants, which is made by hand."""

import argparse
import getpass
import sys
from pathlib import Path

from lading.commands.first_user import ADMIN, forget_password
from lading.commands.options import CommandError, Commands, add, add_group, require_registry
from lading.settings import Settings


def add_to(commands: Commands) -> None:
    """Add the command."""
    users = add_group(commands, "users", "users of a registry that asks no Google")
    options = ("data", "metadata", "users")
    setting = add(users, "set", "add a user, or give one another password", _set, options)
    setting.add_argument("name", metavar="NAME")
    given = setting.add_mutually_exclusive_group()
    given.add_argument("--password-stdin", action="store_true", help="read the password from standard input")
    given.add_argument("--password-file", type=Path, metavar="FILE", help="read the password from a file's first line")
    removing = add(users, "remove", "remove a user", _remove, options)
    removing.add_argument("name", metavar="NAME")
    add(users, "list", "list the users", _list, options)


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
        raise CommandError(f"{name} is not a user's name: it stands for others")
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
    from lading.auth.users_file import UsersFile

    _require_registry(settings)
    for name in UsersFile(settings.users).names():
        print(name)


def _forget_first_password(name: str, settings: Settings) -> None:
    """Remove the file with the first user's password, which is good no more."""
    if name == ADMIN:
        forget_password(settings)


def _require_registry(settings: Settings) -> None:
    """Raise StoreNotFound where the file of users would lie in a folder that no server reads."""
    if not settings.is_given("users"):
        require_registry(settings)


def _password(parsed: argparse.Namespace) -> str:
    """Return the password, which is never an argument: others on the machine see those."""
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

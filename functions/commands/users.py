"""`lading users`: the file of users. What each may do is in the file of grants, which is made by hand."""

import argparse
import getpass
import secrets
import sys
from pathlib import Path

from functions.commands.options import CommandError, Commands, add, add_group, is_given, require_registry
from functions.settings import Settings


def add_to(commands: Commands) -> None:
    """Add the command."""
    users = add_group(commands, "users", "users of a registry that asks no Google")
    options = ("data", "metadata", "users")
    setting = add(users, "set", "add a user, or give one another password", _set, options)
    setting.add_argument("name", metavar="NAME")
    setting.add_argument("--password-stdin", action="store_true", help="read the password from standard input")
    removing = add(users, "remove", "remove a user", _remove, options)
    removing.add_argument("name", metavar="NAME")
    add(users, "list", "list the users", _list, options)


def _set(parsed: argparse.Namespace, read: Settings) -> None:
    from functions.auth.credentials import TOKEN_USERS
    from functions.auth.local import hash_password

    name: str = parsed.name
    if not name or ":" in name or name.startswith(("#", "robot+")) or name.split() != [name]:
        raise CommandError("a user's name has no colon and no blank, and begins neither with # nor with robot+")
    if name == "*" or TOKEN_USERS.fullmatch(name):
        raise CommandError(f"{name} is not a user's name: it stands for others")
    _require_registry(parsed, read)
    hashed = hash_password(_password(parsed))
    lines = [line for line in _lines(read.users) if line.partition(":")[0] != name]
    _write(read.users, [*lines, f"{name}:{hashed}"])
    print(f"{name} can log in; what {name} may do is in {read.grants}")


def _remove(parsed: argparse.Namespace, read: Settings) -> None:
    _require_registry(parsed, read)
    lines = _lines(read.users)
    kept = [line for line in lines if line.partition(":")[0] != parsed.name]
    if len(kept) == len(lines):
        raise CommandError(f"there is no user {parsed.name}")
    _write(read.users, kept)


def _list(parsed: argparse.Namespace, read: Settings) -> None:
    from functions.auth.local import read_users

    _require_registry(parsed, read)
    for name in read_users("\n".join(_lines(read.users))):
        print(name)


def _require_registry(parsed: argparse.Namespace, read: Settings) -> None:
    """Raise StoreNotFound where the file of users would lie in a folder that no server reads."""
    if not is_given(parsed, "users"):
        require_registry(read)


def _password(parsed: argparse.Namespace) -> str:
    if parsed.password_stdin or not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\r\n")
    password = getpass.getpass("Password: ")
    if getpass.getpass("Again: ") != password:
        raise CommandError("the two passwords differ")
    return password


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def _write(path: Path, lines: list[str]) -> None:
    """In the place of the old file at once: a server that reads it then reads all of the one or of the other."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}-{secrets.token_hex(4)}")
    new.touch(mode=0o600)
    new.write_text("".join(f"{line}\n" for line in lines))
    new.replace(path)

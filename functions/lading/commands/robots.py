"""`lading robots`: robots, the registry's own credentials for programs."""

import argparse
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

from lading.commands.options import (
    CommandError,
    Commands,
    add,
    add_group,
    metadata,
    parse_time,
    refuse_standby,
    value_or_stdin,
)
from lading.commands.output import Column, Printer, add_output_options, format_time
from lading.settings import Settings
from lading_storage.records.core import Key
from lading_storage.records.robots import Robot

if TYPE_CHECKING:
    from lading.auth.robots import Robots

OPTIONS: Final = ("data", "metadata", "keys", "url")
DEFAULT_LIFETIME: Final = "90d"
OUT_HELP: Final = "write the secret to a new file that only its owner may read, and do not print it"


@dataclass(frozen=True, slots=True)
class RobotRow:
    """Robot; `expires` is None for one that does not."""

    name: str
    actions: tuple[str, ...]
    repositories: tuple[str, ...]
    created: datetime
    expires: datetime | None
    expired: bool
    owner: str

    @classmethod
    def of(cls, robot: Robot) -> "RobotRow":
        """Return the row of a record."""
        return cls(
            name=robot.id,
            actions=robot.actions,
            repositories=robot.repositories,
            created=robot.created,
            expires=robot.expires,
            expired=robot.expires is not None and robot.expires <= datetime.now(UTC),
            owner=robot.owner,
        )

    @property
    def expiry(self) -> str:
        """When the robot expires, for people."""
        if self.expires is None:
            return "never"
        return f"{format_time(self.expires)}{' (expired)' if self.expired else ''}"


@dataclass(frozen=True, slots=True)
class SecretRow:
    """User name and password of a robot; `password` is "" where it is in `file`."""

    user: str
    password: str
    file: str


COLUMNS: Final[tuple[Column[RobotRow], ...]] = (
    Column("NAME", lambda row: row.name),
    Column("MAY", lambda row: row.actions),
    Column("REPOSITORIES", lambda row: row.repositories),
    Column("EXPIRES", lambda row: row.expiry),
    Column("OWNER", lambda row: row.owner),
)


def add_to(commands: Commands) -> None:
    """Add the commands."""
    robots = add_group(commands, "robots", "the registry's own credentials for programs that have no Google token")
    create = add(robots, "create", "create a robot, and print its secret, this once", _create, OPTIONS)
    create.add_argument("name", metavar="NAME")
    create.add_argument("--repositories", required=True, metavar="NAMES", help="such as team-a/*,library/app")
    create.add_argument("--may", default="pull", metavar="ACTIONS", help="pull, push or pull,push; default pull")
    create.add_argument(
        "--expires", default=DEFAULT_LIFETIME, metavar="IN", help=f"90d, 12h or never; default {DEFAULT_LIFETIME}"
    )
    create.add_argument("--owner", default="", metavar="WHO", help="a name, or - to read an ID token from stdin")
    rotate = add(robots, "rotate", "give a robot a new secret and a new expiry", _rotate, OPTIONS)
    rotate.add_argument("name", metavar="NAME")
    rotate.add_argument("--overlap", default="0m", metavar="FOR", help="how long the old secret is valid; default 0m")
    rotate.add_argument("--expires", default=DEFAULT_LIFETIME, metavar="IN", help=f"default {DEFAULT_LIFETIME}")
    for parser in (create, rotate):
        parser.add_argument("--out", type=Path, metavar="FILE", help=OUT_HELP)
        add_output_options(parser, SecretRow, wide=False)
    revoke = add(robots, "revoke", "revoke a robot", _revoke, OPTIONS)
    revoke.add_argument("name", metavar="NAME")
    add_output_options(add(robots, "list", "list the robots", _list, OPTIONS), RobotRow)


def _create(parsed: argparse.Namespace, settings: Settings) -> None:
    refuse_standby(settings)
    _check_out(parsed.out)
    secret = robots_of(settings).create(
        parsed.name,
        [name.strip() for name in parsed.repositories.split(",") if name.strip()],
        parsed.may.split(","),
        _owner(parsed.owner, settings),
        _parse_lifetime(parsed.expires),
    )
    _show(parsed, secret)


def _rotate(parsed: argparse.Namespace, settings: Settings) -> None:
    refuse_standby(settings)
    _check_out(parsed.out)
    secret = robots_of(settings).rotate(
        parsed.name, parse_time("--overlap", parsed.overlap), _parse_lifetime(parsed.expires)
    )
    _show(parsed, secret)


def _revoke(parsed: argparse.Namespace, settings: Settings) -> None:
    refuse_standby(settings)
    robots_of(settings).revoke(parsed.name)


def _list(parsed: argparse.Namespace, settings: Settings) -> None:
    Printer.of(parsed).table(COLUMNS, _rows(robots_of(settings)))


def _rows(robots: "Robots") -> Iterator[RobotRow]:
    return map(RobotRow.of, robots.all())


def robots_of(settings: Settings) -> "Robots":
    """Return the robots of the registry of the settings.

    Raises:
        StoreNotFound: there is no registry; no key is created then.
    """
    from lading.auth_composition import open_robots

    opened = metadata(settings)
    # First the registry, then the keys, which may be created here: a printed secret must be one that a server knows.
    opened.read([Key(Robot, "-")])
    return open_robots(settings, opened)


def _owner(text: str, settings: Settings) -> str:
    """Return the principal of an ID token, or the name that was given."""
    from lading.auth.credentials import is_jwt
    from lading.auth.google.client import GoogleClient
    from lading.auth.google.id_tokens import IdTokens
    from lading.registry.errors import RegistryError

    owner = value_or_stdin(text)
    if not is_jwt(owner):
        return owner
    if text != "-":
        raise CommandError("an ID token is read from standard input, not from an argument: use --owner -")
    try:
        return IdTokens(GoogleClient(), settings.realm).principal(owner)
    except RegistryError as error:
        raise CommandError(
            f"the ID token is not for {settings.realm}, or cannot be checked: {error.descriptor.code}"
        ) from None


def _check_out(out: Path | None) -> None:
    """Raise CommandError where the secret could not be written to `out`, before there is a secret."""
    if out and (out.exists() or not os.access(out.absolute().parent, os.W_OK)):
        raise CommandError(f"{out} exists already, or its folder cannot be written: name another file with --out")


def _show(parsed: argparse.Namespace, secret: str) -> None:
    """Write a secret to a new file that only its owner may read, and nothing else into it; or print it."""
    from lading.auth.robots import USER_PREFIX

    user, out = f"{USER_PREFIX}{parsed.name}", parsed.out
    if out is None:
        row = SecretRow(user, secret, "")
        Printer.of(parsed).record(row, f"user      {user}\npassword  {secret}")
        return
    try:
        with os.fdopen(os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(f"{secret}\n")
    except OSError as error:
        raise CommandError(
            f"{out} cannot be written: {error.strerror}; the secret is lost; create another with `lading robots rotate`"
        ) from None
    Printer.of(parsed).record(SecretRow(user, "", str(out)), f"user      {user}\npassword  in {out}")


def _parse_lifetime(text: str) -> timedelta | None:
    return None if text == "never" else parse_time("--expires", text)

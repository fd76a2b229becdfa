"""`lading robots`: credentials of our own."""

import argparse
import os
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
from lading.settings import Settings
from lading_storage.records.core import Key, Robot

if TYPE_CHECKING:
    from lading.auth.robots import Robots

OPTIONS: Final = ("data", "metadata", "keys", "url")
DEFAULT_LIFETIME: Final = "90d"
OUT_HELP: Final = "write the secret to a new file that only its owner may read, and do not show it"


def add_to(commands: Commands) -> None:
    """Add the command."""
    robots = add_group(commands, "robots", "credentials of the registry's own, for where no Google token can be had")
    creating = add(robots, "create", "make a robot, and show its secret this once", _create, OPTIONS)
    creating.add_argument("name", metavar="NAME")
    creating.add_argument("--repositories", required=True, metavar="NAMES", help="as in team-a/*,library/app")
    creating.add_argument("--may", default="pull", metavar="ACTIONS", help="pull, push or pull,push; default pull")
    creating.add_argument(
        "--expires", default=DEFAULT_LIFETIME, metavar="IN", help=f"as in 90d, 12h, never; default {DEFAULT_LIFETIME}"
    )
    creating.add_argument("--owner", default="", metavar="WHO", help="a name, or - to read an ID token from stdin")
    creating.add_argument("--out", type=Path, metavar="FILE", help=OUT_HELP)
    rotating = add(robots, "rotate", "give a robot a new secret and, where it expires, a new term", _rotate, OPTIONS)
    rotating.add_argument("name", metavar="NAME")
    rotating.add_argument("--overlap", default="0m", metavar="FOR", help="how long the old secret stays good")
    rotating.add_argument("--expires", default=DEFAULT_LIFETIME, metavar="IN", help=f"default {DEFAULT_LIFETIME}")
    rotating.add_argument("--out", type=Path, metavar="FILE", help=OUT_HELP)
    revoking = add(robots, "revoke", "end a robot", _revoke, OPTIONS)
    revoking.add_argument("name", metavar="NAME")
    add(robots, "list", "list the robots", _list, OPTIONS)


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
    _show(parsed.name, secret, parsed.out)


def _rotate(parsed: argparse.Namespace, settings: Settings) -> None:
    refuse_standby(settings)
    _check_out(parsed.out)
    secret = robots_of(settings).rotate(
        parsed.name, parse_time("--overlap", parsed.overlap), _parse_lifetime(parsed.expires)
    )
    _show(parsed.name, secret, parsed.out)


def _revoke(parsed: argparse.Namespace, settings: Settings) -> None:
    refuse_standby(settings)
    robots_of(settings).revoke(parsed.name)


def _list(parsed: argparse.Namespace, settings: Settings) -> None:
    now = datetime.now(UTC)
    for robot in robots_of(settings).all():
        end = "never" if robot.expires is None else f"{robot.expires:%Y-%m-%d %H:%M} UTC"
        expired = " (expired)" if robot.expires and robot.expires <= now else ""
        may, names = ",".join(robot.actions), ",".join(robot.repositories)
        print(f"{robot.id}\t{may}\t{names}\texpires {end}{expired}\tof {robot.owner or '-'}")


def robots_of(settings: Settings) -> "Robots":
    """The robots of the registry of the settings. Raises StoreNotFound, before any key is made."""
    from lading.composition import open_robots

    opened = metadata(settings)
    # A secret that is shown must be one that a server knows: the keys, which may be made here, come second.
    opened.read([Key(Robot, "-")])
    return open_robots(settings, opened)


def _owner(text: str, settings: Settings) -> str:
    """Whom an ID token names, or the name that was given."""
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
            f"the ID token is none for {settings.realm}, or cannot be checked: {error.descriptor.code}"
        ) from None


def _check_out(out: Path | None) -> None:
    """Raise CommandError where the secret could not be written to `out`, before it is made."""
    if out and (out.exists() or not os.access(out.absolute().parent, os.W_OK)):
        raise CommandError(f"{out} exists already, or its folder cannot be written: name another file with --out")


def _show(name: str, secret: str, out: Path | None) -> None:
    """Show a secret: in a new file that only its owner may read, with nothing else in it, or on standard output."""
    from lading.auth.robots import USER_PREFIX

    if out is None:
        print(f"user      {USER_PREFIX}{name}\npassword  {secret}")
        return
    try:
        with os.fdopen(os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(f"{secret}\n")
    except OSError as error:
        raise CommandError(
            f"{out} cannot be written: {error.strerror}; the secret is lost; make another by `lading robots rotate`"
        ) from None
    print(f"user      {USER_PREFIX}{name}\npassword  in {out}")


def _parse_lifetime(text: str) -> timedelta | None:
    return None if text == "never" else parse_time("--expires", text)

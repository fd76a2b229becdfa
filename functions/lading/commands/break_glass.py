"""`lading policy break-glass`: let an image be pulled for a while that policies refuse."""

import argparse
from dataclasses import dataclass
from typing import Final

from lading.commands.options import CommandError, Commands, Reference, add, parse_time, reference, registry_errors
from lading.commands.output import Printer, add_output_options
from lading.commands.source import add_registry_options
from lading.settings import Settings

DEFAULT_TIME: Final = "1h"


@dataclass(frozen=True, slots=True)
class ExceptionRow:
    """Exception that was opened, or closed.

    policies  those that allow the image
    images    the digests that it is for
    until     when it ends; "" where it was closed
    """

    repository: str
    digest: str
    policies: tuple[str, ...]
    images: tuple[str, ...]
    until: str


def add_to(group: Commands) -> None:
    """Add the command to the group `policy`."""
    command = add(
        group, "break-glass", "let an image be pulled for a while, as a caller whom a policy names for that", _open, ()
    )
    command.add_argument("reference", metavar="REPOSITORY:TAG|REPOSITORY@DIGEST")
    command.add_argument("--reason", metavar="TEXT", default="", help="why, for the audit log and events")
    command.add_argument(
        "--for", dest="time", metavar="TIME", default=DEFAULT_TIME, help=f"at most 24h; default {DEFAULT_TIME}"
    )
    command.add_argument("--end", action="store_true", help="end the exceptions of the image instead")
    add_registry_options(command)
    add_output_options(command, ExceptionRow)


def _open(parsed: argparse.Namespace, settings: Settings) -> None:
    target = reference(parsed.reference, parsed.registry)
    if not target.tag and not target.digest:
        raise CommandError(f"{parsed.reference} names no image; use REPOSITORY:TAG or REPOSITORY@DIGEST")
    if parsed.registry is None:
        raise CommandError("a policy names callers of a registry: use --registry https://HOST")
    if not parsed.end and not parsed.reason.strip():
        raise CommandError("an exception needs --reason TEXT")
    parse_time("--for", parsed.time)
    with registry_errors():
        row = _changed(parsed, target)
    names = ", ".join(row.policies)
    text = f"{parsed.reference} may be pulled until {row.until[:19]}Z, whatever {names} says"
    Printer.of(parsed).record(row, f"{names} decides about {parsed.reference} again" if parsed.end else text)


def _changed(parsed: argparse.Namespace, target: Reference) -> ExceptionRow:
    """Open or close the exception. When it ends is the registry's to say: this machine's clock may be another's.

    Raises RegistryError, ClientError, CommandError.
    """
    from lading.commands.http_listing import below
    from lading.commands.http_source import open_connection

    connection = open_connection(parsed)
    path, scope = below(target.repository, "exceptions")
    named = {"reference": target.digest or target.tag}
    if parsed.end:
        found = connection.request("DELETE", path, scope, named)
    else:
        found = connection.request("POST", path, scope, {}, {**named, "reason": parsed.reason, "for": parsed.time})
    try:
        policies, images = (tuple(map(str, found[name])) for name in ("policies", "images"))
        return ExceptionRow(target.repository, str(found["digest"]), policies, images, str(found.get("until", "")))
    except (TypeError, LookupError, AttributeError):
        raise CommandError("the response of the registry cannot be used") from None

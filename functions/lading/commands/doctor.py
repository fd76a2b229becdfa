"""`lading doctor`: check a deployment, and print a remedy for each check that fails."""

import argparse
import getpass
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from lading.commands.options import ACCESS, CommandError, Commands, add
from lading.commands.output import Column, Printer, add_output_options
from lading.local_path import local_path
from lading.settings import Settings
from lading_storage.errors import StorageError

if TYPE_CHECKING:
    from lading.jobs.doctor.checks import Check, Finding
    from lading.jobs.doctor.host import Credentials

OPTIONS: Final = (*ACCESS, "address", "blobs", "hmac-key", "cdn-key", "trusted-hops")

TOKEN_USER: Final = "oauth2accesstoken"  # noqa: S105  # a name
"""The user name that goes with a Google access token."""


@dataclass(frozen=True, slots=True)
class CheckRow:
    """Result of a check; `state` is ok, FAILED or skipped, and `remedy` is "" unless it failed."""

    state: str
    check: str
    detail: str
    remedy: str


COLUMNS: Final[tuple[Column[CheckRow], ...]] = (
    Column("STATE", lambda row: row.state, width=8),
    Column("CHECK", lambda row: row.check, width=10),
    Column("DETAIL", lambda row: f"{row.detail}\n→ {row.remedy}" if row.remedy else row.detail, multiline=True),
)


def add_to(commands: Commands) -> None:
    """Add the command."""
    doctor = add(commands, "doctor", "check a deployment by small real requests, and print remedies", _doctor, OPTIONS)
    doctor.add_argument(
        "--user",
        metavar="USER",
        help="get a token as this user; the password is read from standard input. Without it: a Google access token in"
        " the environment variable LADING_TOKEN",
    )
    doctor.add_argument(
        "--repository",
        default="lading/doctor",
        metavar="NAME",
        help="where to check rights, and to push random bytes that are deleted at once; default lading/doctor",
    )
    add_output_options(doctor, CheckRow)


def _doctor(parsed: argparse.Namespace, settings: Settings) -> None:
    from lading.jobs.doctor.checks import CheckState

    failed = 0

    def rows() -> Iterator[CheckRow]:
        nonlocal failed
        for finding in _findings(parsed, settings):
            failed += finding.state is CheckState.FAILED
            remedy = finding.remedy if finding.state is CheckState.FAILED else ""
            yield CheckRow(finding.state.value, finding.name, finding.detail, remedy)

    # One by one: a check can take seconds.
    Printer.of(parsed).table(COLUMNS, rows(), batch_size=1)
    if failed:
        raise CommandError(f"{failed} of the checks failed")


def _findings(parsed: argparse.Namespace, settings: Settings) -> "Iterator[Finding]":
    from lading.jobs.doctor.checks import run_checks

    return run_checks(_checks(parsed, settings))


def _checks(parsed: argparse.Namespace, settings: Settings) -> "Iterator[Check]":
    from lading.composition import open_blobs, open_metadata
    from lading.jobs.doctor.access import AccessFileChecks
    from lading.jobs.doctor.checks import Check
    from lading.jobs.doctor.front import FrontChecks
    from lading.jobs.doctor.host import HostChecks
    from lading.jobs.doctor.modes import FileModeChecks
    from lading.jobs.doctor.stores import StoreChecks

    host = HostChecks(settings.realm, _credentials(parsed), parsed.repository, settings.trusted_hops)
    yield from host.checks()
    yield from FrontChecks(settings.realm, parsed.repository, host).checks()
    if not _names_stores(parsed, settings):
        yield Check("stores", _skip)
        return
    stores = StoreChecks(
        lambda: open_blobs(_existing(settings.blobs), settings.hmac_key, settings.cdn_key),
        lambda: open_metadata(_existing(settings.metadata)),
        settings.blobs.startswith("gs:"),
    )
    yield from stores.checks()
    yield from AccessFileChecks(settings.access, settings.users, settings.grants).checks()
    yield from FileModeChecks(settings).checks()


def _names_stores(parsed: argparse.Namespace, settings: Settings) -> bool:
    """Return whether the options name the registry's stores and files; False where only its address is given."""
    named = any(settings.is_given(option) for option in ("data", "blobs", "metadata", "access", "users", "grants"))
    return named or not settings.is_given("url") or settings.data.exists()


def _skip() -> str:
    from lading.jobs.doctor.checks import CheckSkipped

    raise CheckSkipped("--url alone names no stores and files; to check them as well, name them as the registry does")


def _existing(url: str) -> str:
    """Return `url`. Raises StorageError where it is a file or folder that does not exist: no check creates it."""
    scheme = url.partition(":")[0]
    if scheme in ("file", "sqlite") and not local_path(url, scheme).exists():
        raise StorageError(
            f"there is no {local_path(url, scheme)}: use --data, or --blobs and --metadata, as the registry does"
        )
    return url


def _credentials(parsed: argparse.Namespace) -> "Credentials | None":
    from lading.jobs.doctor.host import Credentials

    if not parsed.user:
        token = os.environ.get("LADING_TOKEN", "").strip()
        return Credentials(TOKEN_USER, token) if token else None
    if sys.stdin.isatty():
        return Credentials(parsed.user, getpass.getpass("Password: "))
    return Credentials(parsed.user, sys.stdin.readline().rstrip("\r\n"))

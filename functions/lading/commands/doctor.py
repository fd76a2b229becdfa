"""`lading doctor`: whether a deployment is in order, and if not, what mends it."""

import argparse
import getpass
import os
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from lading.commands.options import ACCESS, CommandError, Commands, add
from lading.settings import Settings, local_path
from lading_storage.errors import StorageError

if TYPE_CHECKING:
    from lading.jobs.doctor.checks import Check
    from lading.jobs.doctor.host import Credentials

OPTIONS: Final = (*ACCESS, "address", "blobs", "hmac-key", "cdn-key", "trusted-hops")

TOKEN_USER: Final = "oauth2accesstoken"  # noqa: S105  # a name
"""The user name that goes with a Google access token."""


def add_to(commands: Commands) -> None:
    """Add the command."""
    doctor = add(commands, "doctor", "check a deployment by small real calls, and say what mends it", _doctor, OPTIONS)
    doctor.add_argument(
        "--user",
        default="",
        metavar="USER",
        help="as whom to get a token; the password is read from standard input. Without: a Google access token in the"
        " variable LADING_TOKEN",
    )
    doctor.add_argument(
        "--repository",
        default="lading/doctor",
        metavar="NAME",
        help="where to look for rights, and to push random bytes that are deleted at once; default lading/doctor",
    )


def _doctor(parsed: argparse.Namespace, settings: Settings) -> None:
    from lading.jobs.doctor.checks import CheckState, run_checks

    failed = 0
    for finding in run_checks(_checks(parsed, settings)):
        print(f"{finding.state.value:8} {finding.name:10} {finding.detail}", flush=True)
        if finding.state is CheckState.FAILED:
            failed += 1
            print(f"{'':8} {'':10} → {finding.remedy}")
    if failed:
        raise CommandError(f"{failed} of the checks failed")


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
    if not _is_told_stores(parsed, settings):
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


def _is_told_stores(parsed: argparse.Namespace, settings: Settings) -> bool:
    """Return whether the registry's stores and files are named, or its address alone, as from a laptop."""
    named = any(settings.is_given(option) for option in ("data", "blobs", "metadata", "access", "users", "grants"))
    return named or not settings.is_given("url") or settings.data.exists()


def _skip() -> str:
    from lading.jobs.doctor.checks import CheckSkipped

    raise CheckSkipped(
        "--url alone says nothing of stores and files; name them as the registry does to check them, too"
    )


def _existing(url: str) -> str:
    """`url`, where it is no file or folder that would have to be made."""
    scheme = url.partition(":")[0]
    if scheme in ("file", "sqlite") and not local_path(url, scheme).exists():
        raise StorageError(
            f"there is no {local_path(url, scheme)}: say --data, or --blobs and --metadata, as the registry does"
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

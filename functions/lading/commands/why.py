"""`lading why`: whether an image may be pulled, by which policies, and by which facts."""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from lading.commands import exit_status
from lading.commands.options import (
    REGISTRY,
    CommandError,
    Commands,
    Reference,
    add,
    reference,
    registry,
    registry_errors,
)
from lading.commands.output import Column, Printer, add_output_options, format_time
from lading.commands.scan_text import scan_line
from lading.commands.source import add_registry_options, refuse_credentials, refuse_stores
from lading.json_values import parse
from lading.registry.details import ScanSummary
from lading.registry.policies.explained import ExplainedImage, ExplainedPolicy, Explanation
from lading.settings import Settings

if TYPE_CHECKING:
    from lading.client.connection import Connection

DENIED: Final = "denied"


@dataclass(frozen=True, slots=True)
class _Row:
    image: ExplainedImage
    policy: ExplainedPolicy


COLUMNS: Final[tuple[Column[_Row], ...]] = (
    Column("IMAGE", lambda row: row.image.digest),
    Column("POLICY", lambda row: row.policy.policy),
    Column("MODE", lambda row: row.policy.mode),
    Column("DECISION", lambda row: row.policy.outcome),
    Column("WHY", lambda row: _why_text(row.policy)),
)


def add_to(commands: Commands) -> None:
    """Add the command."""
    why = add(commands, "why", "explain whether policies allow an image to be pulled", _why, REGISTRY)
    why.add_argument("reference", metavar="REPOSITORY:TAG|REPOSITORY@DIGEST")
    why.add_argument(
        "--as",
        dest="principal",
        metavar="PRINCIPAL",
        help="for this caller, as the audit log names it; over HTTP that needs the right to push",
    )
    add_registry_options(why)
    add_output_options(why, Explanation)


def _why(parsed: argparse.Namespace, settings: Settings) -> int:
    target = reference(parsed.reference, parsed.registry)
    if not target.tag and not target.digest:
        raise CommandError(f"{parsed.reference} names no image; use REPOSITORY:TAG or REPOSITORY@DIGEST")
    with registry_errors():
        explained = _explained(parsed, settings, target)
    printer = Printer.of(parsed)
    if parsed.json:
        printer.record(explained, "")
    else:
        _print(printer, parsed.reference, explained)
    return exit_status.FAILED if explained.outcome == DENIED else exit_status.OK


def _explained(parsed: argparse.Namespace, settings: Settings, target: Reference) -> Explanation:
    """Return the explanation. Raises RegistryError, ClientError, CommandError."""
    if parsed.registry is None:
        refuse_credentials(parsed)
        opened = registry(settings, writes=False)
        # What is verified here is kept by the server's next pull.
        opened.become_standby()
        found = opened.inspection.find_digest(target.repository, target.digest) if target.digest else target.tag
        return opened.gates.explainer.explain(target.repository, found, parsed.principal or "")
    from lading.commands.http_source import open_connection

    refuse_stores(parsed)
    return _over_http(open_connection(parsed), target, parsed.principal)


def _over_http(connection: "Connection", target: Reference, principal: str | None) -> Explanation:
    from lading.commands.http_listing import below

    path, scope = below(target.repository, "policy")
    asked = {} if principal is None else {"principal": principal}
    found = connection.request("GET", path, scope, {"reference": target.digest or target.tag, **asked})
    try:
        return parse(Explanation, found)
    except ValueError as error:
        raise CommandError(f"the response of the registry cannot be used: {error}") from None


def _print(printer: Printer, name: str, explained: Explanation) -> None:
    printer.fields(
        {
            "reference": name,
            "digest": explained.digest,
            "caller": explained.principal or "an anonymous client",
            "decision": explained.outcome,
            "note": explained.note or None,
            **{f"fact ({number})": fact for number, fact in enumerate(_facts(explained), 1)},
        }
    )
    if explained.images:
        print()
        printer.table(COLUMNS, [_Row(image, policy) for image in explained.images for policy in image.policies])


def _why_text(policy: ExplainedPolicy) -> str:
    """Return why an image does not pass, or is exempted from what."""
    reasons = "; ".join(policy.reasons)
    if not policy.exemption:
        return reasons
    return f"{policy.exemption}, although {reasons}" if reasons else policy.exemption


def _facts(explained: Explanation) -> Iterator[str]:
    """Yield what is known of each image: its signatures, its scan, and the findings because of which it is refused."""
    for image in explained.images:
        for each in image.signatures:
            signed = f"its index {each.index} is" if each.index else "it is"
            yield f"{image.digest}: {signed} signed by {each.signer} ({each.format}, {format_time(each.at)})"
        yield from (f"{image.digest}: {remark}" for remark in image.remarks)
        yield f"{image.digest}: {_scan_text(image.scan)}"
        findings = dict.fromkeys(finding for each in image.policies for finding in each.findings)
        yield from (f"{image.digest}: {finding}" for finding in findings)


def _scan_text(scan: ScanSummary | None) -> str:
    if scan is None:
        return "it is not scanned: it was pushed while images were not (`lading scan-missing`), or is no image"
    return f"scan: {scan_line(scan)}" + (f" ({format_time(scan.at)})" if scan.at else "")

"""`lading scan`: what is inside an image, and which of it is vulnerable."""

import argparse
import json
import sys
import time
from typing import TYPE_CHECKING, Final

from lading.commands import exit_status
from lading.commands.options import REGISTRY, CommandError, Commands, add, reference, registry_errors
from lading.commands.output import Column, Printer, add_output_options
from lading.commands.scan_text import NO_FINDINGS, NO_FINDINGS_IN_PART, NOTHING_COMPARED, missing_text
from lading.commands.source import add_registry_options
from lading.json_values import parse
from lading.quantity import counted
from lading.scanning.documents.scan_document import KNOWN_STATES, ScanDocument
from lading.scanning.documents.table import Row, table
from lading.scanning.findings import DONE, SEVERITIES, WAITING
from lading.settings import Settings
from lading.terminal_text import escape

if TYPE_CHECKING:
    from lading.commands.scan_source import ScanSource

TABLE: Final = "table"
JSON: Final = "json"
FORMATS: Final = (TABLE, JSON, "cyclonedx", "spdx", "sarif", "harbor", "occurrences")

MAX_WAIT: Final = 3600.0
"""Seconds in which a scan has to end."""


OPTIONS: Final = (*REGISTRY, "vex-keys", "scan-keys")

COLUMNS: Final[tuple[Column[Row], ...]] = (
    Column("SEVERITY", lambda row: row.severity),
    Column("ID", lambda row: row.id),
    Column("PACKAGE", lambda row: row.package),
    Column("VERSION", lambda row: row.version),
    Column("FIXED", lambda row: row.fixed),
    Column("REMARKS", lambda row: "; ".join(row.remarks)),
)


def add_to(commands: Commands) -> None:
    """Add the command."""
    scan = add(commands, "scan", "show the vulnerabilities of an image, its SBOM, or scan it again", _scan, OPTIONS)
    scan.add_argument("reference", metavar="REPOSITORY:TAG|REPOSITORY@DIGEST")
    scan.add_argument("--platform", default="", metavar="OS/ARCH", help="the image of an index for this platform")
    scan.add_argument("--again", action="store_true", help="scan the image again, whatever was found before")
    scan.add_argument(
        "--wait",
        action="store_true",
        help="wait until a scan that is due has ended; on the stores of this machine, scan it in this process",
    )
    scan.add_argument(
        "--format", choices=FORMATS, default=TABLE, metavar="FORMAT", help=f"{', '.join(FORMATS)}; default {TABLE}"
    )
    scan.add_argument(
        "--fail-on",
        choices=SEVERITIES,
        metavar="SEVERITY",
        help=f"end with status {exit_status.FAILED} if there is a vulnerability of this severity or a worse one, or if"
        f" that is not known: {', '.join(SEVERITIES)}",
    )
    add_registry_options(scan)
    add_output_options(scan, ScanDocument)


def _scan(parsed: argparse.Namespace, settings: Settings) -> int:
    from lading.commands.scan_source import open_scans

    target = reference(parsed.reference, parsed.registry)
    if not target.tag and not target.digest:
        raise CommandError(f"{parsed.reference} names no image; use {target.repository}:TAG")
    format = JSON if parsed.json else parsed.format
    with registry_errors():
        source = open_scans(parsed, settings, target)
        if parsed.again:
            source.again()
        document = _ended(source) if parsed.wait else _document(source)
        if format == TABLE:
            _print(Printer.of(parsed), parsed.reference, document)
        else:
            _write(source.read(format))
    return _checked(document, parsed.fail_on) if parsed.fail_on else exit_status.OK


def _document(source: "ScanSource") -> ScanDocument:
    """Return the last result. Raises RegistryError, ClientError, CommandError."""
    try:
        return parse(ScanDocument, json.loads(source.read(JSON)))
    except ValueError as error:
        raise CommandError(f"the result of the scan cannot be used: {error}") from None


def _ended(source: "ScanSource") -> ScanDocument:
    """Return the result once no scan of the image is due. Raises as _document, and CommandError after MAX_WAIT."""
    deadline = time.monotonic() + MAX_WAIT
    while (document := _document(source)).pending:
        if time.monotonic() > deadline:
            raise CommandError(f"the image was not scanned within {MAX_WAIT / 60:.0f} minutes; is a scanner running?")
        source.advance()
    return document


def _write(content: bytes) -> None:
    """Write a document as it is: programs read it, and no terminal need show it."""
    sys.stdout.flush()
    sys.stdout.buffer.write(content + b"\n")


def _print(printer: Printer, name: str, document: ScanDocument) -> None:
    printer.fields(
        {
            "reference": name,
            "digest": document.digest,
            "scan": _state(document),
            "scanned": document.at,
            "distribution": f"{document.distribution.id} {document.distribution.version}".strip(),
            "packages": document.packages,
            "vulnerabilities": _counts(document),
            "data": tuple(document.data),
            **{f"not known ({number})": gap for number, gap in enumerate(document.gaps, 1)},
            **{f"remark ({number})": remark for number, remark in enumerate(document.remarks, 1)},
        }
    )
    if document.at is None and not document.pending:
        printer.note(f"\n`lading scan {escape(name)} --again --wait` scans it")
    if document.vulnerabilities:
        print()
        printer.table(COLUMNS, table(document))


def _state(document: ScanDocument) -> str:
    due = "" if not document.pending or document.state == WAITING else "; another scan is due"
    return f"{document.state}{due}"


def _counts(document: ScanDocument) -> str | None:
    """Return the counts; why there are none in a state that has them; or None, which the state explains."""
    if document.counts is None:
        not_compared = f"not compared: {missing_text(document.missing)}" if document.missing else NOTHING_COMPARED
        return not_compared if document.state in KNOWN_STATES else None
    counts = [
        f"{count.fixable + count.unfixable} {severity} ({count.fixable} with a fix)"
        for severity in SEVERITIES
        if (count := document.counts.get(severity))
    ]
    return ", ".join(counts) or (NO_FINDINGS if document.state == DONE else NO_FINDINGS_IN_PART)


def _checked(document: ScanDocument, severity: str) -> int:
    """Return the exit status of --fail-on, and print why it is no success."""
    if document.state not in KNOWN_STATES or document.pending:
        reason = f"it is not known whether there are such vulnerabilities: the scan is {_state(document)}"
    elif document.missing:
        reason = f"there is no vulnerability data of {', '.join(document.missing)}, so that not all was compared"
    elif document.counts is None:
        reason = f"it is not known whether there are such vulnerabilities: {NOTHING_COMPARED}"
    else:
        limit = SEVERITIES.index(severity)
        found = sum(
            count.fixable + count.unfixable
            for name, count in document.counts.items()
            if name in SEVERITIES[: limit + 1] or name not in SEVERITIES
        )
        if not found:
            for note in document.notes:
                print(f"not known: {escape(note)}", file=sys.stderr)
            return exit_status.OK
        reason = counted(found, "vulnerability") + f" of severity {severity} or worse"
    print(f"lading: {escape(reason)}", file=sys.stderr)
    return exit_status.FAILED

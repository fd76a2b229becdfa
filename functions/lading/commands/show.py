"""`lading show`: what is known about a manifest, by tag or digest."""

import argparse
from collections.abc import Mapping, Sequence
from typing import Final, TypeVar

from lading.commands.ls import DAMAGED
from lading.commands.options import REGISTRY, CommandError, Commands, Reference, add, reference, registry_errors
from lading.commands.output import Column, Printer, add_output_options, format_size, to_json
from lading.commands.scan_text import scan_cell, scan_line
from lading.commands.signature_text import signed_line
from lading.commands.source import Source, add_registry_options, open_source
from lading.registry.details import (
    ConfigDetails,
    LayerDetails,
    ManifestDetails,
    PlatformDetails,
    ReferrerDetails,
    SignatureDetails,
)
from lading.settings import Settings
from lading.terminal_text import escape

T = TypeVar("T")

PLATFORM_COLUMNS: Final[tuple[Column[PlatformDetails], ...]] = (
    Column("PLATFORM", lambda row: row.platform),
    Column("DIGEST", lambda row: row.digest),
    Column("SIZE", lambda row: _size_text(row.size, row.damaged), right=True),
    Column("SCAN", lambda row: scan_cell(row.scan)),
)

LAYER_COLUMNS: Final[tuple[Column[LayerDetails], ...]] = (
    Column("LAYER", lambda row: row.digest),
    Column("SIZE", lambda row: _size_text(row.size, row.damaged), right=True),
    Column("MEDIA TYPE", lambda row: row.media_type),
)

SIGNATURE_COLUMNS: Final[tuple[Column[SignatureDetails], ...]] = (
    Column("SIGNATURE", lambda row: row.digest),
    Column("SIGNER", lambda row: row.signer),
    Column("IDENTITY", lambda row: row.identity),
    Column("FORMAT", lambda row: row.format),
    Column("ATTACHED", lambda row: row.attached),
    Column("EXPIRES", lambda row: row.expires),
)

REFERRER_COLUMNS: Final[tuple[Column[ReferrerDetails], ...]] = (
    Column("REFERRER", lambda row: row.digest),
    Column("ARTIFACT TYPE", lambda row: row.artifact_type),
    Column("SIZE", lambda row: format_size(row.size), right=True),
    Column("CREATED", lambda row: row.created),
    Column("TAG", lambda row: row.tag),
)


def add_to(commands: Commands) -> None:
    """Add the command."""
    show = add(
        commands,
        "show",
        "show platforms, layers, config, signatures, referrers of a manifest",
        _show,
        REGISTRY,
    )
    show.add_argument("reference", metavar="REPOSITORY:TAG|REPOSITORY@DIGEST")
    show.add_argument("--platform", default="", metavar="OS/ARCH", help="show the image of an index for this platform")
    add_registry_options(show)
    add_output_options(show, ManifestDetails)


def _show(parsed: argparse.Namespace, settings: Settings) -> None:
    name = reference(parsed.reference, parsed.registry)
    if not name.tag and not name.digest:
        raise CommandError(
            f"{parsed.reference} names no manifest; use {name.repository}:TAG, or `lading ls {name.repository}`"
        )
    source, printer = open_source(parsed, settings), Printer.of(parsed)
    with registry_errors():
        details = source.manifest(name)
        if parsed.platform:
            details = _for_platform(source, details, parsed.platform)
    if printer.json:
        print(to_json(details))
    else:
        _print(printer, details)


def _for_platform(source: Source, index: ManifestDetails, platform: str) -> ManifestDetails:
    """Return the details of an index's image for a platform, also where only the variant differs."""
    for prefix in (platform, f"{platform}/"):
        for each in index.platforms:
            if each.platform == platform or (prefix != platform and each.platform.startswith(prefix)):
                return source.manifest(Reference(index.repository, digest=each.digest))
    if not index.platforms and index.config and index.config.platform:
        if f"{index.config.platform}/".startswith(f"{platform}/"):
            return index
        raise CommandError(f"{index.digest} is an image for {escape(index.config.platform)}, not {escape(platform)}")
    known = ", ".join(each.platform for each in index.platforms) or "none"
    raise CommandError(f"{index.digest} has no image for {escape(platform)}; its platforms: {escape(known)}")


def _print(printer: Printer, details: ManifestDetails) -> None:
    name = f":{details.tag}" if details.tag else f"@{details.digest}"
    printer.fields(
        {
            "reference": f"{details.repository}{name}",
            "digest": details.digest,
            "media type": details.media_type,
            "artifact type": details.artifact_type if details.artifact_type != details.media_type else "",
            "subject": details.subject,
            "damaged": "its bytes are missing or damaged; push it again" if details.damaged else "",
            "size": None if details.size is None else format_size(details.size),
            "created": details.created,
            "pushed": details.pushed,
            "pushed by": _pusher(details),
            "last pull": details.last_pull,
            "scan": scan_line(details.scan),
            "scanned": details.scan.at if details.scan else None,
            "signed": signed_line(details.signed),
            "tags": details.tags,
            **_labels("annotation", details.annotations),
            **(_config_fields(details.config) if details.config else {}),
        }
    )
    _section(printer, PLATFORM_COLUMNS, details.platforms)
    _section(printer, LAYER_COLUMNS, details.layers)
    _section(printer, SIGNATURE_COLUMNS, details.signatures)
    _section(printer, REFERRER_COLUMNS, details.referrers)


def _size_text(size: int | None, damaged: bool) -> str:
    return DAMAGED if damaged else "(missing)" if size is None else format_size(size)


def _section(printer: Printer, columns: Sequence[Column[T]], rows: Sequence[T]) -> None:
    if rows:
        print()
        printer.table(columns, rows)


def _pusher(details: ManifestDetails) -> str:
    """Return who set the tag, and how where that was no push."""
    how = f" ({details.pushed_action})" if details.pushed_action not in ("", "push") else ""
    return f"{details.pushed_by}{how}".strip()


def _config_fields(config: ConfigDetails) -> Mapping[str, object]:
    return {
        "config": f"{config.digest} {DAMAGED}" if config.damaged else config.digest,
        "platform": config.platform,
        "built": config.created,
        "user": config.user,
        "working dir": config.working_dir,
        "entrypoint": " ".join(config.entrypoint),
        "command": " ".join(config.command),
        "ports": config.ports,
        "environment": " ".join(config.environment),
        **_labels("label", config.labels or {}),
    }


def _labels(kind: str, labels: Mapping[str, str]) -> Mapping[str, object]:
    return {f"{kind} {name}": value for name, value in labels.items()}

"""`lading tag`: set a tag to a manifest of the same repository."""

import argparse

from lading.commands.history import TagRow
from lading.commands.options import (
    REGISTRY,
    CommandError,
    Commands,
    add,
    change_context,
    reference,
    registry,
    registry_errors,
)
from lading.commands.output import Printer, add_output_options
from lading.settings import Settings


def add_to(commands: Commands) -> None:
    """Add the command."""
    tag = add(commands, "tag", "set a tag to what another tag or a digest names", _tag, REGISTRY)
    tag.add_argument("reference", metavar="REPOSITORY:TAG|REPOSITORY@DIGEST")
    tag.add_argument("tag", metavar="NEW_TAG")
    add_output_options(tag, TagRow)


def _tag(parsed: argparse.Namespace, settings: Settings) -> None:
    source, store = reference(parsed.reference), registry(settings)
    if not source.tag and not source.digest:
        raise CommandError(f"{parsed.reference} names no manifest; use REPOSITORY:TAG or REPOSITORY@DIGEST")
    with registry_errors():
        digest = store.inspection.find_digest(source.repository, source.digest) if source.digest else source.tag
        digest = store.manifests.find(source.repository, digest).digest
        store.push.tag(source.repository, digest, parsed.tag, change_context("tag"))
    row = TagRow(source.repository, parsed.tag, digest)
    Printer.of(parsed).record(row, f"{row.repository}:{row.tag} names {row.digest}")

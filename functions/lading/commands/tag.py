"""`lading tag`: set a tag to a manifest of the same repository."""

import argparse

from lading.commands.options import REGISTRY, CommandError, Commands, add, reference, registry_errors
from lading.commands.output import Printer, add_output_options
from lading.commands.rows import TagRow
from lading.commands.source import add_registry_options, open_source
from lading.settings import Settings


def add_to(commands: Commands) -> None:
    """Add the command."""
    tag = add(commands, "tag", "set a tag to what another tag or a digest names", _tag, REGISTRY)
    tag.add_argument("reference", metavar="REPOSITORY:TAG|REPOSITORY@DIGEST")
    tag.add_argument("tag", metavar="NEW_TAG")
    add_registry_options(tag)
    add_output_options(tag, TagRow)


def _tag(parsed: argparse.Namespace, settings: Settings) -> None:
    named, source = reference(parsed.reference, parsed.registry), open_source(parsed, settings, writes=True)
    if not named.tag and not named.digest:
        raise CommandError(f"{parsed.reference} names no manifest; use REPOSITORY:TAG or REPOSITORY@DIGEST")
    with registry_errors():
        digest = source.tag(named, parsed.tag)
    row = TagRow(named.repository, parsed.tag, digest)
    Printer.of(parsed).record(row, f"{row.repository}:{row.tag} names {row.digest}")

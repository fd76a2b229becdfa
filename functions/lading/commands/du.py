"""`lading du`: what repositories and tags take, alone and together, what that costs, and what clean-up would free."""

import argparse
import json
from functools import partial

from lading.commands.options import REGISTRY, CommandError, Commands, add, format_size, registry
from lading.commands.progress import CountedLine
from lading.settings import Settings


def add_to(commands: Commands) -> None:
    """Add the command."""
    counting = add(commands, "du", "count the bytes of repositories and tags", _count, (*REGISTRY, "cleanup"))
    counting.add_argument("repository", metavar="REPOSITORY", nargs="?", help="its tags; all repositories without it")
    counting.add_argument("--json", action="store_true", help="a line of JSON for each row, and one for the total")


def _count(parsed: argparse.Namespace, settings: Settings) -> None:
    from lading.commands.cleanup import cleanup_context, has_repository, names_of
    from lading.jobs.prices import BLOBS, RECORDS
    from lading.jobs.usage import Usage

    store, progress = registry(settings, writes=False), CountedLine()
    usage = Usage(store, cleanup_context(settings, store, needed=False))
    if parsed.repository and not has_repository(store, parsed.repository):
        raise CommandError(f"there is no repository {parsed.repository}")
    every = partial(names_of, store)
    rows = usage.of_tags(parsed.repository) if parsed.repository else usage.of_repositories(every, progress.count)
    if not parsed.json:
        print("name\tbytes\talone\tshared\tclean-up would free")
    for row in rows:
        progress.clear()
        figures = {"bytes": row.bytes, "alone": row.exclusive, "shared": row.shared, "frees": row.frees}
        if parsed.json:
            print(json.dumps({"name": row.name, **figures}))
        else:
            print("\t".join([row.name, *(format_size(figure) for figure in figures.values())]))
    total = usage.total
    stored, bill = total.blobs + total.manifests, round(total.monthly, 2)
    if parsed.json:
        print(json.dumps({"stored": stored, "saved": total.saved, "frees": total.frees, "dollars_a_month": bill}))
        return
    print(f"stored {format_size(stored)}; sharing saves {format_size(total.saved)}")
    print(f"on Google Cloud about ${bill:.2f} a month, without requests and traffic:")
    for price in (BLOBS, RECORDS):
        print(f"  ${price.dollars} a GiB: {price.what} ({f'read on {price.read}' if price.read else 'not confirmed'})")

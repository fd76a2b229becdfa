"""Source: where the commands that work over HTTP as well find a registry.

ls, show, history, rollback, tag, delete … ──▶ Source ─┬─▶ StoreSource  the stores of the settings
└─▶ HttpSource   --registry https://HOST
"""

import argparse
from collections.abc import Iterator, Sequence
from typing import Protocol

from lading.commands.options import STORES, CommandError, Parser, Reference
from lading.commands.rows import EventRow, RollbackTarget
from lading.registry.details import DeletedSummary, ManifestDetails, RepositorySummary, TagSummary
from lading.registry.pagination import Page
from lading.settings import Settings


class Source(Protocol):
    """A registry as commands see it. A digest in a Reference may be short.

    Each method raises RegistryError as the registry does, and ClientError where it cannot be reached.
    """

    def repositories(self, after: str, limit: int) -> Page[RepositorySummary]:
        """Return the first `limit` repositories after a name or cursor; fewer with a cursor where there are more."""
        ...

    def tags(self, repository: str, after: str, limit: int) -> Page[TagSummary]:
        """Return the first `limit` tags after a name; fewer with a cursor where there are more."""
        ...

    def manifest(self, target: Reference) -> ManifestDetails:
        """Return the details of the manifest that a tag or digest names."""
        ...

    def history(self, repository: str, tag: str, limit: int) -> Sequence[EventRow]:
        """Return the last `limit` events, newest first: of one tag, or of all if `tag` is ""."""
        ...

    def rollback(self, repository: str, tag: str, target: RollbackTarget) -> str:
        """Set a tag to a manifest that it named before; return its digest."""
        ...

    def tag(self, source: Reference, name: str) -> str:
        """Set the tag `name` to what a tag or digest names; return the digest."""
        ...

    def deleted(self, repository: str) -> Iterator[DeletedSummary]:
        """Return what can be restored: manifests, then tags."""
        ...

    def delete(self, target: Reference, for_good: bool) -> None:
        """Delete a tag, a manifest or a repository; `for_good` where nothing can be restored."""
        ...

    def undelete(self, target: Reference, force: bool) -> None:
        """Restore a tag, a manifest or a repository; `force` moves a tag that names another manifest now."""
        ...


def add_registry_options(parser: Parser) -> None:
    """Add `--registry` and the options of its credentials."""
    group = parser.add_argument_group("over HTTP")
    group.add_argument("--registry", metavar="URL", help="work on the registry at https://HOST, with docker's login")
    group.add_argument("--username", metavar="NAME", default="", help="log in as this user instead")
    group.add_argument("--password-file", metavar="FILE", default="", help="the user's password; - for standard input")
    group.add_argument("--gcloud", action="store_true", help="log in with `gcloud auth print-access-token` instead")


def open_source(parsed: argparse.Namespace, settings: Settings, writes: bool = False) -> Source:
    """Return the source that the options of a command name.

    Args:
        parsed: has the options of `add_registry_options`.
        settings: name the stores.
        writes: whether the command writes.

    Raises:
        CommandError: the options contradict one another, the URL or the credentials cannot be used, or the registry is
            a standby and the command writes.
        StoreNotFound: there is no registry.
        StorageError: a store cannot be opened.
    """
    if parsed.registry is None:
        from lading.commands.store_source import StoreSource

        refuse_credentials(parsed)
        return StoreSource(settings, writes)
    from lading.commands.http_source import HttpSource, open_connection

    refuse_stores(parsed)
    return HttpSource(open_connection(parsed))


def refuse_credentials(parsed: argparse.Namespace) -> None:
    """Raise CommandError where an option names credentials without --registry."""
    if parsed.username or parsed.password_file or parsed.gcloud:
        raise CommandError("--username, --password-file and --gcloud are for --registry https://HOST")


def refuse_stores(parsed: argparse.Namespace) -> None:
    """Raise CommandError where an option names stores beside --registry."""
    if given := [f"--{each}" for each in STORES if getattr(parsed, each)]:
        raise CommandError(f"--registry and {given[0]} name two registries; leave out one of them")

"""HttpSource: a registry by its management API, docs/management-api.md, and the distribution API."""

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from lading.client.connection import Connection, checked
from lading.client.credentials import Credentials, docker_config, from_docker, from_gcloud
from lading.client.errors import ClientError
from lading.commands.http_listing import CATALOG_SCOPE, MAX_PAGE, HttpListing, below
from lading.commands.options import CommandError, Reference, print_warnings
from lading.commands.rows import EventRow, RollbackTarget
from lading.json_values import rfc3339
from lading.registry.details import DeletedSummary, ManifestDetails, RepositorySummary, TagSummary
from lading.registry.errors import NAME_UNKNOWN, RegistryError
from lading.registry.lifecycle.rollback import history_unknown
from lading.registry.pagination import Page

STANDARD_INPUT: Final = "-"

MAX_SECRET: Final = 64 * 1024


class HttpSource:
    """Source over HTTP. See Source."""

    def __init__(self, connection: Connection) -> None:
        """Make requests over `connection`."""
        self._connection = connection
        self._listing = HttpListing(connection)

    def repositories(self, after: str, limit: int) -> Page[RepositorySummary]:
        """See Source."""
        place = "/v2/_lading/repositories", CATALOG_SCOPE
        return self._listing.page(RepositorySummary, place, after, limit)[0]

    def tags(self, repository: str, after: str, limit: int) -> Page[TagSummary]:
        """See Source."""
        return self._listing.page(TagSummary, below(repository, "tags"), after, limit)[0]

    def manifest(self, target: Reference) -> ManifestDetails:
        """See Source."""
        found = self._get(target.repository, "manifest", reference=target.digest or target.tag)
        return self._listing.parsed(ManifestDetails, found)

    def history(self, repository: str, tag: str, limit: int) -> Sequence[EventRow]:
        """See Source."""
        events: list[EventRow] = []
        last = ""
        while len(events) < limit:
            found = self._get(repository, "history", tag=tag, n=limit - len(events), last=last)
            events += [self._event(repository, each) for each in self._listing.items(found, "moves")]
            before, last = last, self._listing.text(found, "next")
            if not last or last == before:
                break
        return events[:limit]

    def rollback(self, repository: str, tag: str, target: RollbackTarget) -> str:
        """See Source."""
        to = (
            {"at": rfc3339(target.at)}
            if target.at
            else {"digest": target.digest or self._before(repository, tag, target)}
        )
        return self._listing.digest(self._change(repository, "rollback", {"tag": tag, **to}))

    def _before(self, repository: str, tag: str, target: RollbackTarget) -> str:
        """Return the digest that a tag named a number of events ago; by a digest, a rollback can be retried."""
        try:
            events = self.history(repository, tag, min(target.steps, MAX_PAGE - 1) + 1)
        except RegistryError as error:
            if error.descriptor.code != NAME_UNKNOWN.code:
                raise
            events = []
        if target.steps < 1 or len(events) <= target.steps or not events[target.steps].digest:
            raise history_unknown(tag, target.steps, len(events))
        return events[target.steps].digest

    def tag(self, source: Reference, name: str) -> str:
        """See Source."""
        body = {"reference": source.digest or source.tag, "tag": name}
        return self._listing.digest(self._change(source.repository, "tag", body))

    def deleted(self, repository: str) -> Iterator[DeletedSummary]:
        """See Source."""
        after = ""
        while True:
            page, _ = self._listing.page(DeletedSummary, below(repository, "deleted"), after, 0)
            yield from page.items
            after = page.next
            if not after:
                return

    def delete(self, target: Reference, for_good: bool) -> None:
        """See Source."""
        if for_good:
            raise ClientError("--for-good works on the stores alone: run it where they are, without --registry")
        path, scope = below(target.repository, "repository")
        if target.digest or target.tag:
            name = target.tag
            if target.digest:
                name = self._listing.digest(self._get(target.repository, "digest", prefix=target.digest))
            path = f"/v2/{target.repository}/manifests/{name}"
        self._connection.request("DELETE", path, scope, {})

    def undelete(self, target: Reference, force: bool) -> None:
        """See Source."""
        body: dict[str, Any] = {"tag": target.tag, "force": force} if target.tag else {}
        self._change(target.repository, "undelete", {"digest": target.digest} if target.digest else body)

    def _get(self, repository: str, word: str, **query: Any) -> Any:
        path, scope = below(repository, word)
        return self._connection.request("GET", path, scope, query)

    def _change(self, repository: str, word: str, body: Mapping[str, Any]) -> Any:
        path, scope = below(repository, word)
        changed = self._connection.request("POST", path, scope, {}, body)
        print_warnings(self._connection.warnings)
        return changed

    def _event(self, repository: str, value: Any) -> EventRow:
        fields = value if isinstance(value, dict) else {}
        names = ("by", "before", "digest")
        values = {**fields, "repository": repository, "time": fields.get("moved")}
        return self._listing.parsed(EventRow, values | {name: fields.get(name) or "" for name in names})


def open_connection(parsed: argparse.Namespace) -> Connection:
    """Return the connection to the registry of `--registry`. Raises CommandError."""
    try:
        url = checked(parsed.registry)
        return Connection(url, *_login(parsed, urlsplit(url).netloc))
    except ClientError as error:
        raise CommandError(str(error)) from None


def _login(parsed: argparse.Namespace, host: str) -> tuple[Callable[[str], Credentials | None], str]:
    """Return a function that returns the credentials for a host, and the advice where they are refused."""
    if parsed.username:
        if not parsed.password_file:
            raise CommandError("--username needs --password-file FILE, or --password-file - for standard input")
        secret = _read_secret(parsed.password_file)
        source = "standard input" if parsed.password_file == STANDARD_INPUT else parsed.password_file
        return lambda host: Credentials(parsed.username, secret, source), "check the user name and the password"
    if parsed.password_file:
        raise CommandError("--password-file is for --username")
    if parsed.gcloud:
        return lambda host: from_gcloud(), "run `gcloud auth login`"
    advice = f"run `docker login {host}` ({docker_config()} is read), or use --username NAME --password-file FILE"
    return from_docker, advice


def _read_secret(file: str) -> str:
    """Return the first line of a file, or of standard input for `-`. Raises CommandError."""
    try:
        if file == STANDARD_INPUT:
            return sys.stdin.readline(MAX_SECRET).rstrip("\r\n")
        with Path(file).open() as lines:
            return lines.readline(MAX_SECRET).rstrip("\r\n")
    except OSError as error:
        raise CommandError(f"--password-file {file}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise CommandError(f"--password-file {file} is not UTF-8") from None

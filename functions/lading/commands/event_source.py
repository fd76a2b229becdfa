"""Where `lading events tail` reads: the endpoint of a registry, or the stores of this machine."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Protocol

from lading.client.connection import NO_TOKEN, Connection
from lading.client.errors import ClientError
from lading.commands.event_rows import PublishedRow, row_of
from lading.commands.http_listing import HttpListing
from lading.events.cloud_event import cloud_event, is_selected
from lading.json_values import rfc3339
from lading.registry.errors import RegistryError
from lading.registry.events.event_cursor import EventCursor
from lading.registry.events.event_feed import EventFeed
from lading.registry.events.selection import Selection
from lading.setting_values import format_duration
from lading_storage.errors import Unavailable
from lading_storage.records.events import PublishedEvent

READ_INTERVAL: Final = 1.0
PAGE_SIZE: Final = 250
"""Seconds between two reads of the stores, and events of a page."""


class Unreachable(Exception):
    """The registry does not respond, or is busy; it may respond later."""


@dataclass(frozen=True, slots=True)
class Filter:
    """What a reader wants: globs, and from when on, by default now; or from how long ago, by the registry's clock."""

    repository: str
    type: str
    since: datetime | timedelta | None

    @property
    def since_text(self) -> str:
        """The parameter `since` of a request, or ""."""
        if isinstance(self.since, timedelta):
            return format_duration(self.since)
        return rfc3339(self.since) if self.since else ""


@dataclass(frozen=True, slots=True)
class EventPage:
    """Some events, and whether more remain."""

    rows: Sequence[PublishedRow]
    more: bool


class EventSource(Protocol):
    """Published events, which a reader receives once each."""

    def read(self, wait: int) -> EventPage:
        """Return the next events; where there are none, wait for one for `wait` seconds.

        Raises:
            Unreachable: the same call may succeed later, and nothing is lost.
            RegistryError: the registry refused the request.
            ClientError: the first request was not successful.
        """
        ...


class HttpEvents:
    """Events over HTTP. The credentials are sent with each request: a token would not show who made a change."""

    def __init__(self, connection: Connection, wanted: Filter) -> None:
        """Read over `connection`."""
        self._connection = connection
        self._listing = HttpListing(connection)
        self._wanted = wanted
        self._next = ""

    def read(self, wait: int) -> EventPage:
        """See EventSource. The first request does not wait: its response has the position to continue from."""
        wanted, begun = self._wanted, bool(self._next)
        since = "" if begun else wanted.since_text
        query = {"repository": wanted.repository, "type": wanted.type, "since": since, "after": self._next}
        try:
            found = self._request({**query, "n": PAGE_SIZE, "wait": wait if begun else 0})
        except ClientError as error:
            if not begun:
                raise
            raise Unreachable(str(error)) from None
        rows = [self._row(each) for each in self._listing.items(found, "events")]
        self._next = self._listing.text(found, "next")
        return EventPage(rows, found.get("more") is True)

    def _request(self, query: dict[str, Any]) -> Any:
        try:
            return self._connection.request("GET", "/v2/_lading/events", NO_TOKEN, query)
        except RegistryError as error:
            if error.descriptor.status in (429, 500, 502, 503, 504):
                raise Unreachable(str(error)) from None
            raise

    def _row(self, event: Any) -> PublishedRow:
        try:
            return row_of(event)
        except ValueError as error:
            raise self._listing.wrong(str(error)) from None


class StoredEvents:
    """Events of the stores of this machine."""

    def __init__(self, feed: EventFeed, wanted: Filter) -> None:
        """Read from `feed`."""
        self._feed = feed
        self._wanted = wanted
        self._cursor: EventCursor | None = None

    def read(self, wait: int) -> EventPage:
        """See EventSource."""
        try:
            found = self._select()
            version = self._feed.version
            for _ in range(wait):
                if found.events or found.ready:
                    break
                self._feed.wait(version, READ_INTERVAL)
                found, version = self._select(), self._feed.version
        except Unavailable as error:
            raise Unreachable(str(error)) from None
        return EventPage([row_of(cloud_event(each, "")) for each in found.events], found.more)

    def _select(self) -> Selection:
        self._feed.refresh(READ_INTERVAL)
        cursor = self._cursor or self._feed.beginning(self._wanted.since)
        found = self._feed.select(cursor, self._wants, PAGE_SIZE)
        self._cursor = found.cursor
        return found

    def _wants(self, event: PublishedEvent) -> bool:
        return is_selected(event, self._wanted.repository, self._wanted.type)

"""Records of events: the outbox, what was published, webhooks and their deliveries.

    events/{range}-{sequence}-{hash}   the outbox: an event that some consumer has not received yet
    published_events/{time}-{event}    an event that the publisher has finished, kept for a while for readers
    webhooks/{id}                      an HTTP endpoint that receives events
    deliveries/{webhook}-{event}       one event for one webhook, until the endpoint has accepted it
    stalled_repositories/{repository}  a repository whose events a topic refuses, and when to retry

The commit of a change creates its events, so that no change is without its events, and no event without its change.
The publisher reads the outbox from its front and deletes what every consumer has. It never remembers a position: the
time in an id is chosen before the commit, so an event can become visible before the position of a reader.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar, Final

from lading_storage.records.core import Record, due_entry

EVENT_RANGES: Final = "0123456789abcdef"
"""Ranges of the outbox, each of which one process can read in order. A repository is always in the same one.

Firestore writes 500 documents a second to one range of consecutive ids, so there are several.
"""

WAITING: Final = "waiting"
DEAD: Final = "dead"
"""Queues of deliveries: those to attempt, and those that are given up until someone retries them."""

CONSUMED_BACKUP_REASON: Final = "events are delivered by the original registry; its history is part of the backup"


@dataclass(frozen=True, slots=True, kw_only=True)
class Event(Record):
    """Event in the outbox. Events of one reference, a tag or a digest, sort in the order of its changes.

    Attributes:
        name: the public id of the event: deterministic, so that consumers can drop duplicates.
        type: what happened, as in "tag.moved" (registry.events.event_types).
        target: the repository.
        tag: the tag, or "".
        digest: the digest of the manifest, or "".
        before: the digest that the tag pointed to before, or "".
        media_type: the manifest's media type, or "".
        size: the manifest's size in bytes, or 0.
        action: as in the history of tags: push, delete, rollback, restore, clean-up; or purge.
        by: the authenticated caller that made the change, or "".
        request: the request id, which is also logged, or "".
        moved: when the change was made.
        sequence: sorts the events of one reference, with text comparison: consumers drop what is older than the last.
        tagged: whether the push that stored a manifest also pointed a tag to it, which has its own event.
        replayed_at: when a replay made the event anew, or None. Consumers that are younger than the change get it too,
            and it expires as if the change had been made then.
        sent: the names of the consumers that have received it, if others have not.
        details: what else there is to say of a scan or a decision of a policy, as a JSON object, or "".
    """

    KIND: ClassVar[str] = "events"
    NUMBER: ClassVar[int] = 19
    NOT_IN_BACKUP: ClassVar[str] = CONSUMED_BACKUP_REASON

    name: str
    type: str
    target: str
    tag: str = ""
    digest: str = ""
    before: str = ""
    media_type: str = ""
    size: int = 0
    action: str = ""
    by: str = ""
    request: str = ""
    moved: datetime
    sequence: str
    tagged: bool = False
    replayed_at: datetime | None = None
    sent: tuple[str, ...] = ()
    details: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedEvent(Event):
    """Event that the publisher has finished. Ids sort by the time of publication.

    Attributes:
        published: when the publisher finished the event.
    """

    KIND: ClassVar[str] = "published_events"
    NUMBER: ClassVar[int] = 20

    published: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook(Record):
    """HTTP endpoint that receives events.

    Attributes:
        url: where events are posted.
        secrets: the sealed signing secrets, the newest one, which is current, first; the others while it is rotated.
        types: the types of events to send, as globs; empty for all.
        repositories: globs of the repositories whose events are sent; empty for all.
        disabled: why it receives nothing, or "".
        created: when it was added. It gets the events of changes since then.
        by: who added it, or "".
        rotated: when the secret was last rotated, or None.
    """

    KIND: ClassVar[str] = "webhooks"
    NUMBER: ClassVar[int] = 21

    url: str
    secrets: tuple[str, ...]
    types: tuple[str, ...] = ()
    repositories: tuple[str, ...] = ()
    disabled: str = ""
    created: datetime
    by: str = ""
    rotated: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery(Record):
    """Event that a webhook has not accepted yet.

    Attributes:
        webhook: the id of the webhook.
        event: the public id of the event (Event.name).
        type: the type of the event.
        target: the repository of the event.
        body: what is posted: JSON, at most 8 KiB.
        attempts: the number of attempts so far.
        next: when to attempt it next.
        error: why the last attempt failed, or "".
        state: WAITING or DEAD.
        created: when the publisher created it.
    """

    KIND: ClassVar[str] = "deliveries"
    NUMBER: ClassVar[int] = 22
    NOT_IN_BACKUP: ClassVar[str] = CONSUMED_BACKUP_REASON
    INDEXED_FIELDS: ClassVar[tuple[str, ...]] = ("webhook",)
    QUEUES: ClassVar[tuple[str, ...]] = (WAITING, DEAD)

    webhook: str
    event: str
    type: str
    target: str
    body: str
    attempts: int = 0
    next: datetime
    error: str = ""
    state: str = WAITING
    created: datetime

    @property
    def due(self) -> str:
        """Queue entry, see Record.due."""
        return due_entry(self.state, self.next)


@dataclass(frozen=True, slots=True, kw_only=True)
class StalledRepository(Record):
    """Repository one of whose events a topic refuses. The id is its name. Its events do not expire meanwhile.

    Attributes:
        sinks: the names of the sinks that refuse it; the others receive its events.
        attempts: the number of attempts so far.
        since: when the topic first refused one.
        next: when to try again.
        error: the reason that the topic gave.
    """

    KIND: ClassVar[str] = "stalled_repositories"
    NUMBER: ClassVar[int] = 23
    NOT_IN_BACKUP: ClassVar[str] = CONSUMED_BACKUP_REASON

    sinks: tuple[str, ...] = ()
    attempts: int
    since: datetime
    next: datetime
    error: str

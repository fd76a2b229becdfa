"""The outbox: the events that a change adds to its own commit. The change and its events are written both, or neither.

    tag         from the row of its history (TagEvent), whose stamp and number sort it
    image       from its manifest, whose record and tombstone hold the stamp of its last event
    scan, policy  from the manifest and the time: nothing is changed that they could be made from anew
    repository  from its record

An event is a function of what the commit stores, so one that is made anew from the stored rows has the same ids.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Final, NamedTuple

from lading.registry.change_context import ChangeContext
from lading.registry.events.event_types import REPOSITORY_DELETED, TAG_DELETED, TAG_MOVED
from lading_storage.protocols import Create
from lading_storage.records.core import Manifest
from lading_storage.records.deleted import DeletedManifest, TagEvent
from lading_storage.records.events import Event

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND: Final = timedelta(microseconds=1)

MAX_EVENT_SIZE: Final = 2_000
"""Bytes that an event adds to a commit at most (lading_storage.commit_size)."""


class EventTime(NamedTuple):
    """When an image was changed, and the stamp by which the events of its digest are ordered.

    The two differ only after a clock was set back, and between processes whose clocks differ.
    """

    moved: datetime
    stamp: datetime

    @property
    def stored_stamp(self) -> datetime | None:
        """The stamp to store beside the time of the change (Manifest.stamp), or None if they are the same."""
        return None if self.stamp == self.moved else self.stamp


def tag_event(row: TagEvent, stamp: datetime, media_type: str = "", size: int = 0) -> Create:
    """Return the write of the event of a change of a tag.

    Args:
        row: the row of the tag's history that the same commit creates.
        stamp: the timestamp in the row's id, by which the changes of the tag are ordered.
        media_type: of the manifest that the tag now points to.
        size: of that manifest, in bytes.
    """
    return _create(
        TAG_MOVED if row.digest else TAG_DELETED,
        row.repository,
        sequence_of(stamp, row.number),
        ChangeContext(row.action, row.by, row.request),
        moved=row.moved,
        tag=row.tag,
        digest=row.digest,
        before=row.before,
        media_type=media_type,
        size=size,
    )


def image_event(
    event_type: str, image: Manifest, time: EventTime, context: ChangeContext, *, tagged: bool = False
) -> Create:
    """Return the write of the event of a change of a manifest.

    Args:
        event_type: one of the types of images.
        image: the manifest, or its tombstone.
        time: of the change (`next_image_time`).
        context: of the change.
        tagged: see Event.
    """
    return _create(
        event_type,
        image.repository,
        sequence_of(time.stamp),
        context,
        moved=time.moved,
        digest=image.digest,
        media_type=image.media_type,
        size=image.size,
        tagged=tagged,
    )


def observation(
    event_type: str, image: Manifest, now: datetime, context: ChangeContext, details: Mapping[str, Any]
) -> Create:
    """Return the write of an event about an image that does not change it: a scan, or a decision of a policy.

    It sorts after the last change of the image, and before the next one, whatever the clocks say: the stamp is that of
    the last change, and the number the seconds since the epoch. In the outbox, it is where its time says.

    Args:
        event_type: one of those types.
        image: the manifest.
        now: the time.
        context: who caused it.
        details: of the event; they are part of its identity, as the caller is.
    """
    sequence = sequence_of(image.stamp or image.created, int(now.timestamp()))
    text = json.dumps(details, separators=(",", ":"), ensure_ascii=False)
    event = _event(
        event_type,
        image.repository,
        sequence,
        context,
        moved=now,
        digest=image.digest,
        media_type=image.media_type,
        size=image.size,
        details=text,
    )
    parts = (event_type, image.repository, image.digest, sequence, text, context.actor)
    name = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]
    id = f"{range_of(image.repository)}-{sequence_of(now)}-{name[:8]}"
    return Create(replace(event, id=id, name=name))


def repository_deleted(repository: str, moved: datetime, context: ChangeContext) -> Create:
    """Return the write of the event of the deletion of a repository, marked as deleted at `moved`."""
    return _create(REPOSITORY_DELETED, repository, sequence_of(moved), context, moved=moved)


def next_image_time(before: Manifest | None, now: datetime) -> EventTime:
    """Return the time of the next event of a digest: now, with a stamp that is later than that of the event before.

    Args:
        before: the manifest or tombstone that the change replaces, or None.
        now: the time of the change.
    """
    if before is None:
        return EventTime(now, now)
    natural = before.deleted if isinstance(before, DeletedManifest) else before.created
    return EventTime(now, max(now, (before.stamp or natural) + MICROSECOND))


def sequence_of(stamp: datetime, number: int = 0) -> str:
    """Return the sequence of an event: text that sorts the events of one reference in the order of its changes."""
    return f"{(stamp - EPOCH) // MICROSECOND:016d}-{number:010d}"


@lru_cache(maxsize=1_024)
def range_of(repository: str) -> str:
    """Return the range of the outbox that holds the events of a repository (EVENT_RANGES)."""
    return hashlib.sha256(repository.encode()).hexdigest()[0]


def _create(event_type: str, repository: str, sequence: str, context: ChangeContext, **fields: Any) -> Create:
    return Create(_event(event_type, repository, sequence, context, **fields))


def _event(event_type: str, repository: str, sequence: str, context: ChangeContext, **fields: Any) -> Event:
    """Return an event, whose ids derive from what was changed, how and when."""
    parts = (repository, event_type, fields.get("tag") or fields.get("digest", ""), sequence)
    name = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]
    return Event(
        id=f"{range_of(repository)}-{sequence}-{name[:8]}",
        name=name,
        type=event_type,
        target=repository,
        sequence=sequence,
        action=context.action,
        by=context.actor,
        request=context.request_id,
        **fields,
    )

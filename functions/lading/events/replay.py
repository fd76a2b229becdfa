"""Replay: makes the events of a time anew, from what the registry still has of it, and puts them into the outbox.

    history of tags      tag.moved, tag.deleted: all that are in the history
    manifests            image.pushed or image.restored: the last one of each
    deleted manifests    image.deleted: the last one of each that can be restored

An event that is made anew has the ids of the original, so a consumer that has received it drops it, and a replay that
is repeated, also after an interruption, creates what is still absent. What is not stored cannot be made anew: pushes of
images that were deleted or restored later, earlier deletions, image.purged and repository.deleted.

The history of a repository is sorted by time, and only the range is read of it. Manifests are not: all of a repository
are read, without their content. The events of one repository in the range are held in memory, MAX_EVENTS at most, since
they are put into the outbox in the order of the changes, and a history is read backwards.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import islice
from typing import Final

from lading.registry.change_context import DELETE, PUSH, RESTORE, ChangeContext, Clock, now
from lading.registry.events.event_types import IMAGE_DELETED, IMAGE_PUSHED, IMAGE_RESTORED
from lading.registry.events.outbox import EventTime, image_event, tag_event
from lading.registry.pagination import PAGE_SIZE, scan_all
from lading.registry.retry import retry_on_conflict
from lading.registry.tags.history import cursor_at, stamp_of_event
from lading_storage.protocols import Create, MetadataStore
from lading_storage.query import Query
from lading_storage.records.core import Key, Manifest, Repository
from lading_storage.records.deleted import DeletedManifest, TagEvent
from lading_storage.records.events import Event

BATCH_SIZE: Final = 100
"""Events of one commit."""

MAX_EVENTS: Final = 100_000
"""Events of one repository, each of which takes about 0.8 KB of memory."""


class TooManyEvents(Exception):
    """A repository has more than MAX_EVENTS events in the range. Its message says how to replay them."""

    def __init__(self, repository: str) -> None:
        """Name the repository."""
        super().__init__(
            f"{repository} has more than {MAX_EVENTS:,} events in this time; replay it in parts: with --repository "
            f"{repository} and an earlier --until, and then --since that"
        )


@dataclass(frozen=True, slots=True)
class TimeRange:
    """The time of the events to make anew, both bounds inclusive. It is that by which their `sequence` is sorted."""

    since: datetime
    until: datetime

    def has(self, time: datetime) -> bool:
        """Return whether a time is in the range."""
        return self.since <= time <= self.until


@dataclass(frozen=True, slots=True)
class Replayed:
    """Outcome for one repository.

    Attributes:
        repository: its name.
        events: events of the range that were made anew.
        created: those of them that were absent from the outbox, and are published again.
    """

    repository: str
    events: int
    created: int


class Replay:
    """Replay of a range of time.

    has_created  whether it has put events into the outbox
    """

    def __init__(self, metadata: MetadataStore, range: TimeRange, clock: Clock = now) -> None:
        """Read and write in `metadata`."""
        self._metadata = metadata
        self._range = range
        self._clock = clock
        self.has_created = False

    def run(self, repositories: Iterable[str], *, dry_run: bool = False) -> Iterator[Replayed]:
        """Put the events of repositories into the outbox, where they are absent.

        Args:
            repositories: their names.
            dry_run: whether to write nothing; `created` is then what would be.

        Yields:
            The outcome for each repository that has any.

        Raises:
            TooManyEvents: for the next repository, of which nothing is put.
        """
        for repository in repositories:
            events, found, created = self.events(repository), 0, 0
            while batch := list(islice(events, BATCH_SIZE)):
                found += len(batch)
                created += self._create(repository, batch, dry_run)
            if found:
                yield Replayed(repository, found, created)

    def count(self, repositories: Iterable[str]) -> tuple[int, int]:
        """Return how many events there are, and of how many repositories. Writes nothing. Raises TooManyEvents."""
        counts = [count for each in repositories if (count := sum(1 for _ in self._limited_events(each)))]
        return sum(counts), len(counts)

    def repositories(self) -> Iterator[str]:
        """Yield the names of all repositories, deleted ones among them, a page at a time."""
        return (each.id for each in scan_all(self._metadata, Repository))

    def events(self, repository: str) -> Iterator[Event]:
        """Yield the events of a repository in the range, in the order of the changes.

        Those of tags lack the fields of their manifests. Raises TooManyEvents.
        """
        yield from sorted(self._limited_events(repository), key=lambda event: event.sequence)

    def _limited_events(self, repository: str) -> Iterator[Event]:
        for number, event in enumerate(self._unsorted_events(repository), 1):
            if number > MAX_EVENTS:
                raise TooManyEvents(repository)
            yield event

    def _unsorted_events(self, repository: str) -> Iterator[Event]:
        for row in self._rows(repository):
            yield _event_of(tag_event(row, stamp_of_event(row)))
        for manifest in scan_all(self._metadata, Manifest, repository):
            yield from self._in_range(_live_event(manifest))
        for tombstone in scan_all(self._metadata, DeletedManifest, repository):
            yield from self._in_range(_deleted_event(tombstone))

    def _in_range(self, event: tuple[datetime, Event]) -> Iterator[Event]:
        if self._range.has(event[0]):
            yield event[1]

    def _rows(self, repository: str) -> Iterator[TagEvent]:
        """Yield the history of the range, newest first."""
        after = cursor_at(self._range.until)
        while page := self._metadata.find(Query(TagEvent, repository=repository, after=after, limit=PAGE_SIZE)):
            for row in page:
                if stamp_of_event(row) < self._range.since:
                    return
                yield row
            after = page[-1].id

    def _create(self, repository: str, events: Sequence[Event], dry_run: bool) -> int:
        """Create those events that are absent from the outbox; return how many there are."""
        return retry_on_conflict(lambda: self._try_to_create(repository, events, dry_run))

    def _try_to_create(self, repository: str, events: Sequence[Event], dry_run: bool) -> int:
        images = {each.digest: Key(Manifest, each.digest, repository) for each in events if each.tag and each.digest}
        found = self._metadata.read([*(each.key for each in events), *images.values()], content=False)
        absent = [each for each in events if found[each.key] is None]
        if absent and not dry_run:
            writes, time = [], self._clock(found.read_at)
            for event in absent:
                image = found[images[event.digest]] if event.digest in images and event.tag else None
                media_type, size = (image.media_type, image.size) if image else (event.media_type, event.size)
                writes.append(Create(replace(event, media_type=media_type, size=size, replayed_at=time)))
            self._metadata.commit(writes)
            self.has_created = True
        return len(absent)


def _live_event(manifest: Manifest) -> tuple[datetime, Event]:
    """Return the last event of a manifest, and its time."""
    if manifest.stamp and manifest.restored:
        # A restore always stores its stamp. `restored` may be later, since a push of the same manifest renews it.
        time = EventTime(manifest.stamp, manifest.stamp)
        return time.stamp, _event_of(image_event(IMAGE_RESTORED, manifest, time, RESTORE))
    time = EventTime(manifest.created, manifest.stamp or manifest.created)
    # "none": its push named no tag; "": an older release does not say.
    tagged = manifest.attachment not in ("", "none")
    return time.stamp, _event_of(image_event(IMAGE_PUSHED, manifest, time, PUSH, tagged=tagged))


def _deleted_event(tombstone: DeletedManifest) -> tuple[datetime, Event]:
    """Return the event of a deletion, and its time."""
    time = EventTime(tombstone.deleted, tombstone.stamp or tombstone.deleted)
    context = ChangeContext(DELETE.action, tombstone.by)
    return time.stamp, _event_of(image_event(IMAGE_DELETED, tombstone, time, context))


def _event_of(write: Create) -> Event:
    assert isinstance(write.record, Event)
    return write.record

"""The outbox of a registry, as a consumer of its events reads it."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from lading.registry.change_context import PUSH
from lading.registry.events.event_types import IMAGE_DELETED, IMAGE_PURGED, IMAGE_PUSHED, IMAGE_RESTORED
from lading.registry.events.outbox import EventTime, image_event, tag_event
from lading.registry.pagination import scan_all
from lading.registry.tags.history import stamp_of_event
from lading_storage.protocols import MetadataStore
from lading_storage.records.core import Manifest
from lading_storage.records.deleted import DeletedManifest, TagEvent
from lading_storage.records.events import Event


def reference_of(event: Event) -> str:
    """What an event is of: a tag, a digest, or "" for the repository."""
    return event.tag or event.digest


def outbox_of(metadata: MetadataStore, repository: str) -> dict[str, list[Event]]:
    """Return the events of a repository by their reference, each in the order of `sequence`."""
    found = by_reference(event for event in scan_all(metadata, Event) if event.target == repository)
    return {reference: sorted(events, key=lambda event: event.sequence) for reference, events in found.items()}


def by_reference(events: Iterable[Event]) -> dict[str, list[Event]]:
    """Return events by their reference, in the same order."""
    found = defaultdict[str, list[Event]](list)
    for event in events:
        found[reference_of(event)].append(event)
    return found


def types_of(metadata: MetadataStore, repository: str) -> Mapping[str, list[str]]:
    """Return the types of the events of each reference, in order."""
    found = outbox_of(metadata, repository)
    return {reference: [event.type for event in events] for reference, events in found.items()}


def names_from_records(metadata: MetadataStore, repository: str) -> Iterator[str]:
    """Yield the public ids of the events that the records of a repository tell of: rows of histories, images."""
    for row in scan_all(metadata, TagEvent, repository):
        yield _name(tag_event(row, stamp_of_event(row)).record)
    for image in scan_all(metadata, Manifest, repository):
        if image.stamp and image.restored and image.restored > image.stamp:
            continue  # pushed again since: whether it was restored before, or pushed after a deletion, is not stored
        last = IMAGE_RESTORED if image.stamp and image.restored else IMAGE_PUSHED
        moved = image.created
        yield _name(image_event(last, image, EventTime(moved, image.stamp or moved), PUSH).record)
    for dead in scan_all(metadata, DeletedManifest, repository):
        deleted = EventTime(dead.deleted, dead.stamp or dead.deleted)
        yield _name(image_event(IMAGE_DELETED, dead, deleted, PUSH).record)


def _name(event: object) -> str:
    assert isinstance(event, Event)
    return event.name


def assert_events_match(
    metadata: MetadataStore, repository: str, outbox: Mapping[str, Sequence[Event]] | None = None
) -> None:
    """See that the events of a repository tell how its tags and images came to be what they are.

    The events of a tag end with the rows of its history, which a collection removes with the repository. The last event
    of an image says whether it is live, deleted or purged. By default, the events are those of the outbox.
    """
    outbox = outbox_of(metadata, repository) if outbox is None else outbox
    rows = defaultdict[str, list[TagEvent]](list)
    for row in scan_all(metadata, TagEvent, repository):
        rows[row.tag].insert(0, row)
    for tag, history in rows.items():
        told = [(event.action, event.before, event.digest) for event in outbox.get(tag, ())[-len(history) :]]
        assert told == [(row.action, row.before, row.digest) for row in history], tag
    live = {image.id for image in scan_all(metadata, Manifest, repository)}
    deleted = {dead.id for dead in scan_all(metadata, DeletedManifest, repository)} - live
    told_of = (IMAGE_DELETED, IMAGE_PURGED, IMAGE_PUSHED, IMAGE_RESTORED)  # not what was observed, such as a scan
    images = {
        reference: [event for event in events if event.type in told_of]
        for reference, events in outbox.items()
        if ":" in reference
    }
    assert live | deleted <= images.keys()
    for digest, events in images.items():
        gone = IMAGE_DELETED if digest in deleted else IMAGE_PURGED
        assert _is_there(events[-1]) if digest in live else events[-1].type == gone, digest
        changes = [event for event in events if event.type != IMAGE_PURGED]
        assert [*map(_is_there, changes)] == [number % 2 == 0 for number in range(len(changes))], digest
    assert set(names_from_records(metadata, repository)) <= {row.name for rows in outbox.values() for row in rows}


def _is_there(event: Event) -> bool:
    """Whether an image is in its repository after an event."""
    return event.type in (IMAGE_PUSHED, IMAGE_RESTORED)

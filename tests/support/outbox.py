"""The outbox of a registry, as a consumer of its events reads it."""

from collections import defaultdict
from collections.abc import Iterator, Mapping

from lading.registry.change_context import PUSH
from lading.registry.events.event_types import IMAGE_DELETED, IMAGE_PUSHED, IMAGE_RESTORED
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
    found = defaultdict[str, list[Event]](list)
    for event in scan_all(metadata, Event):
        if event.target == repository:
            found[reference_of(event)].append(event)
    return {reference: sorted(events, key=lambda event: event.sequence) for reference, events in found.items()}


def types_of(metadata: MetadataStore, repository: str) -> Mapping[str, list[str]]:
    """Return the types of the events of each reference, in order."""
    found = outbox_of(metadata, repository)
    return {reference: [event.type for event in events] for reference, events in found.items()}


def names_from_records(metadata: MetadataStore, repository: str) -> Iterator[str]:
    """Yield the public ids of the events that the records of a repository tell of: rows of histories, images."""
    for row in scan_all(metadata, TagEvent, repository):
        yield _name(tag_event(row, stamp_of_event(row)).record)
    for image in scan_all(metadata, Manifest, repository):
        last = IMAGE_RESTORED if image.stamp else IMAGE_PUSHED
        moved = image.created
        yield _name(image_event(last, image, EventTime(moved, image.stamp or moved), PUSH).record)
    for dead in scan_all(metadata, DeletedManifest, repository):
        deleted = EventTime(dead.deleted, dead.stamp or dead.deleted)
        yield _name(image_event(IMAGE_DELETED, dead, deleted, PUSH).record)


def _name(event: object) -> str:
    assert isinstance(event, Event)
    return event.name

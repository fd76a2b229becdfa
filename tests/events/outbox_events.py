"""Events to put into an outbox, with ids as the registry makes them."""

import hashlib
import random
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from lading_storage.protocols import Create, MetadataStore
from lading_storage.query import Query
from lading_storage.records.events import Event

DIGEST = f"sha256:{'a' * 64}"
BEFORE = f"sha256:{'b' * 64}"
MOVED = datetime(2026, 11, 28, 12, 30, 15, 250, tzinfo=UTC)


def event(number: int = 0, repository: str = "team/app", type: str = "tag.moved", **fields: Any) -> Event:
    """The event `number` of a tag of a repository; fields that it would not have are set by name."""
    tag = fields.pop("tag", "v1" if type.startswith("tag") else "")
    digest = fields.pop("digest", DIGEST)
    moved = fields.pop("moved", MOVED)
    sequence = f"{int(moved.timestamp() * 1_000_000):016}-{number:010}"
    name = hashlib.sha256("\0".join((repository, type, tag or digest, sequence)).encode()).hexdigest()[:32]
    place = hashlib.sha256(repository.encode()).hexdigest()[0]
    return Event(
        id=f"{place}-{sequence}-{name[:8]}",
        name=name,
        type=type,
        target=repository,
        tag=tag,
        digest=digest,
        moved=moved,
        sequence=sequence,
        **fields,
    )


def put(metadata: MetadataStore, *events: Event) -> Sequence[Event]:
    """Create events, in an order of chance, as commits of many repositories do."""
    shuffled = random.sample(events, len(events))
    for start in range(0, len(shuffled), 100):
        metadata.commit([Create(each) for each in shuffled[start : start + 100]])
    return events


def waiting(metadata: MetadataStore) -> list[Event]:
    return metadata.find(Query(Event, limit=10_000))


def names(events: Sequence[Event]) -> list[str]:
    return [each.name for each in events]


def in_order(received: Sequence[Event]) -> bool:
    """Whether the first receptions of each repository's events are in order."""
    first = list({each.name: each for each in received}.values())
    by_repository: dict[str, list[str]] = {}
    for each in first:
        by_repository.setdefault(each.target, []).append(each.sequence)
    return all(sequences == sorted(sequences) for sequences in by_repository.values())

"""Restore of tag histories, from the oldest event on, so that a history has no gap at any time."""

from dataclasses import replace

from lading.jobs.backup.records import BATCH_SIZE, batches, get
from lading.registry.pagination import find_all
from lading.registry.retry import retry_on_conflict
from lading_storage.protocols import Create, MetadataStore, Replace
from lading_storage.query import Query
from lading_storage.records.core import Key
from lading_storage.records.deleted import TagEvent, TagHistory


def restore_history(source: MetadataStore, target: MetadataStore, history: TagHistory) -> None:
    """Copy the events of a tag that the target lacks, if its history is empty or a prefix of the source's.

    Each commit writes some events and the counter that belongs to them.
    """
    existing = get(target, history.key)
    if existing is not None and (existing.moves >= history.moves or not _is_prefix(source, target, existing)):
        return
    copied = existing.moves if existing else 0
    # Only ids, since the newest event is listed first.
    all_events = find_all(source, TagEvent, {"tag": history.id}, history.repository)
    ids = [event.id for event in all_events if event.number > copied]
    for batch in batches(reversed(ids), BATCH_SIZE):
        keys = [Key(TagEvent, id, history.repository) for id in batch]
        found = source.read(keys)
        events = [event for key in keys if (event := found[key]) is not None]
        if not events or not retry_on_conflict(lambda events=events: _append(target, history, events)):  # type: ignore[misc]
            return


def _is_prefix(source: MetadataStore, target: MetadataStore, existing: TagHistory) -> bool:
    """Return whether a history in the target is a prefix of the source's: the source has its last event."""
    last = target.find(Query(TagEvent, {"tag": existing.id}, repository=existing.repository, limit=1))
    return bool(last) and last[0].number == existing.moves and get(source, last[0].key) == last[0]


def _append(target: MetadataStore, history: TagHistory, events: list[TagEvent]) -> bool:
    """Append events to a history; return False if its last event is not the one before them."""
    existing = get(target, history.key)
    if (existing.moves if existing else 0) != events[0].number - 1:
        return False
    counter = replace(history, moves=events[-1].number, moved=events[-1].moved)
    write = Create(counter) if existing is None else Replace(replace(counter, version=existing.version))
    target.commit([*(Create(event) for event in events), write])
    return True

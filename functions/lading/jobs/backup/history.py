"""Putting the history of a tag back, from the oldest move on, so that it has no gap at any moment."""

from dataclasses import replace

from lading.jobs.backup.records import BATCH_SIZE, batches, get
from lading.registry.pagination import find_all
from lading.registry.retry import retry_on_conflict
from lading_storage.protocols import Create, MetadataStore, Replace
from lading_storage.records.core import Key
from lading_storage.records.deleted import TagEvent, TagHistory


def restore_history(source: MetadataStore, target: MetadataStore, history: TagHistory) -> None:
    """Put the moves of a tag into a target that has none of them, or the first of them; else leave what is there.

    Each commit writes some moves and the counter that belongs to them.
    """
    there = get(target, history.key)
    if there is not None and (there.moves >= history.moves or not _is_prefix(source, target, there)):
        return
    done = there.moves if there else 0
    # Listed from the newest on: only the ids are kept.
    ids = [
        move.id for move in find_all(source, TagEvent, {"tag": history.id}, history.repository) if move.number > done
    ]
    for batch in batches(reversed(ids), BATCH_SIZE):
        keys = [Key(TagEvent, id, history.repository) for id in batch]
        found = source.read(keys)
        moves = [move for key in keys if (move := found[key]) is not None]
        if not moves or not retry_on_conflict(lambda moves=moves: _append(target, history, moves)):  # type: ignore[misc]
            return


def _is_prefix(source: MetadataStore, target: MetadataStore, there: TagHistory) -> bool:
    """Return whether the history in the target is the beginning of the one in the source: its last row is there."""
    last = target.find(TagEvent, {"tag": there.id}, repository=there.repository, limit=1)
    return bool(last) and last[0].number == there.moves and get(source, last[0].key) == last[0]


def _append(target: MetadataStore, history: TagHistory, moves: list[TagEvent]) -> bool:
    """Add moves to a history that ends where they begin; returns False where it ends elsewhere."""
    there = get(target, history.key)
    if (there.moves if there else 0) != moves[0].number - 1:
        return False
    counter = replace(history, moves=moves[-1].number, moved=moves[-1].moved)
    write = Create(counter) if there is None else Replace(replace(counter, version=there.version))
    target.commit([*(Create(move) for move in moves), write])
    return True

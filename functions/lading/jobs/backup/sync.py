"""Bringing one copy of a registry's records up to date from a store of any kind, at the cost of a listing.

Both sides are listed in the same order and compared; only what differs is read whole and written. A manifest's bytes
are so read once in the life of a backup, and the moves of a tag only from where the copy ends.

The source changes meanwhile. It is read from the names down: whatever a name needs was there before the name, so it is
found unless it has been deleted since (`completeness` sees to that). A tag and the counter of its history are read at
one moment, so the last row of its history is what the tag names.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final

from lading.jobs.backup.records import BACKED_UP_KINDS, WriteBatch, batches, get, with_content
from lading.registry.content.dependencies import is_referenced
from lading.registry.pagination import find_all, scan_all
from lading_storage.protocols import Create, Delete, MetadataStore, Replace
from lading_storage.records.core import UNVERIFIED, Blob, Key, Link, R, Record, Repository, Tag
from lading_storage.records.deleted import TagEvent, TagHistory

ATOMIC_KINDS: Final = (Tag, TagHistory, TagEvent)
"""Kinds that are read at one moment, by tag."""

PAGE_SIZE: Final = 50
"""Tags read at a time, with up to 64 KiB of content each."""


class Sync:
    """Copies records from `source` into `copy`, which nobody else writes."""

    def __init__(self, source: MetadataStore, copy: MetadataStore) -> None:
        """Copy from one into the other."""
        self._source = source
        self._copy = copy
        self._batch = WriteBatch(copy)

    def run(self) -> Iterator[str]:
        """Copy all kinds that are part of a backup; yields each repository's name when it is done."""
        for kind in BACKED_UP_KINDS:
            if not kind.IN_REPOSITORY and kind not in (Repository, Blob):
                self._kind(kind)
        for here, there in _compare(self._source, self._copy, Repository):
            if here is None and there is not None:
                self._remove_repository(there)
            elif here != there:
                self._write(here, there)
        self._batch.flush()
        for repository in scan_all(self._copy, Repository):
            self.repository(repository.id)
            yield repository.id
        self._kind(Blob)

    def repository(self, name: str) -> None:
        """Copy one repository, from the names down."""
        self._tags(name)
        for kind in BACKED_UP_KINDS:
            if kind.IN_REPOSITORY and kind not in (*ATOMIC_KINDS, Link):
                self._kind(kind, name)
        self._links(name)

    def tag(self, repository: str, tag: str) -> Tag | None:
        """Read one tag again, with its history; returns what it is now."""
        self._copy_tags(repository, [tag])
        self._batch.flush()
        return get(self._copy, Key(Tag, tag, repository))

    def put(self, record: Record) -> None:
        """Write one record as the source has it."""
        self._write(record, get(self._copy, record.key))
        self._batch.flush()

    def _kind(self, kind: type[Record], repository: str = "") -> None:
        changed: list[Record] = []
        for here, there in _compare(self._source, self._copy, kind, repository):
            if here is None:
                self._write(here, there)
            elif there is None or here != _listed(there):
                changed.append(here)
            if len(changed) >= PAGE_SIZE:
                self._write_whole(changed)
                changed = []
        self._write_whole(changed)
        self._batch.flush()

    def _write_whole(self, listed: list[Record]) -> None:
        for record in with_content(self._source, listed):
            self._write(record, get(self._copy, record.key))

    def _links(self, repository: str) -> None:
        """Copy links, without those that nothing live in the copy names: what was deleted does, or is on its way."""
        for here, there in _compare(self._source, self._copy, Link, repository):
            if here is None or here.state == UNVERIFIED or is_referenced(self._copy, here):
                self._write(here, there)
            else:
                self._write(None, there)
        self._batch.flush()

    def _tags(self, repository: str) -> None:
        for kind in (Tag, TagHistory):
            changed = (
                (here or there).id  # type: ignore[union-attr]  # one of them is there
                for here, there in _compare(self._source, self._copy, kind, repository)
                if here is None or there is None or here != _listed(there)
            )
            for names in batches(changed, PAGE_SIZE):
                self._copy_tags(repository, names)
            # What is still to be written would be taken for different by the next kind.
            self._batch.flush()

    def _copy_tags(self, repository: str, names: list[str]) -> None:
        keys: list[Key[Any]] = [Key(kind, name, repository) for kind in (Tag, TagHistory) for name in names]
        here, there = self._source.read(keys), self._copy.read(keys)
        for name in names:
            tag, history = Key(Tag, name, repository), Key(TagHistory, name, repository)
            self._copy_history(here[history], there[history], repository, name)
            self._write(here[history], there[history])
            self._write(here[tag], there[tag])

    def _copy_history(self, here: TagHistory | None, there: TagHistory | None, repository: str, tag: str) -> None:
        """Copy the moves up to the counter `here`, those that the copy has up to its counter `there` excepted."""
        if here == there:
            return
        last = self._copy.find(TagEvent, {"tag": tag}, repository=repository, limit=1)
        known = last[0].number if last and here and get(self._source, last[0].key) is not None else 0
        if last and not known:
            for move in find_all(self._copy, TagEvent, {"tag": tag}, repository):
                self._write(None, move)
            self._batch.flush()
        if here is None:
            return
        for move in find_all(self._source, TagEvent, {"tag": tag}, repository):
            if move.number <= known:
                return
            if move.number <= here.moves:
                self._batch.add(Create(move))

    def _remove_repository(self, repository: Repository) -> None:
        """Remove a repository that the source has no more, with all that is in it."""
        for kind in BACKED_UP_KINDS:
            if kind.IN_REPOSITORY:
                for record in scan_all(self._copy, kind, repository.id):
                    self._write(None, record)
        self._write(None, repository)

    def _write(self, here: Record | None, there: Record | None) -> None:
        if here is None and there is not None:
            self._batch.add(Delete(there))
        elif here is not None and here != there:
            self._batch.add(Create(here) if there is None else Replace(replace(here, version=there.version)))


def _listed(record: R) -> R:
    """Return a record as a listing has it."""
    without: dict[str, Any] = {"content": None}
    return replace(record, **without) if getattr(record, "content", None) is not None else record


def _compare(
    source: MetadataStore, copy: MetadataStore, kind: type[R], repository: str = ""
) -> Iterator[tuple[R | None, R | None]]:
    """Yield the records of a kind that one side has and the other has not, or that differ, in order."""
    left, right = scan_all(source, kind, repository), scan_all(copy, kind, repository)
    here, there = next(left, None), next(right, None)
    while here is not None or there is not None:
        if there is None or (here is not None and kind.order(here.id) < kind.order(there.id)):
            yield here, None
            here = next(left, None)
        elif here is None or kind.order(there.id) < kind.order(here.id):
            yield None, there
            there = next(right, None)
        else:
            if here != there:
                yield here, there
            here, there = next(left, None), next(right, None)

"""Synchronization of a copy of a registry's records with a store of any kind, at the cost of listings.

Both sides are listed in the same order and compared; only records that differ are read with their content and written.
So the content of a manifest is read once in the lifetime of a backup, and the history of a tag only from the last event
of the copy on.

The source changes meanwhile. Tags are read before manifests, and those before links and blobs: whatever a record needs
existed before it, so it is found unless it has been deleted since (`consistency` handles that). A tag and the counter
of its history are read in one snapshot, so the last event of the history names the same manifest as the tag.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final

from lading.jobs.backup.records import BACKED_UP_KINDS, WriteBatch, batches, get, with_content
from lading.registry.content.dependencies import is_referenced
from lading.registry.pagination import find_all, scan_all
from lading_storage.protocols import Create, Delete, MetadataStore, Replace
from lading_storage.query import Query
from lading_storage.records.core import UNVERIFIED, Blob, Key, Link, R, Record, Repository, Tag
from lading_storage.records.deleted import TagEvent, TagHistory

ATOMIC_KINDS: Final = (Tag, TagHistory, TagEvent)
"""Kinds that are read by tag, in one snapshot."""

PAGE_SIZE: Final = 50
"""Tags in one read, with up to 64 KiB of content each."""


class Sync:
    """The synchronization of one copy.

    In private methods, `new` is a record as the source has it and `old` as the copy has it, each None if it is absent.
    """

    def __init__(self, source: MetadataStore, copy: MetadataStore) -> None:
        """Copy from `source` into `copy`, which must have no other writer."""
        self._source = source
        self._copy = copy
        self._batch = WriteBatch(copy)

    def run(self) -> Iterator[str]:
        """Copy all kinds that are part of a backup; yield the name of each repository that is complete."""
        for kind in BACKED_UP_KINDS:
            if not kind.IN_REPOSITORY and kind not in (Repository, Blob):
                self._kind(kind)
        for new, old in _compare(self._source, self._copy, Repository):
            if new is None and old is not None:
                self._remove_repository(old)
            elif new != old:
                self._write(new, old)
        self._batch.flush()
        for repository in scan_all(self._copy, Repository):
            self.repository(repository.id)
            yield repository.id
        self._kind(Blob)

    def repository(self, name: str) -> None:
        """Copy one repository: tags, then manifests and what they need."""
        self._tags(name)
        for kind in BACKED_UP_KINDS:
            if kind.IN_REPOSITORY and kind not in (*ATOMIC_KINDS, Link):
                self._kind(kind, name)
        self._links(name)

    def tag(self, repository: str, tag: str) -> Tag | None:
        """Copy one tag with its history again; return it, or None if the source has deleted it."""
        self._copy_tags(repository, [tag])
        self._batch.flush()
        return get(self._copy, Key(Tag, tag, repository))

    def put(self, record: Record) -> None:
        """Write one record of the source into the copy."""
        self._write(record, get(self._copy, record.key))
        self._batch.flush()

    def _kind(self, kind: type[Record], repository: str = "") -> None:
        changed: list[Record] = []
        for new, old in _compare(self._source, self._copy, kind, repository):
            if new is None:
                self._write(new, old)
            elif old is None or new != _listed(old):
                changed.append(new)
            if len(changed) >= PAGE_SIZE:
                self._write_whole(changed)
                changed = []
        self._write_whole(changed)
        self._batch.flush()

    def _write_whole(self, listed: list[Record]) -> None:
        for record in with_content(self._source, listed):
            self._write(record, get(self._copy, record.key))

    def _links(self, repository: str) -> None:
        """Copy links, except those that should be named by a live manifest and are not named by one in the copy.

        Such a link belongs to a manifest that was deleted or pushed since manifests were copied.
        """
        for new, old in _compare(self._source, self._copy, Link, repository):
            if new is None or new.state == UNVERIFIED or is_referenced(self._copy, new):
                self._write(new, old)
            else:
                self._write(None, old)
        self._batch.flush()

    def _tags(self, repository: str) -> None:
        for kind in (Tag, TagHistory):
            changed = (
                (new or old).id  # type: ignore[union-attr]  # one of them is not None
                for new, old in _compare(self._source, self._copy, kind, repository)
                if new is None or old is None or new != _listed(old)
            )
            for names in batches(changed, PAGE_SIZE):
                self._copy_tags(repository, names)
            # Buffered writes would look like differences in the listing of the next kind.
            self._batch.flush()

    def _copy_tags(self, repository: str, names: list[str]) -> None:
        keys: list[Key[Any]] = [Key(kind, name, repository) for kind in (Tag, TagHistory) for name in names]
        new, old = self._source.read(keys), self._copy.read(keys)
        for name in names:
            tag, history = Key(Tag, name, repository), Key(TagHistory, name, repository)
            self._copy_history(new[history], old[history], repository, name)
            self._write(new[history], old[history])
            self._write(new[tag], old[tag])

    def _copy_history(self, new: TagHistory | None, old: TagHistory | None, repository: str, tag: str) -> None:
        """Copy the events of a tag that the copy lacks, up to the counter `new`.

        A history of which the source no longer has the copy's last event is copied as a whole.
        """
        if new == old:
            return
        last = self._copy.find(Query(TagEvent, {"tag": tag}, repository=repository, limit=1))
        copied = last[0].number if last and new and get(self._source, last[0].key) is not None else 0
        if last and not copied:
            for event in find_all(self._copy, TagEvent, {"tag": tag}, repository):
                self._write(None, event)
            self._batch.flush()
        if new is None:
            return
        for event in find_all(self._source, TagEvent, {"tag": tag}, repository):
            if event.number <= copied:
                return
            if event.number <= new.moves:
                self._batch.add(Create(event))

    def _remove_repository(self, repository: Repository) -> None:
        """Remove a repository that is no longer in the source, with all its records."""
        for kind in BACKED_UP_KINDS:
            if kind.IN_REPOSITORY:
                for record in scan_all(self._copy, kind, repository.id):
                    self._write(None, record)
        self._write(None, repository)

    def _write(self, new: Record | None, old: Record | None) -> None:
        if new is None and old is not None:
            self._batch.add(Delete(old))
        elif new is not None and new != old:
            self._batch.add(Create(new) if old is None else Replace(replace(new, version=old.version)))


def _listed(record: R) -> R:
    """Return a record as a listing returns it: without its content."""
    no_content: dict[str, Any] = {"content": None}
    return replace(record, **no_content) if getattr(record, "content", None) is not None else record


def _compare(
    source: MetadataStore, copy: MetadataStore, kind: type[R], repository: str = ""
) -> Iterator[tuple[R | None, R | None]]:
    """Yield the records of a kind that differ, in the order of a listing.

    Yields:
        The record in the source and in the copy, without content; None where it is absent.
    """
    left, right = scan_all(source, kind, repository), scan_all(copy, kind, repository)
    new, old = next(left, None), next(right, None)
    while new is not None or old is not None:
        if old is None or (new is not None and kind.order(new.id) < kind.order(old.id)):
            yield new, None
            new = next(left, None)
        elif new is None or kind.order(old.id) < kind.order(new.id):
            yield None, old
            old = next(right, None)
        else:
            if new != old:
                yield new, old
            new, old = next(left, None), next(right, None)

"""Putting back many records in one commit, where nothing of them is there: a commit for each would take hours.

Whatever does not fit in here, or loses a race, is left: `restoration` goes over all of it again, one by one.
"""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, Final

from lading.jobs.backup.objects import verified
from lading.jobs.backup.records import batches, batches_by_size
from lading.jobs.backup.sessions import OBJECTS_PER_SESSION, ObjectSessions
from lading.jobs.backup.stores import BackupReport, Stores
from lading.registry.change_context import now
from lading.registry.content.dependencies import (
    dependencies_of,
    hidden_dependencies_of,
    object_of,
    reference_writes,
    required_dependencies_of,
)
from lading.registry.pagination import scan_all
from lading.registry.repositories import review_writes
from lading.registry.tags.tags import Tags
from lading_storage.errors import Conflict, Corrupt, ObjectNotFound, TooLarge
from lading_storage.protocols import Create, Delete, Found, Touch, Write, key_of
from lading_storage.records.core import UNVERIFIED, Blob, Key, Link, Manifest, Repository, Tag
from lading_storage.records.deleted import DeletedManifest, TagEvent, TagHistory

MAX_WRITES: Final = 400
"""Of one commit; Firestore takes 500."""

TAGS_PER_COMMIT: Final = 50
MAX_EVENTS_PER_TAG: Final = 5
"""Tags of one commit, and the most moves that each may have."""

MAX_CONCURRENT_COPIES: Final = 8
"""Objects that are written at a time: each waits for the disk or the network."""


class BatchRestore:
    """Puts records of `source` into `target`, many at a time."""

    def __init__(
        self, source: Stores, target: Stores, sessions: ObjectSessions, tags: Tags, report: BackupReport
    ) -> None:
        """Write objects under the names of `sessions`; count in `report`."""
        self._source = source
        self._target = target
        self._sessions = sessions
        self._tags = tags
        self._report = report

    def blobs(self, repository: str) -> Iterator[None]:
        """Copy the blobs of a repository that the target has not, and link them; yields after each commit."""
        for links in batches(scan_all(self._source.metadata, Link, repository), OBJECTS_PER_SESSION):
            keys: list[Key[Any]] = [key for link in links for key in (link.key, Key(Blob, link.id))]
            there = self._target.metadata.read(keys)
            absent = [link for link in links if there[link.key] is None and there[Key(Blob, link.id)] is None]
            known = self._source.metadata.read([Key(Blob, link.id) for link in absent])
            # One session for what one commit names: it does not end before.
            self._sessions.close()
            pairs = [(link, blob) for link in absent if (blob := known[Key(Blob, link.id)]) is not None]
            self._copy([(link, replace(blob, object=self._sessions.name()), blob.object) for link, blob in pairs])
            yield

    def _copy(self, wanted: Sequence[tuple[Link, Blob, str]]) -> None:
        with ThreadPoolExecutor(MAX_CONCURRENT_COPIES) as pool:
            done = list(pool.map(lambda each: self._append(each[1], each[2]), wanted))
        copied = [each for each, good in zip(wanted, done, strict=True) if good]
        writes: list[Write] = []
        for link, blob, _ in copied:
            new = replace(link, object=blob.object, state=UNVERIFIED, since=now(), damaged=False)
            writes += [Create(replace(blob, damaged="", state="")), Create(new)]
        if not self._commit(writes):
            for _, blob, _ in copied:
                self._target.blobs.delete(blob.object)
            return
        self._report.blobs += len(copied)
        self._report.bytes += sum(blob.size for _, blob, _ in copied)
        self._report.moved += sum(blob.size for _, blob, _ in copied)

    def _append(self, blob: Blob, source: str) -> bool:
        try:
            chunks = verified(self._source.blobs.open(source, 0, blob.size), blob.id)
            self._target.blobs.append(blob.object, chunks, blob.size)
        except (ObjectNotFound, Corrupt):
            return False
        return True

    def manifests(self, repository: str) -> Iterator[None]:
        """Put back the manifests of a repository whose needs are there; yields after each commit."""
        for listed in batches_by_size(scan_all(self._source.metadata, Manifest, repository)):
            keys = {key for each in listed for key in self._keys_of(each)}
            found = self._target.metadata.read([Key(Repository, repository), *keys], content=False)
            ready = [each for each in listed if _is_ready(found, each)]
            whole = self._source.metadata.read([each.key for each in ready])
            manifests = [manifest for each in ready if (manifest := whole[each.key]) is not None]
            for group in _grouped(manifests):
                self._report.manifests += self._put(repository, group, found)
                # Clean-up is told once.
                found = self._target.metadata.read([Key(Repository, repository), *keys], content=False)
                yield

    def _keys_of(self, manifest: Manifest) -> list[Key[Any]]:
        dead = Key(DeletedManifest, manifest.id, manifest.repository)
        return [manifest.key, dead, *dependencies_of(manifest), *hidden_dependencies_of(manifest)]

    def _put(self, repository: str, manifests: Sequence[Manifest], found: Found) -> int:
        writes: dict[Key[Any], Write] = {}
        for manifest in manifests:
            dead = found[Key(DeletedManifest, manifest.id, repository)]
            own: list[Write] = [
                Create(replace(manifest, object=object_of(found, manifest), damaged=False)),
                *([Delete(dead)] if dead else []),
            ]
            _add(writes, [*reference_writes(found, manifest, now()), *own])
        _add(writes, review_writes(found, repository, now()))
        return len(manifests) if self._commit(list(writes.values())) else 0

    def tags(self, repository: str) -> Iterator[None]:
        """Put back the tags of a repository that the target knows nothing of, with their histories."""
        for listed in batches(scan_all(self._source.metadata, Tag, repository), TAGS_PER_COMMIT):
            keys = [key for tag in listed for key in self._tags.keys(repository, tag.id)]
            manifests = dict.fromkeys(Key(Manifest, tag.digest, repository) for tag in listed)
            found = self._target.metadata.read([Key(Repository, repository), *keys, *manifests], content=False)
            whole = self._source.metadata.read([key for tag in listed for key in (tag.key, _history(tag))])
            writes: dict[Key[Any], Write] = {}
            count = 0
            for each in listed:
                tag, history = whole[each.key], whole[_history(each)]
                if tag is None or history is None or history.moves > MAX_EVENTS_PER_TAG:
                    continue
                unknown = all(found[key] is None for key in self._tags.keys(repository, tag.id))
                moves = self._source.metadata.find(
                    TagEvent, {"tag": tag.id}, repository=repository, limit=MAX_EVENTS_PER_TAG
                )
                is_whole = len(moves) == history.moves and bool(moves) and moves[0].digest == tag.digest
                manifest = Key(Manifest, tag.digest, repository)
                if unknown and is_whole and found[manifest] is not None:
                    created = [*moves, history, replace(tag, damaged=False)]
                    _add(writes, [*map(Create, created), Touch(manifest)])
                    count += 1
            _add(writes, review_writes(found, repository, now()) if count else [])
            self._report.tags += count if self._commit(list(writes.values())) else 0
            yield

    def _commit(self, writes: Sequence[Write]) -> bool:
        """Commit, unless there is nothing to do, or somebody was faster; returns whether it is written."""
        try:
            if writes:
                self._target.metadata.commit(writes)
        except (Conflict, TooLarge):
            return False
        return True


def _is_ready(found: Found, manifest: Manifest) -> bool:
    """Return whether a manifest is not there, and all that it needs is; and was not deleted as another media type."""
    dead = found[Key(DeletedManifest, manifest.id, manifest.repository)]
    if dead is not None and dead.blobs != manifest.blobs:
        return False
    return found[manifest.key] is None and all(found[key] is not None for key in required_dependencies_of(manifest))


def _grouped(manifests: Iterable[Manifest]) -> Iterator[list[Manifest]]:
    """Cut manifests into what one commit takes."""
    group: list[Manifest] = []
    writes = 0
    for manifest in manifests:
        # A link, and what hid it.
        own = 2 + 3 * (len(manifest.blobs) + len(manifest.children))
        if group and writes + own > MAX_WRITES:
            yield group
            group, writes = [], 0
        group.append(manifest)
        writes += own
    if group:
        yield group


def _add(writes: dict[Key[Any], Write], more: Iterable[Write]) -> None:
    """Add writes, each key once: two manifests that need the same want the same of it."""
    for write in more:
        writes.setdefault(key_of(write), write)


def _history(tag: Tag) -> Key[TagHistory]:
    return Key(TagHistory, tag.id, tag.repository)

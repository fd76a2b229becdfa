"""Fast path of a restore: many new records in one commit, since a commit for each would take hours.

Records that partly exist, do not fit into a batch, or lose a race are skipped. `restoration` processes all records
again, one by one.
"""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, Final

from lading.jobs.backup.objects import verified
from lading.jobs.backup.records import batches, batches_by_size
from lading.jobs.backup.report import BackupReport
from lading.jobs.backup.sessions import OBJECTS_PER_SESSION, ObjectSessions
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
from lading.registry.trust_records import stale_writes, trust_keys
from lading_storage.errors import Conflict, Corrupt, ObjectNotFound, TooLarge
from lading_storage.protocols import Create, Delete, Found, Touch, Write, key_of
from lading_storage.query import Query
from lading_storage.records.core import UNVERIFIED, Blob, Key, Link, Manifest, Repository, Tag
from lading_storage.records.deleted import DeletedManifest, TagEvent, TagHistory
from lading_storage.stores import Stores

MAX_WRITES: Final = 400
"""Writes in one commit. Firestore takes 500."""

TAGS_PER_COMMIT: Final = 50
MAX_EVENTS_PER_TAG: Final = 5
"""Tags in one commit, and the maximum length of the history of each."""

MAX_CONCURRENT_COPIES: Final = 8
"""Objects that are written concurrently: each waits for the disk or the network."""


class BatchRestore:
    """Restore of records in batches."""

    def __init__(
        self, source: Stores, target: Stores, sessions: ObjectSessions, tags: Tags, report: BackupReport
    ) -> None:
        """Copy records from `source` into `target`.

        Args:
            source: the stores of the backup.
            target: the stores of the registry.
            sessions: gives the names of new objects.
            tags: the tags of the target, for the keys of a tag's records.
            report: where restored records are counted.
        """
        self._source = source
        self._target = target
        self._sessions = sessions
        self._tags = tags
        self._report = report

    def blobs(self, repository: str) -> Iterator[None]:
        """Copy and link the blobs of a repository that the target lacks; yield after each commit."""
        for links in batches(scan_all(self._source.metadata, Link, repository), OBJECTS_PER_SESSION):
            keys: list[Key[Any]] = [key for link in links for key in (link.key, Key(Blob, link.id))]
            existing = self._target.metadata.read(keys)
            absent = [link for link in links if existing[link.key] is None and existing[Key(Blob, link.id)] is None]
            blobs = self._source.metadata.read([Key(Blob, link.id) for link in absent])
            # A new session, which ends after the commit that names its objects.
            self._sessions.close()
            pairs = [(link, blob) for link in absent if (blob := blobs[Key(Blob, link.id)]) is not None]
            self._copy([(link, replace(blob, object=self._sessions.name()), blob.object) for link, blob in pairs])
            yield

    def _copy(self, copies: Sequence[tuple[Link, Blob, str]]) -> None:
        """Copy blobs; each comes with its link, and the name of its object in the backup."""
        with ThreadPoolExecutor(MAX_CONCURRENT_COPIES) as pool:
            results = list(pool.map(lambda each: self._append(each[1], each[2]), copies))
        copied = [each for each, is_copied in zip(copies, results, strict=True) if is_copied]
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
        """Restore the manifests of a repository whose dependencies exist; yield after each commit."""
        for listed in batches_by_size(scan_all(self._source.metadata, Manifest, repository)):
            keys = {*(key for each in listed for key in self._keys_of(each)), *trust_keys(repository, listed)}
            found = self._target.metadata.read([Key(Repository, repository), *keys], content=False)
            ready = [each for each in listed if _is_ready(found, each)]
            full = self._source.metadata.read([each.key for each in ready])
            manifests = [manifest for each in ready if (manifest := full[each.key]) is not None]
            for group in _grouped(manifests):
                self._report.manifests += self._put(repository, group, found)
                # With the new version of the repository, which the commit may have made due for clean-up.
                found = self._target.metadata.read([Key(Repository, repository), *keys], content=False)
                yield

    def _keys_of(self, manifest: Manifest) -> list[Key[Any]]:
        tombstone = Key(DeletedManifest, manifest.id, manifest.repository)
        return [manifest.key, tombstone, *dependencies_of(manifest), *hidden_dependencies_of(manifest)]

    def _put(self, repository: str, manifests: Sequence[Manifest], found: Found) -> int:
        writes: dict[Key[Any], Write] = {}
        for manifest in manifests:
            tombstone = found[Key(DeletedManifest, manifest.id, repository)]
            own: list[Write] = [
                Create(replace(manifest, object=object_of(found, manifest), damaged=False)),
                *([Delete(tombstone)] if tombstone else []),
            ]
            _add(writes, [*reference_writes(found, manifest, now()), *own])
        _add(writes, review_writes(found, repository, now()))
        _add(writes, stale_writes(found, trust_keys(repository, manifests), now()))
        return len(manifests) if self._commit(list(writes.values())) else 0

    def tags(self, repository: str) -> Iterator[None]:
        """Restore the tags of which the target has no record, with their histories; yield after each commit."""
        for listed in batches(scan_all(self._source.metadata, Tag, repository), TAGS_PER_COMMIT):
            keys = [key for tag in listed for key in self._tags.keys(repository, tag.id)]
            manifests = dict.fromkeys(Key(Manifest, tag.digest, repository) for tag in listed)
            found = self._target.metadata.read([Key(Repository, repository), *keys, *manifests], content=False)
            full = self._source.metadata.read([key for tag in listed for key in (tag.key, _history(tag))])
            writes: dict[Key[Any], Write] = {}
            count = 0
            for each in listed:
                tag, history = full[each.key], full[_history(each)]
                if tag is None or history is None or history.moves > MAX_EVENTS_PER_TAG:
                    continue
                trust = trust_keys(repository, tags=[tag.id])
                is_new = all(found[key] is None for key in self._tags.keys(repository, tag.id) if key not in trust)
                history_query = Query(TagEvent, {"tag": tag.id}, repository=repository, limit=MAX_EVENTS_PER_TAG)
                events = self._source.metadata.find(history_query)
                is_complete = len(events) == history.moves and bool(events) and events[0].digest == tag.digest
                manifest = Key(Manifest, tag.digest, repository)
                if is_new and is_complete and found[manifest] is not None:
                    created = [*events, history, replace(tag, damaged=False)]
                    _add(writes, [*map(Create, created), Touch(manifest), *stale_writes(found, trust, now())])
                    count += 1
            _add(writes, review_writes(found, repository, now()) if count else [])
            self._report.tags += count if self._commit(list(writes.values())) else 0
            yield

    def _commit(self, writes: Sequence[Write]) -> bool:
        """Commit writes, if there are any; return False if the batch is too large or lost a race."""
        try:
            if writes:
                self._target.metadata.commit(writes)
        except (Conflict, TooLarge):
            return False
        return True


def _is_ready(found: Found, manifest: Manifest) -> bool:
    """Return whether a manifest does not exist and its dependencies do.

    One that was deleted with another media type, and other blobs, is not ready: its tombstone needs more writes.
    """
    tombstone = found[Key(DeletedManifest, manifest.id, manifest.repository)]
    if tombstone is not None and tombstone.blobs != manifest.blobs:
        return False
    return found[manifest.key] is None and all(found[key] is not None for key in required_dependencies_of(manifest))


def _grouped(manifests: Iterable[Manifest]) -> Iterator[list[Manifest]]:
    """Split manifests into groups that fit into one commit."""
    group: list[Manifest] = []
    writes = 0
    for manifest in manifests:
        # At most three for a dependency: the link, the hidden link, the blob.
        needed = 3 + 3 * (len(manifest.blobs) + len(manifest.children))
        if group and writes + needed > MAX_WRITES:
            yield group
            group, writes = [], 0
        group.append(manifest)
        writes += needed
    if group:
        yield group


def _add(writes: dict[Key[Any], Write], more: Iterable[Write]) -> None:
    """Add writes, each key once: two manifests with the same dependency need the same write of it."""
    for write in more:
        writes.setdefault(key_of(write), write)


def _history(tag: Tag) -> Key[TagHistory]:
    return Key(TagHistory, tag.id, tag.repository)

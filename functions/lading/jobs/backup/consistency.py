"""Consistency of a copy of records: every record has all that it needs, objects included, before the copy is visible.

First the kinds that are not part of a backup are removed, with the links that only deleted manifests named; then blobs
without links. Objects are copied. At the end incomplete records are removed: a link without a blob, a manifest without
one of its parts. A tag that is removed that way is read from the source again: during the copy it may have been moved,
and the manifest that it named deleted.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from lading.jobs.backup.objects import ObjectCopier
from lading.jobs.backup.records import WriteBatch, all_exist, get, repositories
from lading.jobs.backup.report import BackupReport, Progress
from lading.jobs.backup.sync import Sync
from lading.registry.content.dependencies import is_referenced, required_dependencies_of
from lading.registry.pagination import find_all, scan_all
from lading_storage.protocols import Delete, MetadataStore, Replace
from lading_storage.query import Query
from lading_storage.records.core import UNVERIFIED, Blob, Key, Link, Manifest, Record, Repository, Tag
from lading_storage.records.deleted import DeletedManifest
from lading_storage.records.kinds import KINDS
from lading_storage.records.scans import Facts

MAX_ROUNDS: Final = 5
"""How often tags that move all the time are read again."""

PROGRESS_INTERVAL: Final = 100
"""Records between two reports of progress."""


class ConsistencyPass:
    """The consistency pass over one copy."""

    def __init__(self, source: MetadataStore, copy: MetadataStore, objects: ObjectCopier, report: BackupReport) -> None:
        """Work on `copy`, a copy of `source` without other writers.

        Args:
            source: the registry's metadata.
            copy: the copy of it.
            objects: copies the objects of blobs.
            report: where progress is counted.
        """
        self._source = source
        self._copy = copy
        self._objects = objects
        self._report = report
        self._sync = Sync(source, copy)
        self._batch = WriteBatch(copy)
        self._tags_to_reread: set[Key[Tag]] = set()

    def remove_excluded_kinds(self, progress: Progress) -> None:
        """Remove the records of all kinds that are not part of a backup."""
        for kind in KINDS:
            if kind.NOT_IN_BACKUP and not kind.IN_REPOSITORY:
                self._remove_kind(kind)
        kinds = [kind for kind in KINDS if kind.NOT_IN_BACKUP and kind.IN_REPOSITORY]
        for repository in repositories(self._copy):
            for kind in kinds:
                self._remove_kind(kind, repository)
            self._advance(progress)
        self._batch.flush()

    def copy_objects(self, progress: Progress) -> None:
        """Copy the objects of all blobs; remove blobs whose objects are lost, and all that needs them."""
        lost: list[Blob] = []
        for blob in scan_all(self._copy, Blob):
            if not self._copy.find(Query(Link, {"id": blob.id}, repository=None, limit=1)):
                self._batch.add(Delete(blob))
                continue
            current = self._objects.copy(blob)
            if current is None:
                lost.append(blob)
            elif current != blob:
                self._repoint(blob, current)
            self._advance(progress)
        self._batch.flush()
        for blob in lost:
            self._drop_blob(blob.id)

    def check_references(self, progress: Progress) -> None:
        """Remove all incomplete records; needed if the records were not copied in one snapshot."""
        for repository in repositories(self._copy):
            for link in scan_all(self._copy, Link, repository):
                if get(self._copy, Key(Blob, link.id)) is None:
                    self._copy.commit([Delete(link)])
            for manifest in scan_all(self._copy, Manifest, repository):
                current = get(self._copy, manifest.key)
                if current is not None and not all_exist(self._copy, required_dependencies_of(current)):
                    self._drop_manifest(current)
            for facts in scan_all(self._copy, Facts, repository):
                self._drop_facts_of(facts)
            for tag in scan_all(self._copy, Tag, repository):
                if not all_exist(self._copy, [Key(Manifest, tag.digest, repository)]):
                    self._drop_tag(tag)
            self._advance(progress)

    def reread_tags(self) -> None:
        """Copy the tags that were removed again, with the manifests that they name now."""
        for _ in range(MAX_ROUNDS):
            if not self._tags_to_reread:
                return
            keys, self._tags_to_reread = self._tags_to_reread, set()
            for key in sorted(keys, key=lambda key: (key.repository, key.id)):
                tag = self._sync.tag(key.repository, key.id)
                if tag is not None and not self._copy_manifest(key.repository, tag.digest):
                    self._drop_tag(tag)
        self._tags_to_reread.clear()

    def _remove_kind(self, kind: type[Record], repository: str = "") -> None:
        for record in scan_all(self._copy, kind, repository):
            self._batch.add(Delete(record))
            if isinstance(record, DeletedManifest):
                self._remove_hidden(record)

    def _remove_hidden(self, deleted: DeletedManifest) -> None:
        """Remove the links that only a deleted manifest named: without its record, collection would not find them."""
        found = self._copy.read([Key(Link, digest, deleted.repository) for digest in deleted.blobs])
        for digest in deleted.blobs:
            link = found[Key(Link, digest, deleted.repository)]
            if link is not None and link.state != UNVERIFIED and not is_referenced(self._copy, link):
                # At once, not batched: another deleted manifest may name the same link.
                self._copy.commit([Delete(link)])
        self._drop_facts_of(deleted)

    def _repoint(self, blob: Blob, current: Blob) -> None:
        """Update a blob in the copy to its current object, and all records that repeat the object's name."""
        self._copy.commit([Replace(replace(current, version=blob.version))])
        if current.object == blob.object:
            return
        for link in find_all(self._copy, Link, {"id": blob.id}, None):
            self._copy.commit([Replace(replace(link, object=current.object))])
            manifest = get(self._copy, Key(Manifest, blob.id, link.repository))
            if manifest is not None and manifest.object:
                self._copy.commit([Replace(replace(manifest, object=current.object))])

    def _drop_blob(self, digest: str) -> None:
        blob = get(self._copy, Key(Blob, digest))
        for link in find_all(self._copy, Link, {"id": digest}, None):
            self._copy.commit([Delete(link)])
            for manifest in find_all(self._copy, Manifest, {"blobs": digest}, link.repository):
                if digest not in manifest.may_lack:
                    self._drop_manifest(manifest)
        if blob is not None:
            self._copy.commit([Delete(blob)])

    def _drop_manifest(self, manifest: Manifest) -> None:
        """Remove a manifest, the indexes that need it, and the tags of all of them."""
        pending = [manifest]
        while pending:
            current = get(self._copy, pending.pop().key)
            if current is None:
                continue
            self._copy.commit([Delete(current)])
            indexes = find_all(self._copy, Manifest, {"children": current.id}, current.repository)
            pending += [index for index in indexes if current.id not in index.may_lack]
            for tag in list(find_all(self._copy, Tag, {"digest": current.id}, current.repository)):
                self._drop_tag(tag)

    def _drop_facts_of(self, image: Record) -> None:
        """Remove the facts about an image that the copy does not have: without a tombstone, nothing would."""
        key = Key(Facts, image.id, image.repository)
        found = self._copy.read([key, Key(Manifest, image.id, image.repository)], content=False)
        facts = found[key]
        if facts is not None and found[Key(Manifest, image.id, image.repository)] is None:
            self._copy.commit([Delete(facts)])

    def _drop_tag(self, tag: Tag) -> None:
        current = get(self._copy, tag.key)
        if current is not None:
            self._copy.commit([Delete(current)])
        self._tags_to_reread.add(tag.key)

    def _copy_manifest(self, repository: str, digest: str) -> bool:
        """Copy a manifest with all that it needs; return whether the copy has it."""
        if get(self._copy, Key(Manifest, digest, repository)) is not None:
            return True
        manifest = get(self._source, Key(Manifest, digest, repository))
        if manifest is None:
            return False
        optional = {*manifest.may_lack}
        if not all(self._copy_manifest(repository, child) or child in optional for child in manifest.children):
            return False
        if not all(self._copy_blob(repository, blob) or blob in optional for blob in manifest.blobs):
            return False
        self._sync.put(manifest)
        return True

    def _copy_blob(self, repository: str, digest: str) -> bool:
        keys = Key(Link, digest, repository), Key(Blob, digest)
        if all_exist(self._copy, keys):
            return True
        found = self._source.read(keys)
        link, blob = found[keys[0]], found[keys[1]]
        current = self._objects.copy(blob) if blob else None
        if link is None or current is None:
            return False
        self._sync.put(current)
        self._sync.put(replace(link, object=current.object))
        return True

    def _advance(self, progress: Progress) -> None:
        self._report.done += 1
        if self._report.done % PROGRESS_INTERVAL == 0:
            progress(self._report)


def counts(count: Callable[[type[Record]], int]) -> dict[str, int]:
    """Return the counts of a backup's report: `count` returns the number of records of a kind."""
    return {"repositories": count(Repository), "tags": count(Tag), "manifests": count(Manifest)}

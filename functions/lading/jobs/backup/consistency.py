"""Making a copy of records whole: what is in it has all that it needs, objects included, before anybody sees it.

What is no part of a backup goes first, with the links that only deleted manifests named; then blobs that nothing links.
Objects are copied. What lacks something goes at the end: a link without a blob, a manifest without one of its parts. Of
a tag that goes so, the source is asked again: while it was copied, the tag may have been moved and the manifest that it
named been deleted.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from lading.jobs.backup.objects import ObjectCopier
from lading.jobs.backup.records import WriteBatch, all_exist, get, repositories
from lading.jobs.backup.stores import BackupReport, Progress
from lading.jobs.backup.sync import Sync
from lading.registry.content.dependencies import is_referenced, required_dependencies_of
from lading.registry.pagination import find_all, scan_all
from lading_storage.protocols import Delete, MetadataStore, Replace
from lading_storage.records.core import UNVERIFIED, Blob, Key, Link, Manifest, Record, Repository, Tag
from lading_storage.records.deleted import DeletedManifest
from lading_storage.records.kinds import KINDS

MAX_ROUNDS: Final = 5
"""How often tags are read again that are moved all the time."""

PROGRESS_INTERVAL: Final = 100
"""Records between two reports of progress."""


class ConsistencyPass:
    """Makes the copy `copy` of `source` whole."""

    def __init__(self, source: MetadataStore, copy: MetadataStore, objects: ObjectCopier, report: BackupReport) -> None:
        """Nobody else writes `copy`."""
        self._source = source
        self._copy = copy
        self._objects = objects
        self._report = report
        self._sync = Sync(source, copy)
        self._batch = WriteBatch(copy)
        self._tags_to_reread: set[Key[Tag]] = set()

    def remove_excluded_kinds(self, progress: Progress) -> None:
        """Remove the records of all kinds that are no part of a backup."""
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
        """Copy the objects of all blobs, and leave out what needs those that are lost."""
        lost: list[Blob] = []
        for blob in scan_all(self._copy, Blob):
            if not self._copy.find(Link, {"id": blob.id}, repository=None, limit=1):
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
        """Look at every record, where they were not copied at one moment, and leave out what lacks something."""
        for repository in repositories(self._copy):
            for link in scan_all(self._copy, Link, repository):
                if get(self._copy, Key(Blob, link.id)) is None:
                    self._copy.commit([Delete(link)])
            for manifest in scan_all(self._copy, Manifest, repository):
                current = get(self._copy, manifest.key)
                if current is not None and not all_exist(self._copy, required_dependencies_of(current)):
                    self._drop_manifest(current)
            for tag in scan_all(self._copy, Tag, repository):
                if not all_exist(self._copy, [Key(Manifest, tag.digest, repository)]):
                    self._drop_tag(tag)
            self._advance(progress)

    def reread_tags(self) -> None:
        """Read the tags again that were left out, and copy what they name by now."""
        for _ in range(MAX_ROUNDS):
            if not self._tags_to_reread:
                return
            waiting, self._tags_to_reread = self._tags_to_reread, set()
            for key in sorted(waiting, key=lambda key: (key.repository, key.id)):
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
        """Remove the links that only deleted manifests named: without those, nothing leads collection to them."""
        found = self._copy.read([Key(Link, digest, deleted.repository) for digest in deleted.blobs])
        for digest in deleted.blobs:
            link = found[Key(Link, digest, deleted.repository)]
            if link is not None and link.state != UNVERIFIED and not is_referenced(self._copy, link):
                # Not with others: another deleted manifest may have named it as well.
                self._copy.commit([Delete(link)])

    def _repoint(self, blob: Blob, current: Blob) -> None:
        """Let the copy name the object that a blob has by now."""
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
        """Leave out a manifest, the indexes that name it, and their tags."""
        waiting = [manifest]
        while waiting:
            current = get(self._copy, waiting.pop().key)
            if current is None:
                continue
            self._copy.commit([Delete(current)])
            indexes = find_all(self._copy, Manifest, {"children": current.id}, current.repository)
            waiting += [index for index in indexes if current.id not in index.may_lack]
            for tag in list(find_all(self._copy, Tag, {"digest": current.id}, current.repository)):
                self._drop_tag(tag)

    def _drop_tag(self, tag: Tag) -> None:
        current = get(self._copy, tag.key)
        if current is not None:
            self._copy.commit([Delete(current)])
        self._tags_to_reread.add(tag.key)

    def _copy_manifest(self, repository: str, digest: str) -> bool:
        """Copy a manifest with all that it needs, where the copy lacks it; returns whether it is there and whole."""
        if get(self._copy, Key(Manifest, digest, repository)) is not None:
            return True
        manifest = get(self._source, Key(Manifest, digest, repository))
        if manifest is None:
            return False
        may_lack = {*manifest.may_lack}
        if not all(self._copy_manifest(repository, child) or child in may_lack for child in manifest.children):
            return False
        if not all(self._copy_blob(repository, blob) or blob in may_lack for blob in manifest.blobs):
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
    """Return how many there are of what a backup reports."""
    return {"repositories": count(Repository), "tags": count(Tag), "manifests": count(Manifest)}

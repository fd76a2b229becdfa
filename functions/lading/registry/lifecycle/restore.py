"""Restore: bring back deleted manifests, tags and repositories, with all that was deleted with them or that they need.

Children are restored before their index, and a manifest before its tags, so that everything visible is complete. The
tombstones are deleted last, that of the root at the very end, so that an interrupted restore can be repeated. What is
not restored is purged at the end of its retention; only then may its blobs be collected.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from typing import TypeVar

from lading.registry import deletion_causes
from lading.registry.change_context import RESTORE, ChangeContext, Clock
from lading.registry.content.damage import damaged_among
from lading.registry.content.dependencies import dependencies_of, hidden_dependencies_of, object_of, reference_writes
from lading.registry.content.large_manifests import touch_unverified, unhide_links
from lading.registry.content.referrer_tags import referrer_tags_of
from lading.registry.document_changes import document_restored
from lading.registry.errors import MANIFEST_BLOB_UNKNOWN, NAME_UNKNOWN, NOT_DELETED, TAG_CONFLICT, RegistryError
from lading.registry.events.event_types import IMAGE_RESTORED
from lading.registry.events.outbox import image_event, next_image_time
from lading.registry.lifecycle.purge import purge
from lading.registry.pagination import find_all, scan_all
from lading.registry.repositories import review_writes, revive_writes
from lading.registry.retry import retry_on_conflict
from lading.registry.tags.tags import Tags
from lading.registry.trust_records import stale_writes, trust_keys
from lading_storage.errors import TooLarge
from lading_storage.protocols import Create, Delete, MetadataStore, Touch, Write
from lading_storage.query import Query
from lading_storage.records.core import Key, Manifest, Repository, Tag
from lading_storage.records.deleted import DeletedLink, DeletedManifest, DeletedTag
from lading_storage.records.fields import converted

D = TypeVar("D", DeletedManifest, DeletedTag)


class Undelete:
    """Listing, restore and purge of what was deleted."""

    def __init__(self, metadata: MetadataStore, tags: Tags, clock: Clock) -> None:
        """Restore in `metadata`."""
        self._metadata = metadata
        self._tags = tags
        self._clock = clock

    def tombstones(self, repository: str) -> Iterator[DeletedManifest | DeletedTag]:
        """Yield the tombstones of a repository, which can be restored: manifests, then tags, without `content`."""
        yield from scan_all(self._metadata, DeletedManifest, repository)
        yield from scan_all(self._metadata, DeletedTag, repository)

    def tag(self, repository: str, name: str, context: ChangeContext = RESTORE, force: bool = False) -> str:
        """Restore a tag, and its manifest if that was deleted as well; return the digest.

        Raises:
            RegistryError: NOT_DELETED; TAG_CONFLICT if the tag now points to another manifest, unless `force`;
                TAG_IMMUTABLE; MANIFEST_BLOB_UNKNOWN with what was purged.
        """
        key = Key(DeletedTag, name, repository)
        deleted = self._metadata.read([key])[key]
        if deleted is None:
            raise RegistryError(NOT_DELETED, {"tag": name})
        manifest, live = Key(Manifest, deleted.digest, repository), Key(Tag, name, repository)
        tombstone = Key(DeletedManifest, deleted.digest, repository)
        found = self._metadata.read([manifest, tombstone, live], content=False)
        self._refuse_conflict(found[live], deleted, force)
        # If both exist, a restore of the manifest was interrupted.
        if found[manifest] is None or found[tombstone] is not None:
            self.manifest(repository, deleted.digest, context)
        retry_on_conflict(lambda: self._restore_tag(repository, name, context, force))
        return deleted.digest

    def manifest(self, repository: str, digest: str, context: ChangeContext = RESTORE) -> list[str]:
        """Restore a manifest, the children of an index, and all that was deleted with it: referrers and tags.

        The manifest itself can be live: its deletion was interrupted, or it was pushed again. A tag that now points to
        another manifest stays as it is.

        Returns:
            The digests that were restored.

        Raises:
            RegistryError: NOT_DELETED if nothing was restored; MANIFEST_BLOB_UNKNOWN with what was purged.
        """
        root, cause = self._read_tombstone(repository, digest), deletion_causes.of_manifest(digest)
        causes = {cause} | ({deletion_causes.cause_of(root)} if root else set())
        restored: dict[str, None] = {}
        self._restore_tree(repository, digest, causes, context, restored)
        for tombstone in self._with_cause(DeletedManifest, cause, repository):
            self._restore_tree(repository, tombstone.id, causes, context, restored)
        tags = self._restore_tags(repository, cause, context)
        # The root's tombstone, which leads to all others, is deleted last.
        for each in sorted(restored, key=lambda each: each == digest):
            retry_on_conflict(lambda each=each: self._delete_tombstone(repository, each))  # type: ignore[misc]
        if not restored and not tags:
            raise RegistryError(NOT_DELETED, {"digest": digest})
        return list(restored)

    def repository(self, repository: str, context: ChangeContext = RESTORE) -> int:
        """Restore all that was deleted with a repository; return the number of manifests.

        Raises NAME_UNKNOWN, and NOT_DELETED if nothing was restored.
        """
        key = Key(Repository, repository)
        if self._metadata.read([key])[key] is None:
            raise RegistryError(NAME_UNKNOWN, {"name": repository})
        cause, count = deletion_causes.of_repository(repository), 0
        for tombstone in self._with_cause(DeletedManifest, cause, repository):
            restored: dict[str, None] = {}
            self._restore_tree(repository, tombstone.id, {cause}, context, restored)
            for each in sorted(restored, key=lambda each, root=tombstone.id: each == root):  # type: ignore[misc]
                retry_on_conflict(lambda each=each: self._delete_tombstone(repository, each))  # type: ignore[misc]
            count += len(restored)
        # Tags of live manifests: the deletion of the repository may have been interrupted.
        tags = self._restore_tags(repository, cause, context)
        relisted = bool(self._metadata.find(Query(Manifest, repository=repository, limit=1))) and retry_on_conflict(
            lambda: self._relist(repository)
        )
        if not count and not tags and not relisted:
            raise RegistryError(NOT_DELETED, {"name": repository})
        return count

    def purge_by_cause(self, repository: str, cause: str) -> None:
        """Purge all that was deleted by a cause, except what a manifest needs that was deleted by another cause."""
        purged = 1
        while purged:
            # An index is purged before its children, which may be listed first.
            purged = sum(
                retry_on_conflict(lambda each=each: self._purge_if_unneeded(each, cause))  # type: ignore[misc]
                for each in self._with_cause(DeletedManifest, cause, repository)
            )
        for tag in self._with_cause(DeletedTag, cause, repository):
            retry_on_conflict(lambda tag=tag: self._purge_if_unneeded(tag, cause))  # type: ignore[misc]

    def _purge_if_unneeded(self, listed: DeletedManifest | DeletedTag, cause: str) -> int:
        """Purge a tombstone unless its cause has changed or a tombstone needs it; return the number purged."""
        tombstone = self._metadata.read([listed.key], content=False)[listed.key]
        if tombstone is None or deletion_causes.cause_of(tombstone) != cause:
            return 0
        where, repository = {"children": tombstone.id}, tombstone.repository
        if tombstone.key.kind is DeletedManifest and self._metadata.find(
            Query(DeletedManifest, where, repository=repository, limit=1)
        ):
            return 0
        self.purge(tombstone)
        return 1

    def purge(self, tombstone: DeletedManifest | DeletedTag | DeletedLink, guard: Sequence[Write] = ()) -> None:
        """Purge a tombstone at its version, so that collection can delete blobs of its own.

        Args:
            tombstone: the tombstone.
            guard: the writes that verify the rules by which it may be purged.

        Raises:
            Conflict: the tombstone or a rule has changed.
        """
        purge(self._metadata, self._clock, tombstone, guard)

    def _with_cause(self, kind: type[D], cause: str, repository: str) -> Iterator[D]:
        """Yield the tombstones with a cause, without content; some may be purged meanwhile."""
        for spelling in deletion_causes.stored_forms(cause):
            for tombstone in find_all(self._metadata, kind, {"cause": spelling}, repository):
                if deletion_causes.cause_of(tombstone) == cause:
                    yield tombstone

    def _restore_tree(
        self, repository: str, root: str, causes: Collection[str], context: ChangeContext, restored: dict[str, None]
    ) -> None:
        """Restore a manifest: its children before it, and after it the tags and referrers with one of the causes.

        Args:
            repository: where it is.
            root: the digest of a manifest; nothing happens unless it is deleted.
            causes: the causes of the referrers and tags to restore; children are restored regardless of theirs.
            context: of the change.
            restored: the digests that have been restored, in order; this call appends its own.
        """
        pending = [root]
        while pending:
            tombstone = self._read_tombstone(repository, pending[-1])
            children = [each for each in self._deleted_children(tombstone) if each not in restored] if tombstone else []
            if children:
                # They must exist first. This ends, since a manifest below itself would have to contain its own digest.
                pending += children
                continue
            pending.pop()
            if tombstone is None or tombstone.id in restored:
                continue
            if self._restore_manifest(repository, tombstone.id, context):
                restored[tombstone.id] = None
                self._restore_tags_of(repository, tombstone.id, causes, context)
                pending += self._deleted_referrers(tombstone, causes)

    def _restore_tags(self, repository: str, cause: str, context: ChangeContext) -> int:
        """Restore the tags that have a cause and a live manifest; return their number."""
        count = 0
        for tag in self._with_cause(DeletedTag, cause, repository):
            keys = Key(Manifest, tag.digest, repository), Key(Tag, tag.id, repository)
            found = self._metadata.read(keys, content=False)
            if found[keys[0]] is not None and found[keys[1]] is None:
                count += self._restore_tag_unless_conflict(repository, tag.id, context)
        return count

    def _restore_manifest(self, repository: str, digest: str, context: ChangeContext) -> bool:
        """Restore one manifest, whose children are live; its tombstone remains for now.

        Returns whether it is live: its tombstone may have been purged since it was listed.
        """
        try:
            return retry_on_conflict(lambda: self._try_to_restore_manifest(repository, digest, context))
        except TooLarge:
            if (tombstone := self._read_tombstone(repository, digest)) is not None:
                unhide_links(self._metadata, tombstone, self._clock)
            return retry_on_conflict(lambda: self._try_to_restore_manifest(repository, digest, context, touched=True))

    def _try_to_restore_manifest(
        self, repository: str, digest: str, context: ChangeContext, *, touched: bool = False
    ) -> bool:
        key = Key(DeletedManifest, digest, repository)
        tombstone = self._metadata.read([key])[key]
        if tombstone is None:
            live = Key(Manifest, digest, repository)
            return self._metadata.read([live], content=False)[live] is not None
        manifest = converted(tombstone, Manifest, damaged=False)
        dependencies = [*dependencies_of(manifest), *hidden_dependencies_of(manifest)]
        trust = trust_keys(repository, [manifest])
        keys = [manifest.key, Key(Repository, repository), *dependencies, *trust]
        found = self._metadata.read(keys, content=False)
        now = self._clock(found.read_at)
        moved = next_image_time(tombstone, now)
        manifest = replace(manifest, object=object_of(found, manifest), restored=now, stamp=moved.stamp)
        damaged = damaged_among(self._metadata, found, dependencies_of(manifest))
        references = reference_writes(found, manifest, now, damaged=damaged)
        writes = touch_unverified(found, references) if touched else references
        writes += [*revive_writes(found, repository, now), Touch(tombstone.key)]
        if found[manifest.key] is None:
            writes += [Create(manifest), image_event(IMAGE_RESTORED, manifest, moved, context)]
            writes += stale_writes(found, trust, now)
        else:
            writes.append(Touch(manifest.key))
        self._metadata.commit(writes)
        document_restored(self._metadata, self._clock, manifest)
        return True

    def _delete_tombstone(self, repository: str, digest: str) -> None:
        """Delete the tombstone of a restored manifest, unless the manifest was deleted again since."""
        live, deleted = Key(Manifest, digest, repository), Key(DeletedManifest, digest, repository)
        found = self._metadata.read([live, deleted], content=False)
        if (tombstone := found[deleted]) is not None and found[live] is not None:
            self._metadata.commit([Touch(live), Delete(tombstone)])

    def _restore_tag(self, repository: str, name: str, context: ChangeContext, force: bool) -> None:
        own = [*self._tags.rules.keys(repository), *self._tags.keys(repository, name)]
        keys = [Key(Repository, repository), *own]
        found = self._metadata.read(keys, content=False)
        deleted = found[Key(DeletedTag, name, repository)]
        if deleted is None:
            return
        self._refuse_conflict(found[Key(Tag, name, repository)], deleted, force)
        key = Key(Manifest, deleted.digest, repository)
        manifest = self._metadata.read([key])[key]
        if manifest is None:
            raise RegistryError(MANIFEST_BLOB_UNKNOWN, [{"digest": deleted.digest}])
        writes = [Delete(deleted), Touch(key), *review_writes(found, repository, self._clock())]
        self._metadata.commit([*writes, *self._tags.move(found, name, manifest, context)])
        document_restored(self._metadata, self._clock, deleted)

    def _restore_tag_unless_conflict(self, repository: str, name: str, context: ChangeContext) -> bool:
        """Restore a tag, unless it points to another manifest, or its own was deleted, meanwhile; return whether."""
        try:
            retry_on_conflict(lambda: self._restore_tag(repository, name, context, force=False))
        except RegistryError as error:
            if error.descriptor not in (TAG_CONFLICT, MANIFEST_BLOB_UNKNOWN):
                raise
            return False
        return True

    def _refuse_conflict(self, live: Tag | None, deleted: DeletedTag, force: bool) -> None:
        """Raise TAG_CONFLICT if the tag now points to another manifest, unless `force`."""
        if live is not None and live.digest != deleted.digest and not force:
            raise RegistryError(TAG_CONFLICT, {"tag": live.id, "digest": live.digest})

    def _relist(self, repository: str) -> bool:
        """Make a repository live, so that it is listed again; return whether it was not."""
        key = Key(Repository, repository)
        found = self._metadata.read([key])
        if writes := revive_writes(found, repository, self._clock()):
            self._metadata.commit(writes)
        return (record := found[key]) is None or record.deleted is not None

    def _restore_tags_of(self, repository: str, digest: str, causes: Collection[str], context: ChangeContext) -> None:
        """Restore the tags that were deleted with a manifest, except those that now point to another one."""
        for tag in find_all(self._metadata, DeletedTag, {"digest": digest}, repository):
            live = Key(Tag, tag.id, repository)
            if deletion_causes.cause_of(tag) in causes and self._metadata.read([live], content=False)[live] is None:
                self._restore_tag_unless_conflict(repository, tag.id, context)

    def _deleted_children(self, index: DeletedManifest) -> list[str]:
        """Return the digests of an index's children that have a tombstone."""
        keys = [Key(DeletedManifest, child, index.repository) for child in index.children]
        found = self._metadata.read(keys, content=False)
        return [key.id for key in keys if found[key] is not None]

    def _deleted_referrers(self, subject: DeletedManifest, causes: Collection[str]) -> list[str]:
        """Return the digests of the referrers that were deleted with a manifest."""
        referrers = find_all(self._metadata, DeletedManifest, {"subject": subject.id}, subject.repository)
        digests = [each.id for each in referrers if deletion_causes.cause_of(each) in causes]
        keys = [Key(DeletedTag, tag, subject.repository) for tag in referrer_tags_of(subject.id)]
        found = self._metadata.read(keys, content=False)
        tags = [tag for key in keys if (tag := found[key]) is not None and deletion_causes.cause_of(tag) in causes]
        # The tag may have been deleted with the subject, but the manifest by another cause.
        attached_keys = [Key(DeletedManifest, digest, subject.repository) for digest in {tag.digest for tag in tags}]
        found = self._metadata.read(attached_keys, content=False)
        attached = [tombstone for key in attached_keys if (tombstone := found[key]) is not None]
        return digests + [each.id for each in attached if deletion_causes.cause_of(each) in causes]

    def _read_tombstone(self, repository: str, digest: str) -> DeletedManifest | None:
        """Return a deleted manifest, without its content."""
        key = Key(DeletedManifest, digest, repository)
        return self._metadata.read([key], content=False)[key]

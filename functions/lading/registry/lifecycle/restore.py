"""Undeleting: what was deleted comes back with all that went with it, and with all that it needs.

Children before the index that names them, a manifest before its tags: whatever can be seen is whole. What says that a
manifest was deleted goes last, and that of the first of all at the very end: whoever is stopped on the way begins
again. What nobody restores is forgotten when its time is over; only then may its blobs go.
"""

from collections.abc import Collection, Iterator
from dataclasses import replace
from typing import TypeVar

from lading.registry.change_context import RESTORE, ChangeContext, Clock
from lading.registry.content import blob_links
from lading.registry.content.damage import damaged_among
from lading.registry.content.dependencies import dependencies_of, hidden_dependencies_of, object_of, reference_writes
from lading.registry.content.large_manifests import (
    links_of,
    purge_link_writes,
    touch_unverified,
    unhide_links,
    unverify_links_for_purge,
)
from lading.registry.content.referrer_tags import referrer_tags_of
from lading.registry.errors import MANIFEST_BLOB_UNKNOWN, NAME_UNKNOWN, NOT_DELETED, TAG_CONFLICT, RegistryError
from lading.registry.lifecycle import deletion_causes
from lading.registry.pagination import find_all, scan_all
from lading.registry.repositories import review_writes, revive_writes
from lading.registry.retry import retry_on_conflict
from lading.registry.tags.tags import Tags
from lading_storage.errors import TooLarge
from lading_storage.protocols import Create, Delete, MetadataStore, Touch, Write
from lading_storage.records.core import Blob, Key, Manifest, Repository, Tag, converted
from lading_storage.records.deleted import DeletedLink, DeletedManifest, DeletedTag
from lading_storage.records.jobs import LastPull

D = TypeVar("D", DeletedManifest, DeletedTag)


class Undelete:
    """Lists, restores and forgets what was deleted."""

    def __init__(self, metadata: MetadataStore, tags: Tags, clock: Clock) -> None:
        """Restore in `metadata`."""
        self._metadata = metadata
        self._tags = tags
        self._clock = clock

    def things(self, repository: str) -> Iterator[DeletedManifest | DeletedTag]:
        """What of a repository was deleted and can be restored: manifests, then tags, without `content`."""
        yield from scan_all(self._metadata, DeletedManifest, repository)
        yield from scan_all(self._metadata, DeletedTag, repository)

    def tag(self, repository: str, name: str, context: ChangeContext = RESTORE, force: bool = False) -> None:
        """Restore a tag, and its manifest where that was deleted as well.

        Raises NOT_DELETED; TAG_CONFLICT where the tag names another manifest by now, unless `force`; TAG_IMMUTABLE; and
        MANIFEST_BLOB_UNKNOWN with what is gone for good.
        """
        key = Key(DeletedTag, name, repository)
        deleted = self._metadata.read([key])[key]
        if deleted is None:
            raise RegistryError(NOT_DELETED, {"tag": name})
        manifest, live = Key(Manifest, deleted.digest, repository), Key(Tag, name, repository)
        dead = Key(DeletedManifest, deleted.digest, repository)
        found = self._metadata.read([manifest, dead, live], content=False)
        self._refuse_taken(found[live], deleted, force)
        # Where both are there, somebody was stopped who was restoring it.
        if found[manifest] is None or found[dead] is not None:
            self.manifest(repository, deleted.digest, context)
        retry_on_conflict(lambda: self._restore_tag(repository, name, context, force))

    def manifest(self, repository: str, digest: str, context: ChangeContext = RESTORE) -> list[str]:
        """Restore a manifest, the children of an index, and all that was deleted with it: referrers and tags.

        The manifest itself can be live: its deletion was stopped, or it was pushed again. A tag that names another
        manifest by now stays as it is.

        Returns:
            The digests that were restored.

        Raises:
            RegistryError: NOT_DELETED where nothing comes back, and MANIFEST_BLOB_UNKNOWN with what is gone for good.
        """
        root, cause = self._read_tombstone(repository, digest), deletion_causes.of_manifest(digest)
        wanted = {cause} | ({deletion_causes.cause_of(root)} if root else set())
        restored: dict[str, None] = {}
        self._restore_tree(repository, digest, wanted, context, restored)
        for dead in self._caused(DeletedManifest, cause, repository):
            self._restore_tree(repository, dead.id, wanted, context, restored)
        tags = self._restore_tags(repository, cause, context)
        # The tombstone by which all this is found goes last.
        for each in sorted(restored, key=lambda each: each == digest):
            retry_on_conflict(lambda each=each: self._delete_tombstone(repository, each))  # type: ignore[misc]
        if not restored and not tags:
            raise RegistryError(NOT_DELETED, {"digest": digest})
        return list(restored)

    def repository(self, repository: str, context: ChangeContext = RESTORE) -> int:
        """Restore all that was deleted with a repository; return how many manifests.

        Raises NAME_UNKNOWN, and NOT_DELETED where nothing comes back.
        """
        key = Key(Repository, repository)
        if self._metadata.read([key])[key] is None:
            raise RegistryError(NAME_UNKNOWN, {"name": repository})
        cause, count = deletion_causes.of_repository(repository), 0
        for dead in self._caused(DeletedManifest, cause, repository):
            restored: dict[str, None] = {}
            self._restore_tree(repository, dead.id, {cause}, context, restored)
            for each in sorted(restored, key=lambda each, first=dead.id: each == first):  # type: ignore[misc]
                retry_on_conflict(lambda each=each: self._delete_tombstone(repository, each))  # type: ignore[misc]
            count += len(restored)
        # Of manifests that live: whoever deleted the repository may have been stopped in between.
        tags = self._restore_tags(repository, cause, context)
        listed = bool(self._metadata.scan(Manifest, repository, limit=1)) and retry_on_conflict(
            lambda: self._relist(repository)
        )
        if not count and not tags and not listed:
            raise RegistryError(NOT_DELETED, {"name": repository})
        return count

    def purge_by_cause(self, repository: str, cause: str) -> None:
        """Give up for good all that was deleted by a cause, but what a manifest needs that was deleted by another."""
        forgotten = 1
        while forgotten:
            # An index goes before its children, which may come first in the listing.
            forgotten = sum(
                retry_on_conflict(lambda thing=thing: self._purge_if_unneeded(thing, cause))  # type: ignore[misc]
                for thing in self._caused(DeletedManifest, cause, repository)
            )
        for tag in self._caused(DeletedTag, cause, repository):
            retry_on_conflict(lambda tag=tag: self._purge_if_unneeded(tag, cause))  # type: ignore[misc]

    def _purge_if_unneeded(self, listed: DeletedManifest | DeletedTag, cause: str) -> int:
        """Forget a deleted thing unless it has another cause by now, or is needed; answers how many went."""
        thing = self._metadata.read([listed.key], content=False)[listed.key]
        if thing is None or deletion_causes.cause_of(thing) != cause:
            return 0
        where, repository = {"children": thing.id}, thing.repository
        if thing.key.kind is DeletedManifest and self._metadata.find(
            DeletedManifest, where, repository=repository, limit=1
        ):
            return 0
        self.purge(thing)
        return 1

    def purge(self, thing: DeletedManifest | DeletedTag | DeletedLink) -> None:
        """Give up a deleted thing for good, at its version: its blobs may be nobody's now. Raises Conflict."""
        if isinstance(thing, DeletedManifest):
            try:
                self._purge_manifest(thing)
            except TooLarge:
                unverify_links_for_purge(self._metadata, thing, self._clock)
                self._purge_manifest(thing, rewrite=False)
            return
        writes: list[Write] = [Delete(thing)]
        if isinstance(thing, DeletedLink):
            blob = Key(Blob, thing.id)
            writes += [
                blob_links.unverify_blob(record) for record in [self._metadata.read([blob])[blob]] if record is not None
            ]
        self._metadata.commit(writes)

    def _caused(self, kind: type[D], cause: str, repository: str) -> Iterator[D]:
        """Yield what was deleted by a cause, without content; what is forgotten meanwhile may be among it."""
        for spelling in deletion_causes.stored_forms(cause):
            for thing in find_all(self._metadata, kind, {"cause": spelling}, repository):
                if deletion_causes.cause_of(thing) == cause:
                    yield thing

    def _restore_tree(
        self, repository: str, first: str, wanted: Collection[str], context: ChangeContext, restored: dict[str, None]
    ) -> None:
        """Restore a manifest: its children before it, and after it the tags and referrers that have a wanted cause.

        Args:
            repository: where.
            first: the digest of a manifest; nothing happens unless it is deleted.
            wanted: the causes by which referrers and tags come back; children always do.
            context: who restores.
            restored: the digests that have been restored, in order; those of this call are added.
        """
        waiting = [first]
        while waiting:
            dead = self._read_tombstone(repository, waiting[-1])
            children = [each for each in self._deleted_children(dead) if each not in restored] if dead else []
            if children:
                # They must be there first. No manifest is below itself: it would have to hold its own digest.
                waiting += children
                continue
            waiting.pop()
            if dead is not None and dead.id not in restored and self._restore_manifest(repository, dead.id):
                restored[dead.id] = None
                self._restore_tags_of(repository, dead.id, wanted, context)
                waiting += self._deleted_referrers(dead, wanted)

    def _restore_tags(self, repository: str, cause: str, context: ChangeContext) -> int:
        """Restore tags that have a cause and whose manifests live; answers how many."""
        count = 0
        for tag in self._caused(DeletedTag, cause, repository):
            keys = Key(Manifest, tag.digest, repository), Key(Tag, tag.id, repository)
            found = self._metadata.read(keys, content=False)
            if found[keys[0]] is not None and found[keys[1]] is None:
                count += self._restore_tag_unless_taken(repository, tag.id, context)
        return count

    def _purge_manifest(self, thing: DeletedManifest, *, rewrite: bool = True) -> None:
        pull = Key(LastPull, thing.id, thing.repository)
        found = self._metadata.read([*links_of(thing), pull])
        writes: list[Write] = [Delete(thing), *purge_link_writes(found, thing, self._clock(), rewrite=rewrite)]
        writes += [Delete(pulled) for pulled in [found[pull]] if pulled is not None]
        self._metadata.commit(writes)

    def _restore_manifest(self, repository: str, digest: str) -> bool:
        """Restore one manifest, whose children live; what says that it was deleted stays for now.

        Answers whether it lives: it can have been forgotten since it was found.
        """
        try:
            return retry_on_conflict(lambda: self._try_to_restore_manifest(repository, digest))
        except TooLarge:
            dead = self._read_tombstone(repository, digest)
            if dead is not None:
                unhide_links(self._metadata, dead, self._clock)
            return retry_on_conflict(lambda: self._try_to_restore_manifest(repository, digest, touched=True))

    def _try_to_restore_manifest(self, repository: str, digest: str, *, touched: bool = False) -> bool:
        key = Key(DeletedManifest, digest, repository)
        dead = self._metadata.read([key])[key]
        if dead is None:
            live = Key(Manifest, digest, repository)
            return self._metadata.read([live], content=False)[live] is not None
        manifest = converted(dead, Manifest, damaged=False)
        keys = [
            manifest.key,
            Key(Repository, repository),
            *dependencies_of(manifest),
            *hidden_dependencies_of(manifest),
        ]
        found = self._metadata.read(keys, content=False)
        now = self._clock(found.read_at)
        manifest = replace(manifest, object=object_of(found, manifest), restored=now)
        damaged = damaged_among(self._metadata, found, dependencies_of(manifest))
        needed = reference_writes(found, manifest, now, damaged=damaged)
        writes = touch_unverified(found, needed) if touched else needed
        writes += [*revive_writes(found, repository, now), Touch(dead.key)]
        writes.append(Create(manifest) if found[manifest.key] is None else Touch(manifest.key))
        self._metadata.commit(writes)
        return True

    def _delete_tombstone(self, repository: str, digest: str) -> None:
        """Forget that a manifest was deleted, unless it was deleted anew since."""
        live, tombstone = Key(Manifest, digest, repository), Key(DeletedManifest, digest, repository)
        found = self._metadata.read([live, tombstone], content=False)
        if (dead := found[tombstone]) is not None and found[live] is not None:
            self._metadata.commit([Touch(live), Delete(dead)])

    def _restore_tag(self, repository: str, name: str, context: ChangeContext, force: bool) -> None:
        keys = [Key(Repository, repository), *self._tags.keys(repository, name)]
        found = self._metadata.read(keys, content=False)
        deleted = found[Key(DeletedTag, name, repository)]
        if deleted is None:
            return
        self._refuse_taken(found[Key(Tag, name, repository)], deleted, force)
        key = Key(Manifest, deleted.digest, repository)
        manifest = self._metadata.read([key])[key]
        if manifest is None:
            raise RegistryError(MANIFEST_BLOB_UNKNOWN, [{"digest": deleted.digest}])
        writes = [Delete(deleted), Touch(key), *review_writes(found, repository, self._clock())]
        self._metadata.commit([*writes, *self._tags.move(found, name, manifest, context)])

    def _restore_tag_unless_taken(self, repository: str, name: str, context: ChangeContext) -> bool:
        """Restore a tag; answers whether it was: not where another manifest took it, or its own went, just now."""
        try:
            retry_on_conflict(lambda: self._restore_tag(repository, name, context, force=False))
        except RegistryError as error:
            if error.descriptor not in (TAG_CONFLICT, MANIFEST_BLOB_UNKNOWN):
                raise
            return False
        return True

    def _refuse_taken(self, live: Tag | None, deleted: DeletedTag, force: bool) -> None:
        if live is not None and live.digest != deleted.digest and not force:
            raise RegistryError(TAG_CONFLICT, {"tag": live.id, "digest": live.digest})

    def _relist(self, repository: str) -> bool:
        """Let a repository be listed again; return whether it was not."""
        key = Key(Repository, repository)
        found = self._metadata.read([key])
        if writes := revive_writes(found, repository, self._clock()):
            self._metadata.commit(writes)
        return (record := found[key]) is None or record.deleted is not None

    def _restore_tags_of(self, repository: str, digest: str, wanted: Collection[str], context: ChangeContext) -> None:
        """Restore the tags that went with a manifest, but for those that name another one by now."""
        for tag in find_all(self._metadata, DeletedTag, {"digest": digest}, repository):
            live = Key(Tag, tag.id, repository)
            if deletion_causes.cause_of(tag) in wanted and self._metadata.read([live], content=False)[live] is None:
                self._restore_tag_unless_taken(repository, tag.id, context)

    def _deleted_children(self, index: DeletedManifest) -> list[str]:
        """The children of an index that are deleted, or are just being restored."""
        dead = [Key(DeletedManifest, child, index.repository) for child in index.children]
        found = self._metadata.read(dead, content=False)
        return [key.id for key in dead if found[key] is not None]

    def _deleted_referrers(self, subject: DeletedManifest, wanted: Collection[str]) -> list[str]:
        """What referred to a manifest and was deleted with it."""
        referrers = find_all(self._metadata, DeletedManifest, {"subject": subject.id}, subject.repository)
        digests = [each.id for each in referrers if deletion_causes.cause_of(each) in wanted]
        keys = [Key(DeletedTag, tag, subject.repository) for tag in referrer_tags_of(subject.id)]
        found = self._metadata.read(keys, content=False)
        tags = [tag for key in keys if (tag := found[key]) is not None and deletion_causes.cause_of(tag) in wanted]
        # A tag can have gone alone, and what it named by itself.
        named = [Key(DeletedManifest, digest, subject.repository) for digest in {tag.digest for tag in tags}]
        found = self._metadata.read(named, content=False)
        attached = [dead for key in named if (dead := found[key]) is not None]
        return digests + [dead.id for dead in attached if deletion_causes.cause_of(dead) in wanted]

    def _read_tombstone(self, repository: str, digest: str) -> DeletedManifest | None:
        """Return a deleted manifest, without its content."""
        key = Key(DeletedManifest, digest, repository)
        return self._metadata.read([key], content=False)[key]

"""Delete: remove manifests and repositories for all clients at once, and keep tombstones to restore them for a while.

One commit replaces a manifest and its tags with tombstones, and with them its dependents (lifecycle.dependents):
signatures, attestations, SBOMs. What something else references stays: a record is read first, then its references, and
it is deleted at the version that was read, so that a change in between makes the commit fail.
"""

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Final

from lading.registry import deletion_causes
from lading.registry.batches import in_batches
from lading.registry.change_context import DELETE, ChangeContext, Clock
from lading.registry.content.dependencies import deletion_link_writes
from lading.registry.content.large_manifests import hide_links, unverify_links
from lading.registry.document_changes import documents_deleted
from lading.registry.errors import MANIFEST_REFERENCED, MANIFEST_UNKNOWN, NAME_UNKNOWN, RegistryError
from lading.registry.events.event_types import IMAGE_DELETED
from lading.registry.events.outbox import (
    MAX_EVENT_SIZE,
    image_event,
    next_image_time,
    repository_deleted,
)
from lading.registry.lifecycle.dependents import Dependents
from lading.registry.pagination import check_advance, scan_all
from lading.registry.preconditions import UNCONDITIONAL, Precondition
from lading.registry.repositories import review_writes, revive_writes
from lading.registry.retry import retry_on_conflict
from lading.registry.rules.effective import EffectiveRules
from lading.registry.tags.tags import Tags
from lading.registry.trust_records import TRUST_SIZE, digest_signed_by_tag, is_signature, stale_writes, trust_keys
from lading_storage.commit_size import BATCH_SIZE, size_of
from lading_storage.errors import Conflict, TooLarge
from lading_storage.protocols import MAX_CONTENT_SIZE, Create, Delete, Found, MetadataStore, Replace, Touch, Write
from lading_storage.query import Query
from lading_storage.records.core import Key, Link, Manifest, Repository, Tag
from lading_storage.records.deleted import DeletedManifest
from lading_storage.records.fields import converted

MAX_BATCH_ITEMS: Final = 100
"""Tags and manifests that one commit deletes; each manifest takes a query for each of its blobs."""

MAX_BATCH_TAGS: Final = 400
"""Tags that one commit deletes if it deletes no manifests; each takes five writes."""

PAUSE_RATIO: Final = 0.25
MAX_PAUSE: Final = 0.1
"""Pause in a long deletion, in seconds per second of work, and its maximum in seconds: other writers need the store."""

LINK_SIZE: Final = 2_500
TAG_SIZE: Final = 4_000 + MAX_EVENT_SIZE + TRUST_SIZE
MANIFEST_SIZE: Final = 4_000 + MAX_EVENT_SIZE + TRUST_SIZE
"""Bytes that the deletion of one adds to a commit at most, without its content (lading_storage.commit_size)."""

DeletionItem = tuple[str, Tag | Manifest]
"""Cause of a deletion (DeletedManifest.cause), and the record to delete."""

Progress = Callable[[str, int, int], None]
"""Progress callback: the kind of item, how many are done, and the total, or 0 if that is unknown."""

OnDeleted = Callable[[Tag | Manifest], object]
"""Callback for each record that was deleted, called after the commit."""


class Deletion:
    """Deletion of manifests and repositories. Tags deletes single tags."""

    def __init__(self, metadata: MetadataStore, tags: Tags, clock: Clock) -> None:
        """Delete in `metadata`."""
        self._metadata = metadata
        self._tags = tags
        self._dependents = Dependents(metadata)
        self._clock = clock

    def manifest(
        self,
        repository: str,
        digest: str,
        context: ChangeContext = DELETE,
        on_deleted: OnDeleted = lambda record: None,
        condition: Precondition = UNCONDITIONAL,
    ) -> None:
        """Delete a manifest, its tags, its dependents, and superseded indexes that reference it (end-9).

        Args:
            repository: where it is.
            digest: of the manifest.
            context: of the change.
            on_deleted: called for each record that was deleted.
            condition: precondition on the manifest.

        Raises:
            RegistryError: MANIFEST_UNKNOWN, PRECONDITION_FAILED, TAG_IMMUTABLE; MANIFEST_REFERENCED if an index that
                was not superseded references it.
        """
        retry_on_conflict(lambda: self._try_to_delete(repository, digest, context, on_deleted, condition))

    def repository(
        self, repository: str, context: ChangeContext = DELETE, progress: Progress = lambda kind, done, total: None
    ) -> None:
        """Delete a repository: every tag and every manifest, a page at a time. A retry continues where it ended.

        Args:
            repository: its name.
            context: of the change.
            progress: called after each page.

        Raises:
            RegistryError: NAME_UNKNOWN; TAG_IMMUTABLE, before anything is deleted.
        """
        tags = [tag.id for tag in scan_all(self._metadata, Tag, repository)]
        retry_on_conflict(lambda: self._mark_deleted(repository, tags, context))
        self._delete_tags(repository, context, lambda done: progress("tags", done, len(tags)))
        deleted = 0
        while count := self._delete_unreferenced_manifests(repository, context):
            deleted += count
            progress("manifests", deleted, 0)
        retry_on_conflict(lambda: self._mark_deleted_if_empty(repository))

    def delete_atomically(self, items: Sequence[DeletionItem], context: ChangeContext, rules: EffectiveRules) -> None:
        """Delete records in one commit, each at its version, regardless of references; they need no `content`.

        Args:
            items: the records, all in one repository.
            context: of the change.
            rules: the rules by which the deletion was decided, in the repository of the records.

        Raises:
            Conflict: a record or a rule has changed.
            TooLarge: the records do not fit into one commit.
        """
        repository = rules.repository
        tags = [(cause, record) for cause, record in items if isinstance(record, Tag)]
        manifests = self._with_content([(cause, record) for cause, record in items if isinstance(record, Manifest)])
        keys = [key for _, tag in tags for key in self._tags.keys(repository, tag.id)]
        tombstones = (tombstone_key(manifest) for _, manifest in manifests)
        deleted = [manifest for _, manifest in manifests]
        trust = trust_keys(repository, deleted)
        keys = [*dict.fromkeys([*keys, *trust])]
        found = self._metadata.read([Key(Repository, repository), *keys, *tombstones], content=False)
        writes = [*rules.guard]
        writes += [write for cause, tag in tags for write in self._tags.drop(found, tag, cause, context)]
        for cause, manifest in manifests:
            writes += self._tombstone_writes(found, manifest, cause, context)
        now = self._clock(found.read_at)
        writes += review_writes(found, repository, now)
        writes += stale_writes(found, trust, now, writes)
        blobs = dict.fromkeys(blob for manifest in deleted for blob in manifest.blobs)
        writes += deletion_link_writes(self._metadata, repository, deleted, [*blobs], now)
        self._metadata.commit(writes)
        documents_deleted(self._metadata, self._clock, [record for _, record in items])

    def _with_content(self, manifests: Sequence[tuple[str, Manifest]]) -> list[tuple[str, Manifest]]:
        """Return manifests with their content. Raises Conflict unless all are still at their versions."""
        found = self._metadata.read([manifest.key for _, manifest in manifests])
        complete = []
        for cause, manifest in manifests:
            record = found[manifest.key]
            if record is None or record.version != manifest.version:
                raise Conflict(f"{manifest.key} was changed or deleted")
            complete.append((cause, record))
        return complete

    def _try_to_delete(
        self, repository: str, digest: str, context: ChangeContext, on_deleted: OnDeleted, condition: Precondition
    ) -> None:
        key = Key(Manifest, digest, repository)
        found = self._metadata.read([key, *self._tags.rules.keys(repository)], content=False)
        rules, root = self._tags.rules.of(found, repository), found[key]
        if root is None:
            raise RegistryError(MANIFEST_UNKNOWN, {"reference": digest})
        condition.check(digest)
        blocking, superseded = self._dependents.blocking_indexes(root)
        if blocking:
            raise RegistryError(MANIFEST_REFERENCED, {"digest": digest, "indexes": blocking})
        deletion = self._dependents.of(root, superseded)
        dangling = [tag for tag in deletion.dangling if not rules.immutable_rule(tag.id)]
        # If they need several commits, the manifest itself is deleted by the last one, so that a retry continues.
        records: list[Tag | Manifest] = [*deletion.tags, *dangling, *reversed(deletion.manifests)]
        self._delete_all(records, deletion_causes.of_manifest(digest), context, rules, on_deleted)

    def _delete_all(
        self,
        records: list[Tag | Manifest],
        cause: str,
        context: ChangeContext,
        rules: EffectiveRules,
        on_deleted: OnDeleted = lambda record: None,
    ) -> None:
        """Delete records in order, in as few commits as possible. Raises TAG_IMMUTABLE before it deletes any."""
        for record in records:
            if isinstance(record, Tag):
                rules.check_mutable(record.id)

        def delete(batch: Sequence[Tag | Manifest]) -> None:
            self.delete_or_split([(cause, record) for record in batch], context, rules)
            for record in batch:
                on_deleted(record)

        in_batches(records, delete, size=_size, max_items=MAX_BATCH_ITEMS)

    def delete_or_split(self, items: Sequence[DeletionItem], context: ChangeContext, rules: EffectiveRules) -> None:
        """Delete records as `delete_atomically` does; a single manifest in several commits if its links need them.

        Its links are then hidden after the manifest is deleted; if that is interrupted, collection hides them. Raises
        Conflict, and TooLarge if several records do not fit into one commit.
        """
        try:
            self.delete_atomically(items, context, rules)
        except TooLarge:
            repository = rules.repository
            ((cause, record), *others) = items
            if others or isinstance(record, Tag):
                raise
            unverify_links(self._metadata, record, self._clock)
            ((_, manifest),) = self._with_content([(cause, record)])
            trust = trust_keys(repository, [manifest])
            found = self._metadata.read([Key(Repository, repository), tombstone_key(record), *trust], content=False)
            writes = self._tombstone_writes(found, manifest, cause, context)
            writes += [*review_writes(found, repository, self._clock()), *stale_writes(found, trust, self._clock())]
            self._metadata.commit([*writes, *rules.guard])
            hide_links(self._metadata, record, self._clock)

    def _tombstone_writes(self, found: Found, manifest: Manifest, cause: str, context: ChangeContext) -> list[Write]:
        """Return the writes that replace a manifest with a tombstone, and of its event."""
        earlier, time = found[tombstone_key(manifest)], self._clock(found.read_at)
        moved, version = next_image_time(manifest, time), earlier.version if earlier else ""
        own = {"deleted": time, "by": context.actor, "cause": cause, "stamp": moved.stored_stamp}
        deleted = converted(manifest, DeletedManifest, version=version, **own)
        event = image_event(IMAGE_DELETED, manifest, moved, context)
        return [Delete(manifest), Replace(deleted) if earlier else Create(deleted), event]

    def _mark_deleted(self, repository: str, tags: Sequence[str], context: ChangeContext) -> None:
        """Mark a repository as deleted, unless one of its tags is immutable. A repeated deletion has no event."""
        key = Key(Repository, repository)
        found = self._metadata.read([key, *self._tags.rules.keys(repository)])
        rules, record = self._tags.rules.of(found, repository), found[key]
        for tag in tags:
            rules.check_mutable(tag)
        if record is None:
            raise RegistryError(NAME_UNKNOWN, {"name": repository})
        deleted = self._clock(found.read_at)
        events = [] if record.deleted else [repository_deleted(repository, deleted, context)]
        self._metadata.commit([Replace(replace(record, deleted=deleted)), *rules.guard, *events])

    def _mark_deleted_if_empty(self, repository: str) -> None:
        """Mark a repository as deleted again if nothing in it is live.

        A collection an hour after the deletion began may have found live records, and listed the repository again. The
        deletion has its event since it began.
        """
        key = Key(Repository, repository)
        record = self._metadata.read([key])[key]
        if record is None or record.deleted or self._is_live(repository):
            return
        marked = replace(record, deleted=self._clock())
        self._metadata.commit([Replace(marked)])
        if self._is_live(repository):
            # A push that read the record before it was marked.
            current = self._metadata.read([key])
            self._metadata.commit(revive_writes(current, repository, self._clock()))

    def _is_live(self, repository: str) -> bool:
        return any(self._metadata.find(Query(kind, repository=repository, limit=1)) for kind in (Manifest, Tag))

    def _delete_tags(self, repository: str, context: ChangeContext, progress: Callable[[int], None]) -> None:
        """Delete all tags, a page at a time, including those that are pushed meanwhile."""
        cause, deleted, after = deletion_causes.of_repository(repository), 0, ""
        while True:
            page = self._metadata.find(Query(Tag, repository=repository, after=after, limit=MAX_BATCH_TAGS))
            if not page and not after:
                return
            if page:
                check_advance(Tag.order(after) if after else "", [Tag.order(tag.id) for tag in page])
            with _throttled():
                in_batches(
                    page,
                    lambda batch: retry_on_conflict(lambda: self._delete_tag_batch(repository, batch, cause, context)),
                    size=_size,
                    max_items=MAX_BATCH_TAGS,
                )
            after = page[-1].id if page else ""
            deleted += len(page)
            progress(deleted)

    def _delete_tag_batch(self, repository: str, tags: Sequence[Tag], cause: str, context: ChangeContext) -> None:
        """Delete tags at their current versions: they may have moved, or been deleted, since they were listed."""
        found = self._metadata.read([*self._tags.rules.keys(repository), *(tag.key for tag in tags)], content=False)
        rules = self._tags.rules.of(found, repository)
        current = [tag for each in tags if (tag := found[each.key]) is not None]
        for tag in current:
            rules.check_mutable(tag.id)
        if current:
            self.delete_atomically([(cause, tag) for tag in current], context, rules)

    def _delete_unreferenced_manifests(self, repository: str, context: ChangeContext) -> int:
        """Delete, in one pass, the manifests that no index references; return how many manifests it saw."""
        after, seen = "", 0
        while page := self._metadata.find(Query(Manifest, repository=repository, after=after, limit=MAX_BATCH_ITEMS)):
            check_advance(after, [each.id for each in page])
            with _throttled():
                retry_on_conflict(partial(self._delete_unreferenced, repository, [each.key for each in page], context))
            after, seen = page[-1].id, seen + len(page)
        return seen

    def _delete_unreferenced(self, repository: str, keys: list[Key[Manifest]], context: ChangeContext) -> None:
        found = self._metadata.read([*self._tags.rules.keys(repository), *keys], content=False)
        manifests = [each for key in keys if (each := found[key]) is not None and not self._dependents.indexes(each)]
        # Tags that were pushed since the repository's tags were deleted.
        tags = [tag for manifest in manifests for tag in self._dependents.tags(manifest).values()]
        rules = self._tags.rules.of(found, repository)
        self._delete_all([*tags, *manifests], deletion_causes.of_repository(repository), context, rules)


def fits_in_commit(items: int, size: int) -> bool:
    """Return whether one commit can delete this number of items, which add `size` bytes to it."""
    return items <= MAX_BATCH_ITEMS and size <= BATCH_SIZE


def size_of_manifest(size: int, blobs: int) -> int:
    """Return the bytes that the deletion of a manifest of `size` bytes, with so many blobs, adds to a commit."""
    content = size if size <= MAX_CONTENT_SIZE else 0
    return MANIFEST_SIZE + 2 * content + LINK_SIZE * blobs


def _size(record: Tag | Manifest) -> int:
    """Return the bytes of the writes that delete a record: itself, its tombstone, its links or history, its event."""
    own = 2 * size_of([Delete(record)])
    if isinstance(record, Tag):
        return 2 * own + MAX_EVENT_SIZE + (TRUST_SIZE if digest_signed_by_tag(record.id) else 0)
    own += TRUST_SIZE if is_signature(record) else 0
    return own + MAX_EVENT_SIZE + len(record.blobs) * 4 * size_of([Touch(Key(Link, record.digest, record.repository))])


@contextlib.contextmanager
def _throttled() -> Iterator[None]:
    """Pause after the block, in proportion to the time that it took, so that other writers can proceed."""
    began = time.monotonic()
    yield
    time.sleep(min(PAUSE_RATIO * (time.monotonic() - began), MAX_PAUSE))


def tombstone_key(manifest: Manifest) -> Key[DeletedManifest]:
    """Return the key of a manifest's tombstone."""
    return Key(DeletedManifest, manifest.id, manifest.repository)

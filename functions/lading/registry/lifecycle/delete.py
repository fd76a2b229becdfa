"""Deleting: what is deleted is gone for every client at once, and can be restored for a while.

One commit moves a manifest with its tags to where deleted things are, and with it whatever refers to it (followers):
signatures, attestations, SBOMs. Whatever another thing still names stays: it is read first, then what names it, and it
is deleted at the version that was read, so that what came in between makes the commit fail.
"""

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Final

from lading.registry.batches import in_batches
from lading.registry.change_context import DELETE, ChangeContext, Clock
from lading.registry.content.dependencies import deletion_link_writes
from lading.registry.content.large_manifests import hide_links, unverify_links
from lading.registry.content.preconditions import UNCONDITIONAL, Precondition
from lading.registry.errors import MANIFEST_REFERENCED, MANIFEST_UNKNOWN, NAME_UNKNOWN, RegistryError
from lading.registry.lifecycle import deletion_causes
from lading.registry.lifecycle.dependents import Dependents
from lading.registry.pagination import check_advance, scan_all
from lading.registry.repositories import review_writes, revive_writes
from lading.registry.retry import retry_on_conflict
from lading.registry.tags.tags import Tags
from lading_storage.commit_size import BATCH_SIZE, size_of
from lading_storage.errors import Conflict, TooLarge
from lading_storage.protocols import MAX_CONTENT_SIZE, Create, Delete, Found, MetadataStore, Replace, Touch, Write
from lading_storage.records.core import Key, Link, Manifest, Repository, Tag, converted
from lading_storage.records.deleted import DeletedManifest

MAX_BATCH_ITEMS: Final = 100
"""Things that one commit deletes, of which a manifest takes a query for each of its blobs."""

MAX_BATCH_TAGS: Final = 400
"""Tags alone that one commit deletes, in four writes each."""

PAUSE_RATIO: Final = 0.25
MAX_PAUSE: Final = 0.1
"""Seconds of pause for each second of a long deletion, and the most at once: others have something to write, too."""

LINK_SIZE: Final = 2_500
TAG_SIZE: Final = 4_000
MANIFEST_SIZE: Final = 4_000
"""Bytes that deleting one adds to a commit at most, but for contents (lading_storage.commit_size)."""

DeletionItem = tuple[str, Tag | Manifest]
"""What is deleted, behind the cause with which it is restored: see DeletedManifest."""


Progress = Callable[[str, int, int], None]
"""Is told what is being done, how much of it is, and of how much, or 0 where nobody knows."""


OnDeleted = Callable[[Tag | Manifest], object]
"""Is told of each thing that has been deleted, once the commit has."""


class Deletion:
    """Deletes manifests and repositories. Tags alone are deleted by Tags."""

    def __init__(self, metadata: MetadataStore, tags: Tags, clock: Clock) -> None:
        """Delete in `metadata`."""
        self._metadata = metadata
        self._tags = tags
        self._followers = Dependents(metadata)
        self._clock = clock

    def manifest(
        self,
        repository: str,
        digest: str,
        context: ChangeContext = DELETE,
        on_deleted: OnDeleted = lambda thing: None,
        condition: Precondition = UNCONDITIONAL,
    ) -> None:
        """Delete a manifest, its tags, what refers to it, and superseded indexes that name it (end-9).

        `on_deleted` is told of each. Raises MANIFEST_UNKNOWN, PRECONDITION_FAILED, MANIFEST_REFERENCED by an index that
        keeps it, and TAG_IMMUTABLE.
        """
        retry_on_conflict(lambda: self._try_to_delete(repository, digest, context, on_deleted, condition))

    def repository(
        self, repository: str, context: ChangeContext = DELETE, progress: Progress = lambda what, done, total: None
    ) -> None:
        """Delete a repository: every tag and every manifest, a page at a time; whoever repeats it goes on.

        Args:
            repository: its name.
            context: who deletes.
            progress: is told what is deleted, how many so far, and how many there were, or 0 where nobody knows.

        Raises:
            RegistryError: NAME_UNKNOWN, and TAG_IMMUTABLE before anything is deleted.
        """
        tags = 0
        for tag in scan_all(self._metadata, Tag, repository):
            self._tags.immutable.check(repository, tag.id)
            tags += 1
        retry_on_conflict(lambda: self._mark_deleted(repository))
        self._delete_tags(repository, context, lambda done: progress("tags", done, tags))
        done = 0
        while deleted := self._delete_unreferenced_manifests(repository, context):
            done += deleted
            progress("manifests", done, 0)
        retry_on_conflict(lambda: self._mark_deleted_if_empty(repository))

    def delete_atomically(self, repository: str, items: Sequence[DeletionItem], context: ChangeContext) -> None:
        """Delete these in one commit, each at its version, whoever names them; their contents need not be there.

        Raises Conflict, and TooLarge where they are too many.
        """
        tags = [(cause, thing) for cause, thing in items if isinstance(thing, Tag)]
        manifests = self._with_content([(cause, thing) for cause, thing in items if isinstance(thing, Manifest)])
        keys = [key for _, tag in tags for key in self._tags.keys(repository, tag.id)]
        tombstones = (tombstone_key(manifest) for _, manifest in manifests)
        found = self._metadata.read([Key(Repository, repository), *keys, *tombstones], content=False)
        writes = [write for cause, tag in tags for write in self._tags.drop(found, tag, cause, context)]
        for cause, manifest in manifests:
            writes += self._tombstone_writes(found, manifest, cause, context)
        now = self._clock(found.read_at)
        writes += review_writes(found, repository, now)
        going = [manifest for _, manifest in manifests]
        blobs = dict.fromkeys(blob for manifest in going for blob in manifest.blobs)
        writes += deletion_link_writes(self._metadata, repository, going, [*blobs], now)
        self._metadata.commit(writes)

    def _with_content(self, manifests: Sequence[tuple[str, Manifest]]) -> list[tuple[str, Manifest]]:
        """Read the contents of manifests, which are still at their versions. Raises Conflict."""
        found = self._metadata.read([manifest.key for _, manifest in manifests])
        whole = []
        for cause, manifest in manifests:
            record = found[manifest.key]
            if record is None or record.version != manifest.version:
                raise Conflict(f"{manifest.key} has changed or gone")
            whole.append((cause, record))
        return whole

    def _try_to_delete(
        self, repository: str, digest: str, context: ChangeContext, on_deleted: OnDeleted, condition: Precondition
    ) -> None:
        root = self._read(repository, digest)
        if root is None:
            raise RegistryError(MANIFEST_UNKNOWN, {"reference": digest})
        condition.check(digest)
        keeping, superseded = self._followers.blocking_indexes(root)
        if keeping:
            raise RegistryError(MANIFEST_REFERENCED, {"digest": digest, "indexes": keeping})
        going = self._followers.of(root, superseded)
        dangling = [tag for tag in going.dangling if not self._tags.immutable.rule(repository, tag.id)]
        # Where they are too many for one commit, the manifest itself goes with the last: whoever repeats it goes on.
        things: list[Tag | Manifest] = [*going.tags, *dangling, *reversed(going.manifests)]
        self._delete_all(repository, things, deletion_causes.of_manifest(digest), context, on_deleted)

    def _delete_all(
        self,
        repository: str,
        things: list[Tag | Manifest],
        cause: str,
        context: ChangeContext,
        on_deleted: OnDeleted = lambda thing: None,
    ) -> None:
        """Delete these in order, in as few commits as they need. Raises TAG_IMMUTABLE before it deletes any."""
        for thing in things:
            if isinstance(thing, Tag):
                self._tags.immutable.check(repository, thing.id)

        def delete(some: Sequence[Tag | Manifest]) -> None:
            self.delete_or_split(repository, [(cause, thing) for thing in some], context)
            for thing in some:
                on_deleted(thing)

        in_batches(things, delete, size=_size, max_items=MAX_BATCH_ITEMS)

    def delete_or_split(self, repository: str, items: Sequence[DeletionItem], context: ChangeContext) -> None:
        """Delete these as `together` does, or a manifest alone whose links do not fit into its commit.

        They are hidden after it then; where that is interrupted, collection hides them. Raises Conflict, and TooLarge
        where several things are too large for one commit.
        """
        try:
            self.delete_atomically(repository, items, context)
        except TooLarge:
            ((cause, thing), *others) = items
            if others or isinstance(thing, Tag):
                raise
            unverify_links(self._metadata, thing, self._clock)
            ((_, whole),) = self._with_content([(cause, thing)])
            found = self._metadata.read([Key(Repository, repository), tombstone_key(thing)], content=False)
            writes = self._tombstone_writes(found, whole, cause, context)
            self._metadata.commit([*writes, *review_writes(found, repository, self._clock())])
            hide_links(self._metadata, thing, self._clock)

    def _tombstone_writes(self, found: Found, manifest: Manifest, cause: str, context: ChangeContext) -> list[Write]:
        """The writes that move a manifest to where deleted ones are."""
        earlier, time = found[tombstone_key(manifest)], self._clock(found.read_at)
        version = earlier.version if earlier else ""
        deleted = converted(manifest, DeletedManifest, deleted=time, by=context.actor, cause=cause, version=version)
        return [Delete(manifest), Replace(deleted) if earlier else Create(deleted)]

    def _mark_deleted(self, repository: str) -> None:
        key = Key(Repository, repository)
        found = self._metadata.read([key])
        record = found[key]
        if record is None:
            raise RegistryError(NAME_UNKNOWN, {"name": repository})
        self._metadata.commit([Replace(replace(record, deleted=self._clock(found.read_at)))])

    def _mark_deleted_if_empty(self, repository: str) -> None:
        """Let a repository be deleted of which nothing lives.

        A collection that came by an hour after the deletion began has found things that lived still, and listed it.
        """
        key = Key(Repository, repository)
        record = self._metadata.read([key])[key]
        if record is None or record.deleted or self._is_live(repository):
            return
        flagged = replace(record, deleted=self._clock())
        self._metadata.commit([Replace(flagged)])
        if self._is_live(repository):
            # A push that has not read the flag.
            current = self._metadata.read([key])
            self._metadata.commit(revive_writes(current, repository, self._clock()))

    def _is_live(self, repository: str) -> bool:
        return any(self._metadata.scan(kind, repository, limit=1) for kind in (Manifest, Tag))

    def _delete_tags(self, repository: str, context: ChangeContext, progress: Callable[[int], None]) -> None:
        """Delete all tags, page after page, and what was pushed meanwhile."""
        cause, done, after = deletion_causes.of_repository(repository), 0, ""
        while True:
            page = self._metadata.scan(Tag, repository, after=after, limit=MAX_BATCH_TAGS)
            if not page and not after:
                return
            if page:
                check_advance(Tag.order(after) if after else "", [Tag.order(tag.id) for tag in page])
            with _throttled():
                in_batches(
                    page,
                    lambda some: retry_on_conflict(lambda: self._delete_some_tags(repository, some, cause, context)),
                    size=_size,
                    max_items=MAX_BATCH_TAGS,
                )
            after = page[-1].id if page else ""
            done += len(page)
            progress(done)

    def _delete_some_tags(self, repository: str, tags: Sequence[Tag], cause: str, context: ChangeContext) -> None:
        """Delete tags as they are now: moved or deleted since they were listed, they have another version."""
        found = self._metadata.read([tag.key for tag in tags], content=False)
        current = [tag for each in tags if (tag := found[each.key]) is not None]
        for tag in current:
            self._tags.immutable.check(repository, tag.id)
        if current:
            self.delete_atomically(repository, [(cause, tag) for tag in current], context)

    def _delete_unreferenced_manifests(self, repository: str, context: ChangeContext) -> int:
        """Go over all manifests once; answers how many there were. Indexes go before their children."""
        after, seen = "", 0
        while page := self._metadata.scan(Manifest, repository, after=after, limit=MAX_BATCH_ITEMS):
            check_advance(after, [each.id for each in page])
            with _throttled():
                retry_on_conflict(partial(self._delete_unreferenced, repository, [each.key for each in page], context))
            after, seen = page[-1].id, seen + len(page)
        return seen

    def _delete_unreferenced(self, repository: str, keys: list[Key[Manifest]], context: ChangeContext) -> None:
        found = self._metadata.read(keys, content=False)
        manifests = [each for key in keys if (each := found[key]) is not None and not self._followers.indexes(each)]
        # Pushed since the repository's tags went, if there are any.
        tags = [tag for manifest in manifests for tag in self._followers.tags(manifest).values()]
        self._delete_all(repository, [*tags, *manifests], deletion_causes.of_repository(repository), context)

    def _read(self, repository: str, digest: str) -> Manifest | None:
        """Return a manifest, without its content."""
        key = Key(Manifest, digest, repository)
        return self._metadata.read([key], content=False)[key]


def fits_in_commit(things: int, size: int) -> bool:
    """Whether one commit deletes so many things, which add so many bytes to it."""
    return things <= MAX_BATCH_ITEMS and size <= BATCH_SIZE


def size_of_manifest(size: int, blobs: int) -> int:
    """Return the bytes that deleting a manifest adds to a commit: of so many bytes itself, with so many blobs."""
    content = size if size <= MAX_CONTENT_SIZE else 0
    return MANIFEST_SIZE + 2 * content + LINK_SIZE * blobs


def _size(thing: Tag | Manifest) -> int:
    """Return the bytes of the writes that delete a thing: it, what is left of it, and its links or its history."""
    own = 2 * size_of([Delete(thing)])
    if isinstance(thing, Tag):
        return 2 * own
    return own + len(thing.blobs) * 4 * size_of([Touch(Key(Link, thing.digest, thing.repository))])


@contextlib.contextmanager
def _throttled() -> Iterator[None]:
    """Rest after the block, for a share of the time that it took: others have something to write as well."""
    began = time.monotonic()
    yield
    time.sleep(min(PAUSE_RATIO * (time.monotonic() - began), MAX_PAUSE))


def tombstone_key(manifest: Manifest) -> Key[DeletedManifest]:
    """Where a manifest is while it is deleted."""
    return Key(DeletedManifest, manifest.id, manifest.repository)

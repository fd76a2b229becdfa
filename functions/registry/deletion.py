"""Deleting: what is deleted is gone for every client at once, and can be restored for a while.

One commit moves a manifest with its tags to where deleted things are, and with it whatever refers to it (followers):
signatures, attestations, SBOMs. Whatever another thing still names stays: it is read first, then what names it, and it
is deleted at the version that was read, so that what came in between makes the commit fail.
"""

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Final

from functions.registry import causes
from functions.registry.acts import DELETE, Act, Clock
from functions.registry.attempts import settle
from functions.registry.batches import in_batches
from functions.registry.errors import MANIFEST_NAMED, MANIFEST_UNKNOWN, NAME_UNKNOWN, RegistryError
from functions.registry.followers import Followers
from functions.registry.large_manifests import hide_links, loosen_links
from functions.registry.needs import released
from functions.registry.pages import check_advance, scan_all
from functions.registry.preconditions import UNCONDITIONAL, Precondition
from functions.registry.repositories import alive, changed
from functions.registry.tags import Tags
from storage.commit_size import BATCH_SIZE, size_of
from storage.errors import Conflict, TooLarge
from storage.past import DeletedManifest
from storage.protocols import MOST_CONTENT, Create, Delete, Found, MetadataStore, Replace, Touch, Write
from storage.records import Key, Link, Manifest, Repository, Tag, recast

AT_ONCE: Final = 100
"""Things that one commit deletes, of which a manifest takes a query for each of its blobs."""

TAGS_AT_ONCE: Final = 400
"""Tags alone that one commit deletes, in four writes each."""

REST: Final = 0.25
LONGEST_REST: Final = 0.1
"""Seconds of pause for each second of a long deletion, and the most at once: others have something to write, too."""

LINK_SIZE: Final = 2_500
TAG_SIZE: Final = 4_000
MANIFEST_SIZE: Final = 4_000
"""Bytes that deleting one adds to a commit at most, but for contents (storage.commit_size)."""

Caused = tuple[str, Tag | Manifest]
"""What is deleted, behind the cause with which it is restored: see DeletedManifest."""


Progress = Callable[[str, int, int], None]
"""Is told what is being done, how much of it is, and of how much, or 0 where nobody knows."""


Removed = Callable[[Tag | Manifest], object]
"""Is told of each thing that has been deleted, once the commit has."""


class Deletion:
    """Deletes manifests and repositories. Tags alone are deleted by Tags."""

    def __init__(self, metadata: MetadataStore, tags: Tags, clock: Clock) -> None:
        """Delete in `metadata`."""
        self._metadata = metadata
        self._tags = tags
        self._followers = Followers(metadata)
        self._clock = clock

    def manifest(
        self,
        repository: str,
        digest: str,
        act: Act = DELETE,
        removed: Removed = lambda thing: None,
        condition: Precondition = UNCONDITIONAL,
    ) -> None:
        """Delete a manifest, its tags, what refers to it, and superseded indexes that name it (end-9).

        `removed` is told of each. Raises MANIFEST_UNKNOWN, PRECONDITION_FAILED, MANIFEST_NAMED by an index that keeps
        it, and TAG_IMMUTABLE.
        """
        settle(lambda: self._try_to_delete(repository, digest, act, removed, condition))

    def repository(
        self, repository: str, act: Act = DELETE, progress: Progress = lambda what, done, total: None
    ) -> None:
        """Delete a repository: every tag and every manifest, a page at a time; whoever repeats it goes on.

        Args:
            repository: its name.
            act: who deletes.
            progress: is told what is deleted, how many so far, and how many there were, or 0 where nobody knows.

        Raises:
            RegistryError: NAME_UNKNOWN, and TAG_IMMUTABLE before anything is deleted.
        """
        tags = 0
        for tag in scan_all(self._metadata, Tag, repository):
            self._tags.immutable.check(repository, tag.id)
            tags += 1
        settle(lambda: self._flag(repository))
        self._delete_tags(repository, act, lambda done: progress("tags", done, tags))
        done = 0
        while deleted := self._delete_what_no_index_names(repository, act):
            done += deleted
            progress("manifests", done, 0)
        settle(lambda: self._flag_again(repository))

    def together(self, repository: str, caused: Sequence[Caused], act: Act) -> None:
        """Delete these in one commit, each at its version, whoever names them; their contents need not be there.

        Raises Conflict, and TooLarge where they are too many.
        """
        tags = [(cause, thing) for cause, thing in caused if isinstance(thing, Tag)]
        manifests = self._whole([(cause, thing) for cause, thing in caused if isinstance(thing, Manifest)])
        keys = [key for _, tag in tags for key in self._tags.keys(repository, tag.id)]
        tombstones = (tombstone_of(manifest) for _, manifest in manifests)
        found = self._metadata.read([Key(Repository, repository), *keys, *tombstones], content=False)
        writes = [write for cause, tag in tags for write in self._tags.drop(found, tag, cause, act)]
        for cause, manifest in manifests:
            writes += self._bury(found, manifest, cause, act)
        now = self._clock(found.read_at)
        writes += changed(found, repository, now)
        going = [manifest for _, manifest in manifests]
        blobs = dict.fromkeys(blob for manifest in going for blob in manifest.blobs)
        writes += released(self._metadata, repository, going, [*blobs], now)
        self._metadata.commit(writes)

    def _whole(self, manifests: Sequence[tuple[str, Manifest]]) -> list[tuple[str, Manifest]]:
        """Read the contents of manifests, which are still at their versions. Raises Conflict."""
        found = self._metadata.read([manifest.key for _, manifest in manifests])
        whole = []
        for cause, manifest in manifests:
            record = found[manifest.key]
            if record is None or record.version != manifest.version:
                raise Conflict(f"{manifest.key} has changed or gone")
            whole.append((cause, record))
        return whole

    def _try_to_delete(self, repository: str, digest: str, act: Act, removed: Removed, condition: Precondition) -> None:
        root = self._read(repository, digest)
        if root is None:
            raise RegistryError(MANIFEST_UNKNOWN, {"reference": digest})
        condition.check(digest)
        keeping, superseded = self._followers.named_by(root)
        if keeping:
            raise RegistryError(MANIFEST_NAMED, {"digest": digest, "indexes": keeping})
        going = self._followers.of(root, superseded)
        dangling = [tag for tag in going.dangling if not self._tags.immutable.rule(repository, tag.id)]
        # Where they are too many for one commit, the manifest itself goes with the last: whoever repeats it goes on.
        things: list[Tag | Manifest] = [*going.tags, *dangling, *reversed(going.manifests)]
        self._delete_all(repository, things, causes.of_manifest(digest), act, removed)

    def _delete_all(
        self,
        repository: str,
        things: list[Tag | Manifest],
        cause: str,
        act: Act,
        removed: Removed = lambda thing: None,
    ) -> None:
        """Delete these in order, in as few commits as they need. Raises TAG_IMMUTABLE before it deletes any."""
        for thing in things:
            if isinstance(thing, Tag):
                self._tags.immutable.check(repository, thing.id)

        def delete(some: Sequence[Tag | Manifest]) -> None:
            self.apart(repository, [(cause, thing) for thing in some], act)
            for thing in some:
                removed(thing)

        in_batches(things, delete, size=_size, most=AT_ONCE)

    def apart(self, repository: str, caused: Sequence[Caused], act: Act) -> None:
        """Delete these as `together` does, or a manifest alone whose links do not fit into its commit.

        They are hidden after it then; where that is interrupted, collection hides them. Raises Conflict, and TooLarge
        where several things are too large for one commit.
        """
        try:
            self.together(repository, caused, act)
        except TooLarge:
            ((cause, thing), *others) = caused
            if others or isinstance(thing, Tag):
                raise
            loosen_links(self._metadata, thing, self._clock)
            ((_, whole),) = self._whole([(cause, thing)])
            found = self._metadata.read([Key(Repository, repository), tombstone_of(thing)], content=False)
            writes = self._bury(found, whole, cause, act)
            self._metadata.commit([*writes, *changed(found, repository, self._clock())])
            hide_links(self._metadata, thing, self._clock)

    def _bury(self, found: Found, manifest: Manifest, cause: str, act: Act) -> list[Write]:
        """The writes that move a manifest to where deleted ones are."""
        earlier, time = found[tombstone_of(manifest)], self._clock(found.read_at)
        version = earlier.version if earlier else ""
        deleted = recast(manifest, DeletedManifest, deleted=time, by=act.by, cause=cause, version=version)
        return [Delete(manifest), Replace(deleted) if earlier else Create(deleted)]

    def _flag(self, repository: str) -> None:
        key = Key(Repository, repository)
        found = self._metadata.read([key])
        record = found[key]
        if record is None:
            raise RegistryError(NAME_UNKNOWN, {"name": repository})
        self._metadata.commit([Replace(replace(record, deleted=self._clock(found.read_at)))])

    def _flag_again(self, repository: str) -> None:
        """Let a repository be deleted of which nothing lives.

        A collection that came by an hour after the deletion began has found things that lived still, and listed it.
        """
        key = Key(Repository, repository)
        record = self._metadata.read([key])[key]
        if record is None or record.deleted or self._lives(repository):
            return
        flagged = replace(record, deleted=self._clock())
        self._metadata.commit([Replace(flagged)])
        if self._lives(repository):
            # A push that has not read the flag.
            current = self._metadata.read([key])
            self._metadata.commit(alive(current, repository, self._clock()))

    def _lives(self, repository: str) -> bool:
        return any(self._metadata.scan(kind, repository, limit=1) for kind in (Manifest, Tag))

    def _delete_tags(self, repository: str, act: Act, progress: Callable[[int], None]) -> None:
        """Delete all tags, page after page, and what was pushed meanwhile."""
        cause, done, after = causes.of_repository(repository), 0, ""
        while True:
            page = self._metadata.scan(Tag, repository, after=after, limit=TAGS_AT_ONCE)
            if not page and not after:
                return
            if page:
                check_advance(Tag.order(after) if after else "", [Tag.order(tag.id) for tag in page])
            with _rest():
                in_batches(
                    page,
                    lambda some: settle(lambda: self._delete_some_tags(repository, some, cause, act)),
                    size=_size,
                    most=TAGS_AT_ONCE,
                )
            after = page[-1].id if page else ""
            done += len(page)
            progress(done)

    def _delete_some_tags(self, repository: str, tags: Sequence[Tag], cause: str, act: Act) -> None:
        """Delete tags as they are now: moved or deleted since they were listed, they have another version."""
        found = self._metadata.read([tag.key for tag in tags], content=False)
        current = [tag for each in tags if (tag := found[each.key]) is not None]
        for tag in current:
            self._tags.immutable.check(repository, tag.id)
        if current:
            self.together(repository, [(cause, tag) for tag in current], act)

    def _delete_what_no_index_names(self, repository: str, act: Act) -> int:
        """Go over all manifests once; answers how many there were. Indexes go before their children."""
        after, seen = "", 0
        while page := self._metadata.scan(Manifest, repository, after=after, limit=AT_ONCE):
            check_advance(after, [each.id for each in page])
            with _rest():
                settle(lambda keys=[each.key for each in page]: self._delete_unnamed(repository, keys, act))  # type: ignore[misc]
            after, seen = page[-1].id, seen + len(page)
        return seen

    def _delete_unnamed(self, repository: str, keys: list[Key[Manifest]], act: Act) -> None:
        found = self._metadata.read(keys, content=False)
        manifests = [each for key in keys if (each := found[key]) is not None and not self._followers.indexes(each)]
        # Pushed since the repository's tags went, if there are any.
        tags = [tag for manifest in manifests for tag in self._followers.tags(manifest).values()]
        self._delete_all(repository, [*tags, *manifests], causes.of_repository(repository), act)

    def _read(self, repository: str, digest: str) -> Manifest | None:
        """Return a manifest, without its content."""
        key = Key(Manifest, digest, repository)
        return self._metadata.read([key], content=False)[key]


def fits(things: int, size: int) -> bool:
    """Whether one commit deletes so many things, which add so many bytes to it."""
    return things <= AT_ONCE and size <= BATCH_SIZE


def size_of_manifest(size: int, blobs: int) -> int:
    """Return the bytes that deleting a manifest adds to a commit: of so many bytes itself, with so many blobs."""
    content = size if size <= MOST_CONTENT else 0
    return MANIFEST_SIZE + 2 * content + LINK_SIZE * blobs


def _size(thing: Tag | Manifest) -> int:
    """Return the bytes of the writes that delete a thing: it, what is left of it, and its links or its history."""
    own = 2 * size_of([Delete(thing)])
    if isinstance(thing, Tag):
        return 2 * own
    return own + len(thing.blobs) * 4 * size_of([Touch(Key(Link, thing.digest, thing.repository))])


@contextlib.contextmanager
def _rest() -> Iterator[None]:
    """Rest after the block, for a share of the time that it took: others have something to write as well."""
    began = time.monotonic()
    yield
    time.sleep(min(REST * (time.monotonic() - began), LONGEST_REST))


def tombstone_of(manifest: Manifest) -> Key[DeletedManifest]:
    """Where a manifest is while it is deleted."""
    return Key(DeletedManifest, manifest.id, manifest.repository)

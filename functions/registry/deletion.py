"""Deleting: what is deleted is gone for every client at once, and can be restored for a while.

One commit moves a manifest with its tags to where deleted things are, and with it whatever refers to it: signatures,
attestations, SBOMs. Whatever another thing still names stays: it is read first, then what names it, and it is deleted
at the version that was read, so that what came in between makes the commit fail.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final

from functions.registry import causes
from functions.registry.acts import DELETE, Act, Clock
from functions.registry.attempts import settle
from functions.registry.batches import in_batches
from functions.registry.errors import MANIFEST_NAMED, MANIFEST_UNKNOWN, NAME_UNKNOWN, RegistryError
from functions.registry.large_manifests import hide_links, loosen_links
from functions.registry.needs import released
from functions.registry.pages import check_advance, find_all, scan_all
from functions.registry.referring import tags_of
from functions.registry.repositories import changed
from functions.registry.tags import Tags
from storage.commit_size import size_of
from storage.errors import TooLarge
from storage.past import DeletedManifest
from storage.protocols import Create, Delete, Found, MetadataStore, Replace, Touch, Write
from storage.records import Key, Link, Manifest, Repository, Tag, recast

AT_ONCE: Final = 100
"""Things that one commit deletes: a tag takes four writes, a manifest two."""

BYTES_AT_ONCE: Final = 4 * 1024 * 1024
"""Of manifests, which the commit writes where deleted ones are: Firestore takes 10 MiB."""

MOST_NAMED: Final = 10
"""Names in the answer to whoever may not delete."""

Caused = tuple[str, Tag | Manifest]
"""What is deleted, behind the cause with which it is restored: see DeletedManifest."""


class Deletion:
    """Deletes manifests and repositories. Tags alone are deleted by Tags."""

    def __init__(self, metadata: MetadataStore, tags: Tags, clock: Clock) -> None:
        """Delete in `metadata`."""
        self._metadata = metadata
        self._tags = tags
        self._clock = clock

    def manifest(self, repository: str, digest: str, act: Act = DELETE) -> None:
        """Delete a manifest, its tags, and what refers to it (end-9).

        Raises MANIFEST_UNKNOWN, MANIFEST_NAMED by a live index, and TAG_IMMUTABLE.
        """
        settle(lambda: self._try_to_delete(repository, digest, act))

    def repository(self, repository: str, act: Act = DELETE) -> None:
        """Delete a repository: every tag and every manifest, a page at a time; whoever repeats it goes on.

        Raises NAME_UNKNOWN, and TAG_IMMUTABLE before anything is deleted.
        """
        for tag in scan_all(self._metadata, Tag, repository):
            self._tags.immutable.check(repository, tag.id)
        settle(lambda: self._flag(repository))
        while settle(lambda: self._delete_some_tags(repository, act)):
            pass
        while self._delete_what_no_index_names(repository, act):
            pass

    def together(self, repository: str, caused: Sequence[Caused], act: Act) -> None:
        """Delete these in one commit, each at its version, whoever names them. Raises Conflict."""
        tags = [(cause, thing) for cause, thing in caused if isinstance(thing, Tag)]
        manifests = [(cause, thing) for cause, thing in caused if isinstance(thing, Manifest)]
        keys = [key for _, tag in tags for key in self._tags.keys(repository, tag.id)]
        tombstones = (tombstone_of(manifest) for _, manifest in manifests)
        found = self._metadata.read([Key(Repository, repository), *keys, *tombstones])
        writes = [write for cause, tag in tags for write in self._tags.drop(found, tag, cause, act)]
        for cause, manifest in manifests:
            writes += self._bury(found, manifest, cause, act)
        writes += released(self._metadata, repository, [manifest for _, manifest in manifests], self._clock())
        self._metadata.commit([*writes, *changed(found, repository, self._clock())])

    def _try_to_delete(self, repository: str, digest: str, act: Act) -> None:
        root = self._read(repository, digest)
        if root is None:
            raise RegistryError(MANIFEST_UNKNOWN, {"reference": digest})
        indexes = self._indexes(root)
        if indexes:
            raise RegistryError(MANIFEST_NAMED, {"digest": digest, "indexes": indexes})
        going = {digest: root}
        tags = self._tags_of(root)
        for follower, names in self._followers(going):
            tags |= names
            going[follower.id] = follower
        # Where they are too many for one commit, the manifest itself goes with the last: whoever repeats it goes on.
        self._delete_all(repository, [*tags.values(), *reversed(going.values())], causes.of_manifest(digest), act)

    def _followers(self, going: Mapping[str, Manifest]) -> Iterator[tuple[Manifest, dict[str, Tag]]]:
        """Each manifest that refers to one of `going`, which grows meanwhile, and that nothing else names; its tags."""
        looked: set[str] = set()
        while digests := [digest for digest in going if digest not in looked]:
            looked.update(digests)
            for digest in digests:
                for follower in self._referrers(going[digest].repository, digest):
                    tags = self._tags_of(follower)
                    others = tags.keys() - set(tags_of(digest))
                    if follower.id not in going and not others and not self._indexes(follower):
                        yield follower, tags

    def _referrers(self, repository: str, digest: str) -> Iterator[Manifest]:
        """All that refers to a manifest, by its subject or by a tag, whole."""
        for listed in find_all(self._metadata, Manifest, {"subject": digest}, repository):
            if (manifest := self._read(repository, listed.id)) is not None:
                yield manifest
        keys = [Key(Tag, tag, repository) for tag in tags_of(digest)]
        found = self._metadata.read(keys)
        for named in dict.fromkeys(tag.digest for key in keys if (tag := found[key]) is not None):
            if (manifest := self._read(repository, named)) is not None:
                yield manifest

    def _delete_all(self, repository: str, things: list[Tag | Manifest], cause: str, act: Act) -> None:
        """Delete these in order, in as few commits as they need. Raises TAG_IMMUTABLE before it deletes any."""
        for thing in things:
            if isinstance(thing, Tag):
                self._tags.immutable.check(repository, thing.id)
        in_batches(
            things,
            lambda some: self.apart(repository, [(cause, thing) for thing in some], act),
            size=_size,
            most=AT_ONCE,
        )

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
            found = self._metadata.read([Key(Repository, repository), tombstone_of(thing)])
            writes = self._bury(found, thing, cause, act)
            self._metadata.commit([*writes, *changed(found, repository, self._clock())])
            hide_links(self._metadata, thing, self._clock)

    def _bury(self, found: Found, manifest: Manifest, cause: str, act: Act) -> list[Write]:
        """The writes that move a manifest to where deleted ones are."""
        earlier = found[tombstone_of(manifest)]
        version = earlier.version if earlier else ""
        deleted = recast(manifest, DeletedManifest, deleted=self._clock(), by=act.by, cause=cause, version=version)
        return [Delete(manifest), Replace(deleted) if earlier else Create(deleted)]

    def _flag(self, repository: str) -> None:
        key = Key(Repository, repository)
        record = self._metadata.read([key])[key]
        if record is None:
            raise RegistryError(NAME_UNKNOWN, {"name": repository})
        self._metadata.commit([Replace(replace(record, deleted=self._clock()))])

    def _delete_some_tags(self, repository: str, act: Act) -> bool:
        tags = self._metadata.scan(Tag, repository, limit=AT_ONCE)
        self._delete_all(repository, [*tags], causes.of_repository(repository), act)
        return bool(tags)

    def _delete_what_no_index_names(self, repository: str, act: Act) -> bool:
        """Go over all manifests once; answers whether there were any. Indexes go before their children."""
        after = ""
        while page := self._metadata.scan(Manifest, repository, after=after, limit=AT_ONCE):
            check_advance(after, [each.id for each in page])
            settle(lambda keys=[each.key for each in page]: self._delete_unnamed(repository, keys, act))  # type: ignore[misc]
            after = page[-1].id
        return bool(after)

    def _delete_unnamed(self, repository: str, keys: list[Key[Manifest]], act: Act) -> None:
        found = self._metadata.read(keys)
        manifests = [each for key in keys if (each := found[key]) is not None and not self._indexes(each)]
        # Pushed since the repository's tags went, if there are any.
        tags = [tag for manifest in manifests for tag in self._tags_of(manifest).values()]
        self._delete_all(repository, [*tags, *manifests], causes.of_repository(repository), act)

    def _indexes(self, manifest: Manifest) -> list[str]:
        """The digests of some live indexes that name a manifest."""
        where = {"children": manifest.id}
        found = self._metadata.find(Manifest, where, repository=manifest.repository, limit=MOST_NAMED)
        return [index.id for index in found]

    def _tags_of(self, manifest: Manifest) -> dict[str, Tag]:
        """All tags that name a manifest."""
        found = find_all(self._metadata, Tag, {"digest": manifest.id}, manifest.repository)
        return {tag.id: tag for tag in found}

    def _read(self, repository: str, digest: str) -> Manifest | None:
        key = Key(Manifest, digest, repository)
        return self._metadata.read([key])[key]


def fits(things: int, size: int) -> bool:
    """Whether one commit deletes so many things, with so many bytes of manifests."""
    return things <= AT_ONCE and size <= BYTES_AT_ONCE


def _size(thing: Tag | Manifest) -> int:
    """Return the bytes of the writes that delete a thing: it, what is left of it, and its links or its history."""
    own = 2 * size_of([Delete(thing)])
    if isinstance(thing, Tag):
        return 2 * own
    return own + len(thing.blobs) * 4 * size_of([Touch(Key(Link, thing.digest, thing.repository))])


def tombstone_of(manifest: Manifest) -> Key[DeletedManifest]:
    """Where a manifest is while it is deleted."""
    return Key(DeletedManifest, manifest.id, manifest.repository)

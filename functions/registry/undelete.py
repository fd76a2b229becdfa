"""Undeleting: what was deleted comes back with all that went with it, and with all that it needs.

Children before the index that names them, a manifest before its tags: whatever can be seen is whole. What says that a
manifest was deleted goes last, and that of the first of all at the very end: whoever is stopped on the way begins
again. What nobody restores is forgotten when its time is over; only then may its blobs go.
"""

from collections.abc import Iterator
from dataclasses import replace

from functions.registry import links
from functions.registry.acts import RESTORE, Act, Clock
from functions.registry.attempts import settle
from functions.registry.damage import damaged_among
from functions.registry.errors import MANIFEST_BLOB_UNKNOWN, NAME_UNKNOWN, NOT_DELETED, TAG_TAKEN, RegistryError
from functions.registry.needs import hidden_needs_of, named, needs_of, object_of
from functions.registry.pages import find_all, scan_all
from functions.registry.referring import tags_of
from functions.registry.repositories import alive, changed
from functions.registry.tags import Tags
from storage.past import DeletedLink, DeletedManifest, DeletedTag
from storage.protocols import Create, Delete, MetadataStore, Touch, Write
from storage.records import Blob, Key, Link, Manifest, Repository, Tag, recast
from storage.upkeep import Pull


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

    def tag(self, repository: str, name: str, act: Act = RESTORE, force: bool = False) -> None:
        """Restore a tag, and its manifest where that was deleted as well.

        Raises NOT_DELETED; TAG_TAKEN where the tag names another manifest by now, unless `force`; TAG_IMMUTABLE; and
        MANIFEST_BLOB_UNKNOWN with what is gone for good.
        """
        key = Key(DeletedTag, name, repository)
        deleted = self._metadata.read([key])[key]
        if deleted is None:
            raise RegistryError(NOT_DELETED, {"tag": name})
        manifest, live = Key(Manifest, deleted.digest, repository), Key(Tag, name, repository)
        dead = Key(DeletedManifest, deleted.digest, repository)
        found = self._metadata.read([manifest, dead, live])
        self._refuse_taken(found[live], deleted, force)
        # Where both are there, somebody was stopped who was restoring it.
        if found[manifest] is None or found[dead] is not None:
            self.manifest(repository, deleted.digest, act)
        settle(lambda: self._bring_back_tag(repository, name, act, force))

    def manifest(self, repository: str, digest: str, act: Act = RESTORE) -> list[str]:
        """Restore a manifest, the children of an index, its referrers and tags that were deleted with it.

        A tag that names another manifest by now stays as it is. Answers the digests that were restored. Raises
        NOT_DELETED, and MANIFEST_BLOB_UNKNOWN with what is gone for good.
        """
        root = self._dead(repository, digest)
        if root is None:
            raise RegistryError(NOT_DELETED, {"digest": digest})
        restored: dict[str, DeletedManifest] = {}
        waiting, causes = [digest], {root.cause, digest}
        while waiting:
            dead = self._dead(repository, waiting[-1])
            children = [each for each in self._dead_children(dead) if each not in restored] if dead else []
            if children:
                # They must be there first. No manifest is below itself: it would have to hold its own digest.
                waiting += children
                continue
            waiting.pop()
            if dead is not None and dead.id not in restored:
                settle(lambda digest=dead.id: self._bring_back(repository, digest))  # type: ignore[misc]
                restored[dead.id] = dead
                self._bring_back_tags(repository, dead.id, causes, act)
                waiting += self._dead_referrers(dead, causes)
        for dead in sorted(restored.values(), key=lambda dead: dead.id == digest):
            settle(lambda digest=dead.id: self._unmark(repository, digest))  # type: ignore[misc]
        return list(restored)

    def repository(self, repository: str, act: Act = RESTORE) -> int:
        """Restore all that was deleted with a repository; answers how many manifests. Raises NAME_UNKNOWN."""
        key = Key(Repository, repository)
        if self._metadata.read([key])[key] is None:
            raise RegistryError(NAME_UNKNOWN, {"name": repository})
        count = 0
        while dead := self._metadata.find(DeletedManifest, {"cause": repository}, repository=repository, limit=1):
            count += len(self.manifest(repository, dead[0].id, act))
        # Of manifests that live: whoever deleted the repository may have been stopped in between.
        left = find_all(self._metadata, DeletedTag, {"cause": repository}, repository)
        for digest in sorted({tag.digest for tag in left}):
            if self._lives(repository, digest):
                self._bring_back_tags(repository, digest, {repository}, act)
                settle(lambda: self._list(repository))
        return count

    def forget(self, thing: DeletedManifest | DeletedTag | DeletedLink) -> None:
        """Give up a deleted thing for good, at its version: its blobs may be nobody's now. Raises Conflict."""
        writes: list[Write] = [Delete(thing)]
        if isinstance(thing, DeletedManifest):
            visible = [Key(Link, digest, thing.repository) for digest in thing.blobs]
            hidden = [Key(DeletedLink, digest, thing.repository) for digest in thing.blobs]
            pull = Key(Pull, thing.id, thing.repository)
            found = self._metadata.read([*visible, *hidden, pull])
            writes += [links.loosened(link, self._clock()) for key in visible if (link := found[key]) is not None]
            writes += [links.forgotten(link) for key in hidden if (link := found[key]) is not None]
            writes += [Delete(pulled) for pulled in [found[pull]] if pulled is not None]
        elif isinstance(thing, DeletedLink):
            blob = Key(Blob, thing.id)
            writes += [links.suspected(record) for record in [self._metadata.read([blob])[blob]] if record is not None]
        self._metadata.commit(writes)

    def _bring_back(self, repository: str, digest: str) -> None:
        """Restore one manifest, whose children live; what says that it was deleted stays for now."""
        key = Key(DeletedManifest, digest, repository)
        dead = self._metadata.read([key])[key]
        if dead is None:
            return
        manifest = recast(dead, Manifest)
        keys = [manifest.key, Key(Repository, repository), *needs_of(manifest), *hidden_needs_of(manifest)]
        found = self._metadata.read(keys, content=False)
        manifest = replace(manifest, object=object_of(found, manifest))
        damaged = damaged_among(self._metadata, found, needs_of(manifest))
        writes = named(found, manifest, self._clock(), damaged=damaged)
        writes += [*alive(found, repository, self._clock()), Touch(dead.key)]
        writes.append(Create(manifest) if found[manifest.key] is None else Touch(manifest.key))
        self._metadata.commit(writes)

    def _unmark(self, repository: str, digest: str) -> None:
        """Forget that a manifest was deleted, unless it was deleted anew since."""
        live, tombstone = Key(Manifest, digest, repository), Key(DeletedManifest, digest, repository)
        found = self._metadata.read([live, tombstone], content=False)
        if (dead := found[tombstone]) is not None and found[live] is not None:
            self._metadata.commit([Touch(live), Delete(dead)])

    def _bring_back_tag(self, repository: str, name: str, act: Act, force: bool) -> None:
        found = self._metadata.read([Key(Repository, repository), *self._tags.keys(repository, name)])
        deleted = found[Key(DeletedTag, name, repository)]
        if deleted is None:
            return
        self._refuse_taken(found[Key(Tag, name, repository)], deleted, force)
        key = Key(Manifest, deleted.digest, repository)
        manifest = self._metadata.read([key])[key]
        if manifest is None:
            raise RegistryError(MANIFEST_BLOB_UNKNOWN, [{"digest": deleted.digest}])
        writes = [Delete(deleted), Touch(key), *changed(found, repository, self._clock())]
        self._metadata.commit([*writes, *self._tags.move(found, name, manifest, act)])

    def _refuse_taken(self, live: Tag | None, deleted: DeletedTag, force: bool) -> None:
        if live is not None and live.digest != deleted.digest and not force:
            raise RegistryError(TAG_TAKEN, {"tag": live.id, "digest": live.digest})

    def _list(self, repository: str) -> None:
        """Let a repository be listed again."""
        key = Key(Repository, repository)
        if writes := alive(self._metadata.read([key]), repository, self._clock()):
            self._metadata.commit(writes)

    def _bring_back_tags(self, repository: str, digest: str, causes: set[str], act: Act) -> None:
        """Restore the tags that went with a manifest, but for those that name another one by now."""
        for tag in find_all(self._metadata, DeletedTag, {"digest": digest}, repository):
            live = Key(Tag, tag.id, repository)
            if tag.cause in causes and self._metadata.read([live])[live] is None:
                settle(lambda name=tag.id: self._bring_back_tag(repository, name, act, force=False))  # type: ignore[misc]

    def _dead_children(self, index: DeletedManifest) -> list[str]:
        """The children of an index that are deleted, or are just being restored."""
        dead = [Key(DeletedManifest, child, index.repository) for child in index.children]
        found = self._metadata.read(dead)
        return [key.id for key in dead if found[key] is not None]

    def _dead_referrers(self, subject: DeletedManifest, causes: set[str]) -> list[str]:
        """What referred to a manifest and was deleted with it."""
        referrers = find_all(self._metadata, DeletedManifest, {"subject": subject.id}, subject.repository)
        digests = [each.id for each in referrers if each.cause in causes]
        keys = [Key(DeletedTag, tag, subject.repository) for tag in tags_of(subject.id)]
        found = self._metadata.read(keys)
        return digests + [tag.digest for key in keys if (tag := found[key]) is not None and tag.cause in causes]

    def _lives(self, repository: str, digest: str) -> bool:
        key = Key(Manifest, digest, repository)
        return self._metadata.read([key])[key] is not None

    def _dead(self, repository: str, digest: str) -> DeletedManifest | None:
        key = Key(DeletedManifest, digest, repository)
        return self._metadata.read([key])[key]

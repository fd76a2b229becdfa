"""What must be true of the two stores at any moment, whoever did what in whichever order.

`whole`: all that lives is whole, all that can be restored can be restored whole, and collection can find all the rest.
`spotless`: there is no rest, as is true when enough time and collections have gone by.
"""

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any, Final

from lading.jobs.backup import Stores
from lading.registry.cleanup.apply import POLICY_ACTOR_PREFIX
from lading.registry.content.dependencies import required_dependencies_of
from lading.registry.content.referrer_tags import NOT_ATTACHED, OWN_TAG, OWN_TAG_AND_DIGEST
from lading.registry.lifecycle import deletion_causes
from lading.registry.pagination import scan_all
from lading_storage.digests import algorithm_of, digest_of
from lading_storage.records.core import (
    HIDDEN_UNVERIFIED,
    UNVERIFIED,
    Blob,
    Key,
    Link,
    Manifest,
    R,
    Record,
    Repository,
    Tag,
    Upload,
)
from lading_storage.records.deleted import DeletedLink, DeletedManifest, DeletedTag, TagEvent, TagHistory

TAGGED: Final = f"{POLICY_ACTOR_PREFIX}tagged"
"""Who deletes by the policy of tests that is about tags alone."""


class Snapshot:
    """All records of the stores, and the names of all objects. `repositories` are those that there may be."""

    def __init__(self, stores: Stores, repositories: Iterable[str]) -> None:
        self.stores = stores
        self.names = list(repositories)
        self.blobs: Mapping[str, Blob] = {each.id: each for each in scan_all(stores.metadata, Blob)}
        self.sessions = {each.id for each in scan_all(stores.metadata, Upload)}
        self.repositories = {each.id: each for each in scan_all(stores.metadata, Repository)}
        self.objects = stores.blobs.names("", limit=100_000)
        self.links = self._all(Link)
        self.manifests = self._all(Manifest)
        self.tags = self._all(Tag)
        self.dead_links = self._all(DeletedLink)
        self.dead_manifests = self._all(DeletedManifest)
        self.dead_tags = self._all(DeletedTag)
        self.histories = self._all(TagHistory)
        self.moves = self._all(TagEvent)

    def _all(self, kind: type[R]) -> dict[Key[Any], R]:
        """Every record of a kind, whole."""
        keys = [record.key for name in self.names for record in scan_all(self.stores.metadata, kind, name)]
        found = self.stores.metadata.read(keys)
        return {key: record for key in keys if (record := found[key]) is not None}

    def live_naming(self, link: Record) -> list[Manifest]:
        """The live manifests that name a link's blob in its repository."""
        return _naming(self.manifests.values(), link)

    def dead_naming(self, link: Record) -> list[Manifest]:
        """The manifests that name a link's blob in its repository and can be restored."""
        return _naming(self.dead_manifests.values(), link)

    def bytes_of(self, name: str, size: int) -> bytes:
        return b"".join(self.stores.blobs.open(name, 0, size))


def _naming(manifests: Iterable[Manifest], link: Record) -> list[Manifest]:
    return [each for each in manifests if each.repository == link.repository and link.id in each.blobs]


def whole(now: Snapshot) -> None:
    """What lives is whole, what can be restored can be restored whole, and histories tell what happened."""
    _tags_name_manifests(now)
    for manifest in now.manifests.values():
        missing = [
            key.id for key in required_dependencies_of(manifest) if key not in now.links and key not in now.manifests
        ]
        assert not missing, f"{manifest.id} lives and lacks {missing}"
        _holds(now, manifest)
        assert manifest.repository in now.repositories, f"{manifest.repository} is no repository"
    for dead in now.dead_manifests.values():
        _can_be_restored(now, dead)
    for link in now.links.values():
        blob = now.blobs.get(link.id)
        assert blob is not None, f"{link.key} has no blob"
        assert (link.object, link.size) == (blob.object, blob.size), f"{link.key} leads to another object than its blob"
        assert link.state or now.live_naming(link), f"no live manifest names {link.key}, and collection never looks"
    for hidden in now.dead_links.values():
        waits = hidden.state == HIDDEN_UNVERIFIED or now.dead_naming(hidden)
        assert waits, f"no deleted manifest names {hidden.key}, and collection never looks"
        assert hidden.id in now.blobs, f"{hidden.key} has no blob"
    linked = {each.id for each in (*now.links.values(), *now.dead_links.values())}
    for blob in now.blobs.values():
        read = digest_of(now.bytes_of(blob.object, blob.size), algorithm_of(blob.id))
        assert read == blob.id, f"the object of {blob.id} holds {read}"
        assert blob.id in linked or blob.state == UNVERIFIED, (
            f"nobody links {blob.id}, and collection will never look at it"
        )
    owned = {blob.object for blob in now.blobs.values()}
    lost = [name for name in now.objects if name not in owned and name.partition("/")[0] not in now.sessions]
    assert not lost, "objects that no record leads to"
    _what_went_with_another_belongs_to_it(now)
    _nothing_is_forgotten_by_its_repository(now)
    _histories_are_whole(now)


def spotless(now: Snapshot) -> None:
    """Exactly what living and restorable manifests need is left."""
    whole(now)
    linked = {link.id for link in (*now.links.values(), *now.dead_links.values())}
    assert all(now.live_naming(link) for link in now.links.values()), "visible links that no live manifest names"
    assert all(now.dead_naming(link) for link in now.dead_links.values()), "hidden links that no manifest names"
    assert set(now.blobs) == linked, "blobs that no repository links"
    assert sorted(now.objects) == sorted(blob.object for blob in now.blobs.values()), "objects of nobody"
    assert not now.sessions, "sessions that collection did not remove"


def _tags_name_manifests(now: Snapshot) -> None:
    for tag in now.tags.values():
        manifest = now.manifests.get(Key(Manifest, tag.digest, tag.repository))
        assert manifest is not None, f"{tag.id} names {tag.digest}, which is gone"
        assert (tag.media_type, tag.size) == (manifest.media_type, manifest.size), f"{tag.id} tells of another"
        assert tag.content in (None, manifest.content), f"{tag.id} holds another"


def _holds(now: Snapshot, manifest: Manifest) -> None:
    content = manifest.content
    if content is None:
        content = now.bytes_of(manifest.object, manifest.size)
    read = digest_of(content, algorithm_of(manifest.id))
    assert read == manifest.id, f"{manifest.id} holds {read}"


def _can_be_restored(now: Snapshot, dead: DeletedManifest) -> None:
    for digest in {*dead.blobs} - {*dead.may_lack}:
        place = (digest, dead.repository)
        assert Key(Link, *place) in now.links or Key(DeletedLink, *place) in now.dead_links, f"{dead.id} lacks {digest}"
        assert digest in now.blobs, f"{dead.id} lacks the bytes of {digest}"
    for digest in {*dead.children} - {*dead.may_lack}:
        place = (digest, dead.repository)
        there = Key(Manifest, *place) in now.manifests or Key(DeletedManifest, *place) in now.dead_manifests
        assert there, f"{dead.id} lacks its child {digest}"
    _holds(now, dead)


def _what_went_with_another_belongs_to_it(now: Snapshot) -> None:
    """What a person deleted took along what refers to it, and indexes of it; clean-up, the parts of a build as well.

    What has no tag may go by itself, together with an index that names it, unless the policy is TAGGED: by that nothing
    goes but by a tag that it was pushed for, or with what it belongs to.
    """
    for dead in now.dead_manifests.values():
        by_itself = dead.cause == deletion_causes.of_manifest(dead.id) or not dead.cause.startswith(
            f"{deletion_causes.MANIFEST}:"
        )
        refers = dead.subject or dead.attachment not in (NOT_ATTACHED, OWN_TAG, OWN_TAG_AND_DIGEST)
        by_policy = dead.by.startswith(POLICY_ACTOR_PREFIX) and (dead.by != TAGGED or _went_with_a_build(now, dead))
        superseded = any(dead.cause == deletion_causes.of_manifest(child) for child in dead.children)
        assert by_itself or refers or by_policy or superseded, f"{dead.id} only seemed to belong to {dead.cause}"
        assert dead.by != TAGGED or refers or by_policy, f"{dead.id} went by a tag that it was not pushed for"


def _went_with_a_build(now: Snapshot, dead: DeletedManifest) -> bool:
    """Whether a manifest belonged to an index, or went by a tag that was given to it within a day of its creation."""
    here = [each for each in (*now.manifests.values(), *now.dead_manifests.values()) if dead.id in each.children]
    rows = {(move.repository, move.tag, move.number): move for move in now.moves.values()}
    given = [
        rows[move.repository, move.tag, move.number - 1].moved
        for move in now.moves.values()
        if (move.repository, move.before, move.by) == (dead.repository, dead.id, TAGGED)
    ]
    return any(moved - dead.created <= timedelta(days=1) for moved in given) or any(
        dead.attachment not in (OWN_TAG, OWN_TAG_AND_DIGEST) and index.created - dead.created <= timedelta(days=1)
        for index in here
        if index.repository == dead.repository
    )


def _nothing_is_forgotten_by_its_repository(now: Snapshot) -> None:
    """Collection finds what was deleted, and histories, through their repository."""
    things: list[Record] = [*now.dead_manifests.values(), *now.dead_tags.values(), *now.dead_links.values()]
    things += [*now.histories.values(), *now.moves.values()]
    lost = [thing.key for thing in things if thing.repository not in now.repositories]
    assert not lost, "collection will never look at these"


def _histories_are_whole(now: Snapshot) -> None:
    """Each row follows from the one before, and the last one says what is."""
    moves = sorted(now.moves.values(), key=lambda move: move.number)
    for history in now.histories.values():
        rows = [move for move in moves if (move.repository, move.tag) == (history.repository, history.id)]
        name = f"the history of {history.id}"
        assert [row.number for row in rows] == list(range(1, history.moves + 1)), f"{name} has a gap or a double row"
        honest = [row.moved for row in rows if not 0 < history.clamped <= row.number]
        assert honest == sorted(honest), f"time goes back in {name}"
        assert [row.before for row in rows] == ["", *(row.digest for row in rows[:-1])], f"{name} has a break"
        assert [row.id for row in rows] == sorted((row.id for row in rows), reverse=True), f"{name} is out of order"
        tag = now.tags.get(Key(Tag, history.id, history.repository))
        assert rows[-1].digest == (tag.digest if tag else ""), f"{name} ends with what is not"
    known = {(history.repository, history.id) for history in now.histories.values()}
    assert {(move.repository, move.tag) for move in moves} <= known, "moves that no counter counts"
    assert {(tag.repository, tag.id) for tag in now.tags.values()} <= known, "tags without a history"

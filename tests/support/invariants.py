"""What must be true of the two stores at any moment, after any operations in any order.

`whole`: all that lives is whole, all that can be restored can be restored whole, and collection can find all the rest.
`spotless`: there is no rest, as is true when enough time and collections have gone by.
"""

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any, Final

from lading.registry import deletion_causes
from lading.registry.cleanup.apply import POLICY_ACTOR_PREFIX
from lading.registry.content.dependencies import required_dependencies_of
from lading.registry.content.referrer_tags import NOT_ATTACHED, OWN_TAG, OWN_TAG_AND_DIGEST
from lading.registry.owner_mark import is_mark
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
from lading_storage.stores import Stores

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
        self.objects = [name for name in stores.blobs.names("", limit=100_000) if not is_mark(name)]
        self.links = self._all(Link)
        self.manifests = self._all(Manifest)
        self.tags = self._all(Tag)
        self.hidden_links = self._all(DeletedLink)
        self.deleted_manifests = self._all(DeletedManifest)
        self.deleted_tags = self._all(DeletedTag)
        self.histories = self._all(TagHistory)
        self.tag_events = self._all(TagEvent)

    def _all(self, kind: type[R]) -> dict[Key[Any], R]:
        """Every record of a kind, whole."""
        keys = [record.key for name in self.names for record in scan_all(self.stores.metadata, kind, name)]
        found = self.stores.metadata.read(keys)
        return {key: record for key in keys if (record := found[key]) is not None}

    def live_manifests_with(self, blob_link: Record) -> list[Manifest]:
        """The live manifests that name a link's blob in its repository."""
        return _referring_to(self.manifests.values(), blob_link)

    def deleted_manifests_with(self, link: Record) -> list[Manifest]:
        """The manifests that name a link's blob in its repository and can be restored."""
        return _referring_to(self.deleted_manifests.values(), link)

    def bytes_of(self, name: str, size: int) -> bytes:
        return b"".join(self.stores.blobs.open(name, 0, size))


def _referring_to(manifests: Iterable[Manifest], link: Record) -> list[Manifest]:
    return [each for each in manifests if each.repository == link.repository and link.id in each.blobs]


def assert_intact(snapshot: Snapshot) -> None:
    """What lives is whole, what can be restored can be restored whole, and histories tell what happened."""
    _tags_name_manifests(snapshot)
    for manifest in snapshot.manifests.values():
        missing = [
            key.id
            for key in required_dependencies_of(manifest)
            if key not in snapshot.links and key not in snapshot.manifests
        ]
        assert not missing, f"{manifest.id} lives and lacks {missing}"
        _holds(snapshot, manifest)
        assert manifest.repository in snapshot.repositories, f"{manifest.repository} is no repository"
    for dead in snapshot.deleted_manifests.values():
        _can_be_restored(snapshot, dead)
    for link in snapshot.links.values():
        blob = snapshot.blobs.get(link.id)
        assert blob is not None, f"{link.key} has no blob"
        assert (link.object, link.size) == (blob.object, blob.size), f"{link.key} leads to another object than its blob"
        assert link.state or snapshot.live_manifests_with(link), (
            f"no live manifest names {link.key}, and collection never looks"
        )
    for hidden in snapshot.hidden_links.values():
        waits = hidden.state == HIDDEN_UNVERIFIED or snapshot.deleted_manifests_with(hidden)
        assert waits, f"no deleted manifest names {hidden.key}, and collection never looks"
        assert hidden.id in snapshot.blobs, f"{hidden.key} has no blob"
    linked = {each.id for each in (*snapshot.links.values(), *snapshot.hidden_links.values())}
    for blob in snapshot.blobs.values():
        read = digest_of(snapshot.bytes_of(blob.object, blob.size), algorithm_of(blob.id))
        assert read == blob.id, f"the object of {blob.id} holds {read}"
        assert blob.id in linked or blob.state == UNVERIFIED, (
            f"nobody links {blob.id}, and collection will never look at it"
        )
    owned = {blob.object for blob in snapshot.blobs.values()}
    lost = [name for name in snapshot.objects if name not in owned and name.partition("/")[0] not in snapshot.sessions]
    assert not lost, "objects that no record leads to"
    _what_went_with_another_belongs_to_it(snapshot)
    _nothing_is_forgotten_by_its_repository(snapshot)
    _histories_are_whole(snapshot)


def assert_no_garbage(snapshot: Snapshot) -> None:
    """Exactly what living and restorable manifests need is left."""
    assert_intact(snapshot)
    linked = {link.id for link in (*snapshot.links.values(), *snapshot.hidden_links.values())}
    assert all(snapshot.live_manifests_with(link) for link in snapshot.links.values()), (
        "visible links that no live manifest names"
    )
    assert all(snapshot.deleted_manifests_with(link) for link in snapshot.hidden_links.values()), (
        "hidden links that no manifest names"
    )
    assert set(snapshot.blobs) == linked, "blobs that no repository links"
    assert sorted(snapshot.objects) == sorted(blob.object for blob in snapshot.blobs.values()), "objects of nobody"
    assert not snapshot.sessions, "sessions that collection did not remove"


def _tags_name_manifests(snapshot: Snapshot) -> None:
    for tag in snapshot.tags.values():
        manifest = snapshot.manifests.get(Key(Manifest, tag.digest, tag.repository))
        assert manifest is not None, f"{tag.id} names {tag.digest}, which is gone"
        assert (tag.media_type, tag.size) == (manifest.media_type, manifest.size), f"{tag.id} tells of another"
        assert tag.content in (None, manifest.content), f"{tag.id} holds another"


def _holds(snapshot: Snapshot, manifest: Manifest) -> None:
    content = manifest.content
    if content is None:
        content = snapshot.bytes_of(manifest.object, manifest.size)
    read = digest_of(content, algorithm_of(manifest.id))
    assert read == manifest.id, f"{manifest.id} holds {read}"


def _can_be_restored(snapshot: Snapshot, deleted: DeletedManifest) -> None:
    for digest in {*deleted.blobs} - {*deleted.may_lack}:
        place = (digest, deleted.repository)
        assert Key(Link, *place) in snapshot.links or Key(DeletedLink, *place) in snapshot.hidden_links, (
            f"{deleted.id} lacks {digest}"
        )
        assert digest in snapshot.blobs, f"{deleted.id} lacks the bytes of {digest}"
    for digest in {*deleted.children} - {*deleted.may_lack}:
        place = (digest, deleted.repository)
        there = (
            Key(Manifest, *place) in snapshot.manifests or Key(DeletedManifest, *place) in snapshot.deleted_manifests
        )
        assert there, f"{deleted.id} lacks its child {digest}"
    _holds(snapshot, deleted)


def _what_went_with_another_belongs_to_it(snapshot: Snapshot) -> None:
    """What a person deleted took along what refers to it, and indexes of it; clean-up, the parts of a build as well.

    What has no tag may go by itself, together with an index that names it, unless the policy is TAGGED: by that nothing
    goes but by a tag that it was pushed for, or with what it belongs to.
    """
    for dead in snapshot.deleted_manifests.values():
        by_itself = dead.cause == deletion_causes.of_manifest(dead.id) or not dead.cause.startswith(
            f"{deletion_causes.MANIFEST}:"
        )
        refers = dead.subject or dead.attachment not in (NOT_ATTACHED, OWN_TAG, OWN_TAG_AND_DIGEST)
        by_policy = dead.by.startswith(POLICY_ACTOR_PREFIX) and (
            dead.by != TAGGED or _went_with_a_build(snapshot, dead)
        )
        superseded = any(dead.cause == deletion_causes.of_manifest(child) for child in dead.children)
        assert by_itself or refers or by_policy or superseded, f"{dead.id} only seemed to belong to {dead.cause}"
        assert dead.by != TAGGED or refers or by_policy, f"{dead.id} went by a tag that it was not pushed for"


def _went_with_a_build(snapshot: Snapshot, deleted: DeletedManifest) -> bool:
    """Whether a manifest belonged to an index, or went by a tag that was given to it within a day of its creation."""
    here = [
        each
        for each in (*snapshot.manifests.values(), *snapshot.deleted_manifests.values())
        if deleted.id in each.children
    ]
    rows = {(move.repository, move.tag, move.number): move for move in snapshot.tag_events.values()}
    given = [
        rows[move.repository, move.tag, move.number - 1].moved
        for move in snapshot.tag_events.values()
        if (move.repository, move.before, move.by) == (deleted.repository, deleted.id, TAGGED)
    ]
    return any(moved - deleted.created <= timedelta(days=1) for moved in given) or any(
        deleted.attachment not in (OWN_TAG, OWN_TAG_AND_DIGEST) and index.created - deleted.created <= timedelta(days=1)
        for index in here
        if index.repository == deleted.repository
    )


def _nothing_is_forgotten_by_its_repository(snapshot: Snapshot) -> None:
    """Collection finds what was deleted, and histories, through their repository."""
    things: list[Record] = [
        *snapshot.deleted_manifests.values(),
        *snapshot.deleted_tags.values(),
        *snapshot.hidden_links.values(),
    ]
    things += [*snapshot.histories.values(), *snapshot.tag_events.values()]
    lost = [thing.key for thing in things if thing.repository not in snapshot.repositories]
    assert not lost, "collection will never look at these"


def _histories_are_whole(snapshot: Snapshot) -> None:
    """Each row follows from the one before, and the last one says what is."""
    moves = sorted(snapshot.tag_events.values(), key=lambda move: move.number)
    for history in snapshot.histories.values():
        rows = [move for move in moves if (move.repository, move.tag) == (history.repository, history.id)]
        name = f"the history of {history.id}"
        assert [row.number for row in rows] == list(range(1, history.moves + 1)), f"{name} has a gap or a double row"
        honest = [row.moved for row in rows if not 0 < history.clamped <= row.number]
        assert honest == sorted(honest), f"time goes back in {name}"
        assert [row.before for row in rows] == ["", *(row.digest for row in rows[:-1])], f"{name} has a break"
        assert [row.id for row in rows] == sorted((row.id for row in rows), reverse=True), f"{name} is out of order"
        tag = snapshot.tags.get(Key(Tag, history.id, history.repository))
        assert rows[-1].digest == (tag.digest if tag else ""), f"{name} ends with what is not"
    known = {(history.repository, history.id) for history in snapshot.histories.values()}
    assert {(move.repository, move.tag) for move in moves} <= known, "moves that no counter counts"
    assert {(tag.repository, tag.id) for tag in snapshot.tags.values()} <= known, "tags without a history"

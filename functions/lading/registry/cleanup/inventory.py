"""What is in a repository, as clean-up and whoever counts bytes want it: all at once, and without the contents."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final

from lading.registry.cleanup.apply import POLICY_ACTOR_PREFIX
from lading.registry.cleanup.graph import Node, belongs_to_build, is_late_tag
from lading.registry.content.referrer_tags import attaches, is_referrer_tag, referrer_tags_of
from lading.registry.lifecycle.dependents import with_attachments
from lading.registry.pagination import scan_all
from lading.registry.tags.immutable import ImmutableTags
from lading_storage.protocols import MetadataStore
from lading_storage.records.core import Link, Manifest, Tag
from lading_storage.records.deleted import DeletedManifest
from lading_storage.records.jobs import LastPull

MAX_CONCURRENCY: Final = 16
"""Questions to the store at a time, where there is one for each blob."""


class Inventory:
    """Reads repositories as a whole: memory grows with one of them, by about a KiB for a manifest."""

    def __init__(self, metadata: MetadataStore, immutable: ImmutableTags) -> None:
        """Read `metadata`; `immutable` says which tags are."""
        self._metadata = metadata
        self._immutable = immutable

    def nodes(self, repository: str) -> list[Node]:
        """All manifests of a repository, with their tags and their last pulls.

        Manifests are read first: whatever names one since gave it a new version, and what came since is not among them.
        """
        manifests = list(scan_all(self._metadata, Manifest, repository))
        tags = defaultdict[str, list[Tag]](list)
        for tag in scan_all(self._metadata, Tag, repository):
            tags[tag.digest].append(tag)
        manifests = self._with_attachments(manifests, tags)
        gone = self._deleted_holders(repository, manifests)
        pulls = {pull.id: pull.pulled for pull in scan_all(self._metadata, LastPull, repository)}
        return [self._node(manifest, tags[manifest.digest], pulls.get(manifest.digest), gone) for manifest in manifests]

    def _node(self, manifest: Manifest, tags: Sequence[Tag], pulled: datetime | None, gone: "_DeletedHolders") -> Node:
        names = tuple(tag.id for tag in tags)
        return Node(
            digest=manifest.digest,
            size=manifest.size,
            created=manifest.created,
            tags=names,
            immutable_tags=tuple(tag for tag in names if self._immutable.rule(manifest.repository, tag)),
            late_tags=tuple(
                tag.id for tag in tags if is_late_tag(tag.id, tag.moved, manifest.attachment, manifest.created)
            ),
            pulled=pulled,
            subject=manifest.subject,
            attachment=manifest.attachment,
            children=manifest.children,
            blobs=manifest.blobs,
            version=manifest.version,
            orphaned_by=gone.policy(manifest, tags),
        )

    def _with_attachments(self, manifests: Sequence[Manifest], tags: Mapping[str, Sequence[Tag]]) -> list[Manifest]:
        """Return manifests, with the `attachment` of all that a tag may attach: one more read for old records alone."""
        attached = {digest for digest, names in tags.items() if any(is_referrer_tag(tag.id) for tag in names)}
        asked = [each for each in manifests if each.id in attached and not (each.attachment or each.subject)]
        known = {manifest.id: manifest for manifest in with_attachments(self._metadata, asked)}
        return [known.get(manifest.id, manifest) for manifest in manifests]

    def _deleted_holders(self, repository: str, live: Sequence[Manifest]) -> "_DeletedHolders":
        gone = _DeletedHolders(live)
        for dead in scan_all(self._metadata, DeletedManifest, repository):
            gone.add(dead)
        return gone

    def blob_sizes(self, repository: str) -> Mapping[str, int]:
        """The bytes of each blob that a repository links, by digest."""
        return {link.id: link.size for link in scan_all(self._metadata, Link, repository)}

    def shared_blobs(self, blobs: Iterable[str]) -> set[str]:
        """Those of `blobs` that more than one repository links: a question for each, many at a time.

        For many blobs of all repositories, jobs.shared is quicker.
        """
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(MAX_CONCURRENCY) as pool:
            asked = list(dict.fromkeys(blobs))
            return {blob for blob, shared in zip(asked, pool.map(self._is_shared, asked), strict=True) if shared}

    def _is_shared(self, blob: str) -> bool:
        return len(self._metadata.find(Link, {"id": blob}, repository=None, limit=2)) > 1


class _DeletedHolders:
    """What held manifests and was deleted. Of several holders of one manifest the last one to go counts.

    A deleted holder tells only of what was there when it went: what was pushed or restored since belongs to whoever did
    so. Nor does it tell of what another one holds that lives, nor an index of a child that belonged to none.
    """

    def __init__(self, live: Sequence[Manifest]) -> None:
        self._live = {manifest.digest: manifest for manifest in live}
        self._held = {child for manifest in live for child in manifest.children}
        self._parents: dict[str, DeletedManifest] = {}
        self._belonging: set[str] = set()
        self._subjects: dict[str, DeletedManifest] = {}
        self._tags: dict[str, DeletedManifest] = {}

    def add(self, deleted: DeletedManifest) -> None:
        if deleted.digest in self._live:
            # It is just being restored.
            return
        for digest in deleted.children:
            self._add(self._parents, digest, deleted)
            child = self._live.get(digest)
            if child is not None and _deleted_with_index(child, deleted):
                self._belonging.add(digest)
        self._add(self._subjects, deleted.digest, deleted)
        for tag in referrer_tags_of(deleted.digest):
            self._add(self._tags, tag, deleted)

    def policy(self, manifest: Manifest, tags: Iterable[Tag]) -> str:
        """Return the policy by which clean-up deleted what held a manifest, or "".

        A tag counts where it attaches the manifest, and did before the holder went.
        """
        if manifest.digest in self._held:
            return ""
        since = _since(manifest)
        attaching = [tag for tag in tags if attaches(tag.id, manifest.subject, manifest.attachment)]
        holders = (
            (since, self._parents.get(manifest.digest) if manifest.digest in self._belonging else None),
            (since, self._subjects.get(manifest.subject)),
            *((max(since, tag.moved), self._tags.get(tag.id)) for tag in attaching),
        )
        return next(
            (
                dead.by.removeprefix(POLICY_ACTOR_PREFIX)
                for there, dead in holders
                if dead is not None and dead.by.startswith(POLICY_ACTOR_PREFIX) and there < dead.deleted
            ),
            "",
        )

    def _add(self, holders: dict[str, DeletedManifest], held: str, deleted: DeletedManifest) -> None:
        if held not in holders or _rank(holders[held]) < _rank(deleted):
            holders[held] = deleted


def _since(manifest: Manifest) -> datetime:
    """Return when a manifest was brought the last time."""
    return max(manifest.created, manifest.restored or manifest.created)


def _deleted_with_index(child: Manifest, deleted: DeletedManifest) -> bool:
    """Whether clean-up deleted an index to which a child belonged: it goes along, once no other holds it."""
    is_part = belongs_to_build(child.attachment, child.created, deleted.created)
    return is_part and deleted.by.startswith(POLICY_ACTOR_PREFIX) and _since(child) < deleted.deleted


def _rank(deleted: DeletedManifest) -> tuple[datetime, bool]:
    """Return what a holder counts by: of two that went at once, the one that somebody deleted counts."""
    return deleted.deleted, not deleted.by.startswith(POLICY_ACTOR_PREFIX)

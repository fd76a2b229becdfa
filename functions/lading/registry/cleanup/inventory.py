"""Inventory of a repository, for clean-up and usage reports: all of its manifests at once, without their contents."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final

from lading.concurrent_map import map_concurrently
from lading.registry.cleanup.apply import POLICY_ACTOR_PREFIX
from lading.registry.cleanup.graph import Node, belongs_to_build, is_late_tag
from lading.registry.content.referrer_tags import attaches, is_referrer_tag, referrer_tags_of
from lading.registry.lifecycle.dependents import with_attachments
from lading.registry.pagination import scan_all
from lading.registry.rules.effective import EffectiveRules
from lading.registry.rules.stored_rules import StoredRules
from lading_storage.protocols import MetadataStore
from lading_storage.query import Query
from lading_storage.records.core import Link, Manifest, Tag
from lading_storage.records.deleted import DeletedManifest
from lading_storage.records.jobs import LastPull

MAX_CONCURRENCY: Final = 16
"""Concurrent queries of the store, if each blob takes one."""


class Inventory:
    """Inventory of single repositories. It takes about 1 KiB of memory per manifest."""

    def __init__(self, metadata: MetadataStore, rules: StoredRules) -> None:
        """Read `metadata`; `rules` say which tags are immutable."""
        self._metadata = metadata
        self._rules = rules

    def nodes(self, repository: str, rules: EffectiveRules | None = None) -> list[Node]:
        """Return all manifests of a repository, with their tags and their last pulls.

        Without `rules` of the repository, they are read first.
        Manifests are read first: a later reference gives one a new version, and later manifests are not included.
        """
        rules = rules or self._rules.read(repository)
        manifests = list(scan_all(self._metadata, Manifest, repository))
        tags = defaultdict[str, list[Tag]](list)
        for tag in scan_all(self._metadata, Tag, repository):
            tags[tag.digest].append(tag)
        manifests = self._with_attachments(manifests, tags)
        deleted = scan_all(self._metadata, DeletedManifest, repository)
        pulls = scan_all(self._metadata, LastPull, repository)
        return nodes_of(manifests, tags, pulls, deleted, rules)

    def _with_attachments(self, manifests: Sequence[Manifest], tags: Mapping[str, Sequence[Tag]]) -> list[Manifest]:
        """Return manifests with the `attachment` of all that a tag may attach; only old records take another read."""
        candidates = {digest for digest, each in tags.items() if any(is_referrer_tag(tag.id) for tag in each)}
        unknown = [each for each in manifests if each.id in candidates and not (each.attachment or each.subject)]
        known = {manifest.id: manifest for manifest in with_attachments(self._metadata, unknown)}
        return [known.get(manifest.id, manifest) for manifest in manifests]

    def blob_sizes(self, repository: str) -> Mapping[str, int]:
        """Return the size in bytes of each blob that a repository links, by digest."""
        return {link.id: link.size for link in scan_all(self._metadata, Link, repository)}

    def shared_blobs(self, blobs: Iterable[str]) -> set[str]:
        """Return those of `blobs` that more than one repository links, with one query for each, concurrently.

        For many blobs of all repositories, jobs.shared_blobs is faster.
        """
        distinct = list(dict.fromkeys(blobs))
        are_shared = map_concurrently(self._is_shared, distinct, MAX_CONCURRENCY)
        return {blob for blob, shared in zip(distinct, are_shared, strict=True) if shared}

    def _is_shared(self, blob: str) -> bool:
        return len(self._metadata.find(Query(Link, {"id": blob}, repository=None, limit=2))) > 1


def nodes_of(
    manifests: Sequence[Manifest],
    tags: Mapping[str, Sequence[Tag]],
    pulls: Iterable[LastPull],
    deleted: Iterable[DeletedManifest],
    rules: EffectiveRules,
) -> list[Node]:
    """Return the manifests of a repository as the graph has them.

    Args:
        manifests: all of them; those that a tag may attach have their `attachment`.
        tags: by the digest that they name.
        pulls: all last pulls.
        deleted: all deleted manifests, which are read before the pulls.
        rules: of the repository.
    """
    parents = _DeletedParents(manifests)
    for tombstone in deleted:
        parents.add(tombstone)
    pulled = {pull.id: pull.pulled for pull in pulls}
    nodes = (_node(each, tags.get(each.digest, ()), pulled.get(each.digest), parents) for each in manifests)
    return [_with_immutable_tags(node, rules) for node in nodes]


def _node(manifest: Manifest, tags: Sequence[Tag], pulled: datetime | None, deleted: "_DeletedParents") -> Node:
    return Node(
        digest=manifest.digest,
        size=manifest.size,
        created=manifest.created,
        tags=tuple(tag.id for tag in tags),
        late_tags=tuple(
            tag.id for tag in tags if is_late_tag(tag.id, tag.moved, manifest.attachment, manifest.created)
        ),
        pulled=pulled,
        subject=manifest.subject,
        attachment=manifest.attachment,
        children=manifest.children,
        blobs=manifest.blobs,
        version=manifest.version,
        orphaned_by=deleted.policy(manifest, tags),
    )


def _with_immutable_tags(node: Node, rules: EffectiveRules) -> Node:
    immutable = tuple(tag for tag in node.tags if rules.immutable_rule(tag))
    return replace(node, immutable_tags=immutable) if immutable else node


class _DeletedParents:
    """Tombstones of the parents of live manifests (see graph). Of several parents, the one deleted last counts.

    A deleted parent counts only for manifests that existed at its deletion, not for those pushed or restored since. It
    does not count for a manifest that another live index references, and an index counts only for a child of its build.
    """

    def __init__(self, live: Sequence[Manifest]) -> None:
        self._live = {manifest.digest: manifest for manifest in live}
        self._live_children = {child for manifest in live for child in manifest.children}
        self._indexes: dict[str, DeletedManifest] = {}
        self._orphaned_children: set[str] = set()
        self._subjects: dict[str, DeletedManifest] = {}
        self._subjects_by_tag: dict[str, DeletedManifest] = {}

    def add(self, parent: DeletedManifest) -> None:
        if parent.digest in self._live:
            # It is being restored.
            return
        for digest in parent.children:
            self._add(self._indexes, digest, parent)
            child = self._live.get(digest)
            if child is not None and _cascades_to(parent, child):
                self._orphaned_children.add(digest)
        self._add(self._subjects, parent.digest, parent)
        for tag in referrer_tags_of(parent.digest):
            self._add(self._subjects_by_tag, tag, parent)

    def policy(self, manifest: Manifest, tags: Iterable[Tag]) -> str:
        """Return the policy by which clean-up deleted a manifest's parent, or "".

        A referrer tag counts if it attaches the manifest, and pointed to it before the parent was deleted.
        """
        if manifest.digest in self._live_children:
            return ""
        since = _since(manifest)
        attaching = [tag for tag in tags if attaches(tag.id, manifest.subject, manifest.attachment)]
        parents = (
            (since, self._indexes.get(manifest.digest) if manifest.digest in self._orphaned_children else None),
            (since, self._subjects.get(manifest.subject)),
            *((max(since, tag.moved), self._subjects_by_tag.get(tag.id)) for tag in attaching),
        )
        return next(
            (
                parent.by.removeprefix(POLICY_ACTOR_PREFIX)
                for related, parent in parents
                if parent is not None and parent.by.startswith(POLICY_ACTOR_PREFIX) and related < parent.deleted
            ),
            "",
        )

    def _add(self, parents: dict[str, DeletedManifest], key: str, parent: DeletedManifest) -> None:
        if key not in parents or _rank(parents[key]) < _rank(parent):
            parents[key] = parent


def _since(manifest: Manifest) -> datetime:
    """Return when a manifest was last pushed or restored."""
    return max(manifest.created, manifest.restored or manifest.created)


def _cascades_to(index: DeletedManifest, child: Manifest) -> bool:
    """Return whether clean-up deleted an index to whose build a child belongs."""
    is_part = belongs_to_build(child.attachment, child.created, index.created)
    return is_part and index.by.startswith(POLICY_ACTOR_PREFIX) and _since(child) < index.deleted


def _rank(parent: DeletedManifest) -> tuple[datetime, bool]:
    """Return the precedence of a parent: the later deletion; of simultaneous ones, that by a principal."""
    return parent.deleted, not parent.by.startswith(POLICY_ACTOR_PREFIX)

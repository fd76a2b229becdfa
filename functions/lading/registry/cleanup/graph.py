"""Graph of the manifests of one repository: which manifest retains which, and cascades its deletion to which.

    an index  retains  its children; its deletion cascades to those of its own build  (`belongs_to_build`)
    a subject retains  its referrers, by their `subject` or by any referrer tag; its deletion cascades to those that
                       their `subject` or a tag attaches  (content.referrer_tags)

A manifest is kept as long as one that retains it, its parent. A manifest is independent if no deletion cascades to it,
or if it has a tag that does not attach it. Every other manifest is deleted with the parent that cascades to it.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from lading.registry.content.referrer_tags import (
    OWN_TAG,
    OWN_TAG_AND_DIGEST,
    attaches,
    is_referrer_tag,
    referrer_tags_of,
)

MAX_BUILD_TIME: Final = timedelta(days=1)
"""Maximum time between the push of a manifest, and the push of an index or a tag of the same build: clients push
children first, and a build takes less than a day. Any client that may push can reference an older manifest, too."""


def belongs_to_build(attachment: str, created: datetime, index_created: datetime) -> bool:
    """Return whether a child is part of the same build as an index that references it, and of nothing else.

    Args:
        attachment: Manifest.attachment of the child; if it is unknown, only the times count.
        created: when the child was first pushed.
        index_created: when the index was first pushed.
    """
    return attachment not in (OWN_TAG, OWN_TAG_AND_DIGEST) and index_created - created <= MAX_BUILD_TIME


def is_late_tag(tag: str, moved: datetime, attachment: str, created: datetime) -> bool:
    """Return whether a manifest got a tag too late for it to be a tag of the same build.

    Args:
        tag: any tag of the manifest.
        moved: when the tag last moved to the manifest.
        attachment: Manifest.attachment, which can be the tag under which the manifest was created.
        created: when the manifest was first pushed.
    """
    return tag != attachment and moved - created > MAX_BUILD_TIME


@dataclass(frozen=True, slots=True)
class Node:
    """Manifest, as the graph and clean-up see it.

    size            bytes of the manifest alone
    created         when it was first pushed
    tags            all tags that point to it
    immutable_tags  the immutable ones of these
    late_tags       the late ones of these (`is_late_tag`)
    pulled          when it was last pulled, or None
    attachment      see Manifest.attachment
    version         of its record, which changes with each new reference to the manifest
    orphaned_by     the policy that deleted its parent before it, or ""
    """

    digest: str
    size: int
    created: datetime
    tags: tuple[str, ...] = ()
    immutable_tags: tuple[str, ...] = ()
    late_tags: tuple[str, ...] = ()
    pulled: datetime | None = None
    subject: str = ""
    attachment: str = ""
    children: tuple[str, ...] = ()
    blobs: tuple[str, ...] = ()
    version: str = ""
    orphaned_by: str = ""

    @property
    def referrer_tags(self) -> tuple[str, ...]:
        """Those of its tags that are derived from a digest, whether or not they attach it to that manifest."""
        return tuple(tag for tag in self.tags if is_referrer_tag(tag))

    @property
    def attaching_tags(self) -> tuple[str, ...]:
        """Those of its tags that attach it to another manifest."""
        return tuple(tag for tag in self.tags if attaches(tag, self.subject, self.attachment))

    @property
    def independent_tags(self) -> tuple[str, ...]:
        """Those of its tags that keep it if its subject is deleted: all except the subject's referrer tags."""
        dependent = {*self.attaching_tags, *(referrer_tags_of(self.subject) if self.subject else ())}
        return tuple(tag for tag in self.tags if tag not in dependent)

    @property
    def own_tags(self) -> tuple[str, ...]:
        """Those of its tags that are not derived from a digest, to which policies apply."""
        return tuple(tag for tag in self.tags if not is_referrer_tag(tag))

    @property
    def is_referrer(self) -> bool:
        """Whether it refers to another manifest, existing or not."""
        return bool(self.subject) or bool(self.attaching_tags)


class Graph:
    """All manifests of a repository. Results do not depend on the order in which they are passed."""

    def __init__(self, nodes: Iterable[Node]) -> None:
        """Add the edges between `nodes`; references to other manifests are ignored."""
        self.nodes: Mapping[str, Node] = {node.digest: node for node in sorted(nodes, key=lambda node: node.digest)}
        self._subjects = {tag: digest for digest in self.nodes for tag in referrer_tags_of(digest)}
        self._tagged = {tag: node.digest for node in self.nodes.values() for tag in node.referrer_tags}
        self._indexes: dict[str, list[str]] = defaultdict(list)
        self._retain_edges: dict[str, list[str]] = defaultdict(list)
        self._cascade_edges: dict[str, list[str]] = defaultdict(list)
        self._cascade_targets: set[str] = set()
        for node in self.nodes.values():
            self._add_edges(node)
        self.independent = self._find_independent()

    def indexes(self, digest: str) -> list[str]:
        """Return the digests of the indexes that reference a manifest."""
        return self._indexes.get(digest, [])

    def referrer_tags(self, digest: str) -> list[tuple[str, str]]:
        """Return the existing referrer tags of a digest, each with the digest of the manifest that it points to."""
        return [(tag, self._tagged[tag]) for tag in referrer_tags_of(digest) if tag in self._tagged]

    def subject_of(self, tag: str) -> str:
        """Return the digest of the manifest that a referrer tag is derived from, or "" if that does not exist."""
        return self._subjects.get(tag, "")

    def is_version(self, digest: str) -> bool:
        """Return whether a manifest is an image of its own: it is independent, and no referrer."""
        return digest in self.independent and not self.nodes[digest].is_referrer

    def reachable(self, roots: Iterable[str]) -> dict[str, tuple[str, str]]:
        """Return `roots` and all that they retain, directly or indirectly.

        Returns:
            By digest, its parent and its root, on the shortest path from the first root; a root's own parent is "".
        """
        return _traverse(roots, self._retain_edges)

    def cascade(self, roots: Iterable[str]) -> dict[str, tuple[str, str]]:
        """Return `roots` and all to which their deletion cascades, in the form of `reachable`."""
        return _traverse(roots, self._cascade_edges)

    def deletion_groups(self, digests: Iterable[str]) -> list[list[str]]:
        """Return `digests` in connected groups, in each of which parents come before what they retain.

        A cycle of tags, which has no such order, is sorted by digest.
        """
        selected = set(digests)
        parent_counts = dict.fromkeys(sorted(selected), 0)
        for digest in selected:
            for target in self._retain_edges.get(digest, ()):
                if target in selected:
                    parent_counts[target] += 1
        roots = [digest for digest, count in parent_counts.items() if not count]
        groups = [self._deletion_group(root, parent_counts) for root in roots]
        grouped = {digest for group in groups for digest in group}
        return [group for group in (*groups, [digest for digest in parent_counts if digest not in grouped]) if group]

    def _deletion_group(self, root: str, parent_counts: dict[str, int]) -> list[str]:
        """Return a manifest and all that it retains, without what has another parent that is not yet in a group."""
        group = [root]
        for digest in group:
            for target in self._retain_edges.get(digest, ()):
                if target in parent_counts:
                    parent_counts[target] -= 1
                    if not parent_counts[target]:
                        group.append(target)
        return group

    def with_parent_indexes(self, digests: Iterable[str]) -> dict[str, str]:
        """Return `digests` and all indexes that reference them, directly or indirectly.

        Returns:
            By digest, the one of `digests` that it references, the first of several.
        """
        origins: dict[str, str] = {}
        for origin in digests:
            queue = [origin] if origin not in origins else []
            origins.setdefault(origin, origin)
            for digest in queue:
                parents = [index for index in self.indexes(digest) if index not in origins]
                origins |= dict.fromkeys(parents, origin)
                queue += parents
        return origins

    def _add_edges(self, node: Node) -> None:
        for digest in dict.fromkeys(node.children):
            if digest in self.nodes and digest != node.digest:
                self._indexes[digest].append(node.digest)
                child = self.nodes[digest]
                self._add_edge(node, child, cascades=belongs_to_build(child.attachment, child.created, node.created))
        attached_to = {node.subject, *map(self.subject_of, node.attaching_tags)}
        subjects = (node.subject, *map(self.subject_of, sorted(node.referrer_tags)))
        for subject in dict.fromkeys(subjects):
            if subject in self.nodes and subject != node.digest:
                # A push can end the attachment of a referrer (attachment_after), which then must not be deleted.
                self._add_edge(self.nodes[subject], node, cascades=subject in attached_to)

    def _add_edge(self, parent: Node, target: Node, *, cascades: bool) -> None:
        self._retain_edges[parent.digest].append(target.digest)
        if cascades and not target.independent_tags:
            self._cascade_edges[parent.digest].append(target.digest)
            self._cascade_targets.add(target.digest)

    def _find_independent(self) -> frozenset[str]:
        roots = self.nodes.keys() - self._cascade_targets
        # Tags can attach manifests to one another in a cycle, which no root leads to.
        return frozenset(roots | (self.nodes.keys() - self.cascade(roots).keys()))


def _traverse(roots: Iterable[str], edges: Mapping[str, Sequence[str]]) -> dict[str, tuple[str, str]]:
    paths = {root: ("", root) for root in roots}
    queue = list(paths)
    for digest in queue:
        for target in edges.get(digest, ()):
            if target not in paths:
                paths[target] = (digest, paths[digest][1])
                queue.append(target)
    return paths

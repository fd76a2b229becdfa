"""The graph of the manifests of one repository: what holds what.

    an index  holds  its children, and takes those along that belong to it  (`belongs`)
    a subject holds  its referrers, by their `subject` or by any tag that is made of its digest, and takes those along
                     that a tag attaches, or their `subject`  (registry.referring)

What is held stays while its holder does. What stands is taken along by nothing, or has another tag than those that
attach it. All else goes with what takes it along.
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
"""How long before its index, or before a tag is given to it, a manifest of the same build is created at most: clients
push children first, and a build takes less than a day. Anyone who may push can name an older manifest, too."""


def belongs_to_build(attachment: str, created: datetime, index_created: datetime) -> bool:
    """Return whether a child is a part of the same build as an index that names it, and of nothing else.

    Args:
        attachment: that of the child (Manifest.attachment); where it is unknown, only the times count.
        created: when the child was pushed first.
        index_created: when the index was.
    """
    return attachment not in (OWN_TAG, OWN_TAG_AND_DIGEST) and index_created - created <= MAX_BUILD_TIME


def is_late_tag(tag: str, moved: datetime, attachment: str, created: datetime) -> bool:
    """Return whether a tag was given to a manifest too late to be one that it was pushed for.

    Args:
        tag: any tag of the manifest.
        moved: when the tag came to name it: the last time, where it had gone on in between.
        attachment: that of the manifest (Manifest.attachment), which can tell the tag that created it.
        created: when the manifest was pushed first.
    """
    return tag != attachment and moved - created > MAX_BUILD_TIME


@dataclass(frozen=True, slots=True)
class Node:
    """What the graph and clean-up must know of a manifest.

    size       bytes of the manifest alone
    created    when it was pushed first
    tags       all that name it
    immutable  those of them that are immutable
    late       those of them that it was not pushed for (`is_late`)
    pulled     when it was last pulled, or None
    attachment what lets a tag attach it to another one (Manifest.attachment)
    version    of its record: a new one for whoever names it since
    orphan     the policy by which what held it was deleted before it, or ""
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
        """The tags that are made of another manifest's digest, whether or not they attach it to that one."""
        return tuple(tag for tag in self.tags if is_referrer_tag(tag))

    @property
    def attaching_tags(self) -> tuple[str, ...]:
        """Those of them that attach it."""
        return tuple(tag for tag in self.tags if attaches(tag, self.subject, self.attachment))

    @property
    def independent_tags(self) -> tuple[str, ...]:
        """The tags that keep it where what it refers to goes: all but those that are made of that one's digest."""
        own = {*self.attaching_tags, *(referrer_tags_of(self.subject) if self.subject else ())}
        return tuple(tag for tag in self.tags if tag not in own)

    @property
    def own_tags(self) -> tuple[str, ...]:
        """The tags of its own, by which policies go: those that are not made of a digest."""
        return tuple(tag for tag in self.tags if not is_referrer_tag(tag))

    @property
    def is_referrer(self) -> bool:
        """Whether it refers to a manifest, be that there or not."""
        return bool(self.subject) or bool(self.attaching_tags)


class Graph:
    """All manifests of a repository. What it answers does not depend on the order in which they are given."""

    def __init__(self, nodes: Iterable[Node]) -> None:
        """Lay the edges between `nodes`; what they name and is not among them is left out."""
        self.nodes: Mapping[str, Node] = {node.digest: node for node in sorted(nodes, key=lambda node: node.digest)}
        self._subjects = {tag: digest for digest in self.nodes for tag in referrer_tags_of(digest)}
        self._named = {tag: node.digest for node in self.nodes.values() for tag in node.referrer_tags}
        self._indexes: dict[str, list[str]] = defaultdict(list)
        self._holds: dict[str, list[str]] = defaultdict(list)
        self._takes: dict[str, list[str]] = defaultdict(list)
        self._taken: set[str] = set()
        for node in self.nodes.values():
            self._add_edges(node)
        self.independent = self._find_independent()

    def indexes(self, digest: str) -> list[str]:
        """The indexes that name a manifest."""
        return self._indexes.get(digest, [])

    def referrer_tags(self, digest: str) -> list[tuple[str, str]]:
        """The tags that are made of a digest, each with the digest of the manifest that it names."""
        return [(tag, self._named[tag]) for tag in referrer_tags_of(digest) if tag in self._named]

    def subject_of(self, tag: str) -> str:
        """The digest of the manifest that a tag is made of, or "" where that is not there."""
        return self._subjects.get(tag, "")

    def is_version(self, digest: str) -> bool:
        """Whether a manifest is an image of its own: it stands, and refers to nothing."""
        return digest in self.independent and not self.nodes[digest].is_referrer

    def reachable(self, roots: Iterable[str]) -> dict[str, tuple[str, str]]:
        """All that `roots` hold, and what those hold, and so on: by digest, its holder and the root that leads to it.

        The roots are among them. A root's own holder is "". Of several ways the shortest is told, from the root that
        comes first.
        """
        return _traverse(roots, self._holds)

    def cascade(self, roots: Iterable[str]) -> dict[str, tuple[str, str]]:
        """All that goes along with `roots`, told as `below` does: without what they hold that stands all the same."""
        return _traverse(roots, self._takes)

    def deletion_groups(self, digests: Iterable[str]) -> list[list[str]]:
        """`digests` in groups that hang together, in which nothing stands before what holds it.

        In a ring of tags, where that cannot be, they stand in the order of digests.
        """
        chosen = set(digests)
        waiting = dict.fromkeys(sorted(chosen), 0)
        for digest in chosen:
            for held in self._holds.get(digest, ()):
                if held in chosen:
                    waiting[held] += 1
        groups = [
            self._deletion_group(first, waiting) for first in [each for each, holders in waiting.items() if not holders]
        ]
        placed = {digest for group in groups for digest in group}
        return [group for group in (*groups, [digest for digest in waiting if digest not in placed]) if group]

    def _deletion_group(self, first: str, waiting: dict[str, int]) -> list[str]:
        """A manifest, and what it holds, as far as that waits for no other holder."""
        group = [first]
        for digest in group:
            for held in self._holds.get(digest, ()):
                if held in waiting:
                    waiting[held] -= 1
                    if not waiting[held]:
                        group.append(held)
        return group

    def with_parent_indexes(self, digests: Iterable[str]) -> dict[str, str]:
        """All indexes that name one of `digests`, and those that name these, and so on: each with that one.

        Of several, with the one that comes first. `digests` are among them.
        """
        found: dict[str, str] = {}
        for first in digests:
            queue = [first] if first not in found else []
            found.setdefault(first, first)
            for digest in queue:
                above = [index for index in self.indexes(digest) if index not in found]
                found |= dict.fromkeys(above, first)
                queue += above
        return found

    def _add_edges(self, node: Node) -> None:
        for child in dict.fromkeys(node.children):
            if child in self.nodes and child != node.digest:
                self._indexes[child].append(node.digest)
                held = self.nodes[child]
                self._add_edge(node, held, cascades=belongs_to_build(held.attachment, held.created, node.created))
        own = {node.subject, *map(self.subject_of, node.attaching_tags)}
        subjects = (node.subject, *map(self.subject_of, sorted(node.referrer_tags)))
        for subject in dict.fromkeys(subjects):
            if subject in self.nodes and subject != node.digest:
                # A push can end what attaches a referrer (attachment_after), and must not cost what stays its referrer.
                self._add_edge(self.nodes[subject], node, cascades=subject in own)

    def _add_edge(self, holder: Node, held: Node, *, cascades: bool) -> None:
        self._holds[holder.digest].append(held.digest)
        if cascades and not held.independent_tags:
            self._takes[holder.digest].append(held.digest)
            self._taken.add(held.digest)

    def _find_independent(self) -> frozenset[str]:
        standing = self.nodes.keys() - self._taken
        # Tags can attach manifests to one another in a ring, to which nothing leads from outside.
        return frozenset(standing | (self.nodes.keys() - self.cascade(standing).keys()))


def _traverse(roots: Iterable[str], edges: Mapping[str, Sequence[str]]) -> dict[str, tuple[str, str]]:
    found = {root: ("", root) for root in roots}
    queue = list(found)
    for digest in queue:
        for held in edges.get(digest, ()):
            if held not in found:
                found[held] = (digest, found[digest][1])
                queue.append(held)
    return found

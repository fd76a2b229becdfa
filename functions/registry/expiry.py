"""Deleting what clean-up decided on, where nothing has come in between.

Whoever names a manifest, by a tag or an index, gives its record a new version. So a manifest that still has the version
of the look, and whose tags still name it, is what was judged; it is deleted at that version, and what comes in between
makes the commit fail. A look takes a while: an index or a subject that was pushed meanwhile may have escaped it,
so these are looked for again. What has changed is left alone until the next look.
"""

from collections.abc import Sequence, Set
from dataclasses import dataclass, replace
from typing import Any, Final

from functions.registry import causes
from functions.registry.acts import Act
from functions.registry.attempts import settle
from functions.registry.batches import in_batches
from functions.registry.deletion import TAG_SIZE, Caused, Deletion
from functions.registry.graph import Node
from storage.errors import TooLarge
from storage.protocols import Found, MetadataStore
from storage.records import Key, Manifest, Tag
from storage.upkeep import Pull

BY: Final = "policy "
"""With what a policy's name is put down as the one who deleted something."""


@dataclass(frozen=True, slots=True)
class Doomed:
    """A manifest that is to go.

    policy    by which
    cause     the digest with which it is restored: of what it goes with
    dangling  tags that name another manifest and go all the same, as they are made of this one's digest; with digests
    """

    node: Node
    policy: str
    cause: str
    dangling: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class DoomedTag:
    """A tag that is to go alone, by which policy, while the manifest that it names stays."""

    node: Node
    tag: str
    policy: str


class Expiry:
    """Deletes for clean-up."""

    def __init__(self, metadata: MetadataStore, deletion: Deletion) -> None:
        """Delete in `metadata`, through `deletion`, so that all can be restored."""
        self._metadata = metadata
        self._deletion = deletion

    def delete(self, repository: str, doomed: Sequence[Doomed]) -> set[str]:
        """Delete manifests and their tags in one commit, or one manifest alone in as many as it needs, tags first.

        Where some are no longer what was judged (changed, pulled or gone since), nothing is done, and their digests are
        the answer. Raises TooLarge where several are too large for one commit.
        """
        act = Act("clean-up", f"{BY}{', '.join(sorted({each.policy for each in doomed}))}")
        return settle(lambda: self._try_to_delete(repository, doomed, act))

    def delete_tags(self, repository: str, doomed: Sequence[DoomedTag]) -> list[DoomedTag]:
        """Delete tags, but for those of manifests that are no longer what was judged; returns those that it deleted."""
        deleted: list[DoomedTag] = []
        for policy in sorted({each.policy for each in doomed}):
            some = [each for each in doomed if each.policy == policy]
            act = Act("clean-up", f"{BY}{policy}")
            in_batches(
                some,
                lambda batch, act=act: deleted.extend(settle(lambda: self._try_to_delete_tags(repository, batch, act))),  # type: ignore[misc]
                size=lambda each: TAG_SIZE,
            )
        return deleted

    def _try_to_delete_tags(self, repository: str, doomed: Sequence[DoomedTag], act: Act) -> list[DoomedTag]:
        # Its other tags may go meanwhile; a new one gives the manifest a new version.
        nodes = [replace(each.node, tags=(each.tag,), subject="") for each in doomed]
        keys = dict.fromkeys(key for node in nodes for key in _keys(repository, Doomed(node, act.by, "")))
        found = self._metadata.read([*keys], content=False)
        going = [each for each, node in zip(doomed, nodes, strict=True) if not _has_changed(found, repository, node)]
        tags = [tag for each in going if (tag := found[Key(Tag, each.tag, repository)]) is not None]
        if tags:
            self._deletion.together(repository, [(causes.of_tag(tag.id), tag) for tag in tags], act)
        return going

    def _try_to_delete(self, repository: str, doomed: Sequence[Doomed], act: Act) -> set[str]:
        found = self._metadata.read([key for each in doomed for key in _keys(repository, each)], content=False)
        going = {each.node.digest for each in doomed}
        changed = {
            each.node.digest
            for each in doomed
            if _has_changed(found, repository, each.node) or self._is_held(found, repository, each.node, going)
        }
        if not changed:
            caused = [pair for each in doomed for pair in _caused(found, repository, each)]
            self._delete(repository, caused, act, alone=len(doomed) == 1)
        return changed

    def _delete(self, repository: str, caused: Sequence[Caused], act: Act, *, alone: bool) -> None:
        try:
            self._deletion.together(repository, caused, act)
        except TooLarge:
            if not alone:
                raise
            in_batches(caused[:-1], lambda tags: self._deletion.together(repository, tags, act))
            self._deletion.apart(repository, caused[-1:], act)

    def _is_held(self, found: Found, repository: str, node: Node, going: Set[str]) -> bool:
        """Whether something that lives, and is not going, holds a manifest."""
        if node.subject and node.subject not in going and found[Key(Manifest, node.subject, repository)] is not None:
            return True
        where, limit = {"children": node.digest}, len(going) + 1
        indexes = self._metadata.find(Manifest, where, repository=repository, limit=limit)
        return any(index.id not in going for index in indexes)


def _caused(found: Found, repository: str, doomed: Doomed) -> list[Caused]:
    """What goes with one manifest. Of dangling tags, those that still name what they did; nothing else is missing."""
    tags = dict.fromkeys(doomed.node.tags, doomed.node.digest) | dict(doomed.dangling)
    there = [tag for name in tags if (tag := found[Key(Tag, name, repository)]) is not None]
    things: list[Tag | Manifest] = [tag for tag in there if tag.digest == tags[tag.id]]
    if (manifest := found[Key(Manifest, doomed.node.digest, repository)]) is not None:
        things.append(manifest)
    return [(causes.of_manifest(doomed.cause), thing) for thing in things]


def _keys(repository: str, doomed: Doomed) -> list[Key[Any]]:
    node = doomed.node
    tags = [Key(Tag, tag, repository) for tag in dict.fromkeys((*node.tags, *(tag for tag, _ in doomed.dangling)))]
    digests = [node.digest, *([node.subject] if node.subject else [])]
    return [*(Key(Manifest, digest, repository) for digest in digests), Key(Pull, node.digest, repository), *tags]


def _has_changed(found: Found, repository: str, node: Node) -> bool:
    manifest = found[Key(Manifest, node.digest, repository)]
    pull = found[Key(Pull, node.digest, repository)]
    tags = [found[Key(Tag, tag, repository)] for tag in node.tags]
    return (
        manifest is None
        or manifest.version != node.version
        or (pull.pulled if pull else None) != node.pulled
        or any(tag is None or tag.digest != node.digest for tag in tags)
    )

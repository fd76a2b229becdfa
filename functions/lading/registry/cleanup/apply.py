"""Deleting what clean-up decided on, where nothing has come in between.

Whoever names a manifest, by a tag or an index, gives its record a new version. So a manifest that still has the version
of the look, and whose tags still name it, is what was judged; it is deleted at that version, and what comes in between
makes the commit fail. A look takes a while: an index or a subject that was pushed meanwhile may have escaped it,
so these are looked for again. What has changed is left alone until the next look.
"""

from collections.abc import Sequence, Set
from dataclasses import dataclass, replace
from typing import Any, Final

from lading.registry.batches import in_batches
from lading.registry.change_context import ChangeContext
from lading.registry.cleanup.graph import Node
from lading.registry.lifecycle import deletion_causes
from lading.registry.lifecycle.delete import TAG_SIZE, Deletion, DeletionItem
from lading.registry.retry import retry_on_conflict
from lading_storage.errors import TooLarge
from lading_storage.protocols import Found, MetadataStore
from lading_storage.records.core import Key, Manifest, Tag
from lading_storage.records.jobs import LastPull

POLICY_ACTOR_PREFIX: Final = "policy "
"""With what a policy's name is put down as the one who deleted something."""


@dataclass(frozen=True, slots=True)
class CleanupTarget:
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
class CleanupTag:
    """A tag that is to go alone, by which policy, while the manifest that it names stays."""

    node: Node
    tag: str
    policy: str


class CleanupDeletion:
    """Deletes for clean-up."""

    def __init__(self, metadata: MetadataStore, deletion: Deletion) -> None:
        """Delete in `metadata`, through `deletion`, so that all can be restored."""
        self._metadata = metadata
        self._deletion = deletion

    def delete(self, repository: str, targets: Sequence[CleanupTarget]) -> set[str]:
        """Delete manifests and their tags in one commit, or one manifest alone in as many as it needs, tags first.

        Where some are no longer what was judged (changed, pulled or gone since), nothing is done, and their digests are
        the answer. Raises TooLarge where several are too large for one commit.
        """
        act = ChangeContext("clean-up", f"{POLICY_ACTOR_PREFIX}{', '.join(sorted({each.policy for each in targets}))}")
        return retry_on_conflict(lambda: self._try_to_delete(repository, targets, act))

    def delete_tags(self, repository: str, targets: Sequence[CleanupTag]) -> list[CleanupTag]:
        """Delete tags, but for those of manifests that are no longer what was judged; returns those that it deleted."""
        deleted: list[CleanupTag] = []
        for policy in sorted({each.policy for each in targets}):
            some = [each for each in targets if each.policy == policy]
            act = ChangeContext("clean-up", f"{POLICY_ACTOR_PREFIX}{policy}")
            in_batches(
                some,
                lambda batch, act=act: deleted.extend(
                    retry_on_conflict(lambda: self._try_to_delete_tags(repository, batch, act))
                ),  # type: ignore[misc]
                size=lambda each: TAG_SIZE,
            )
        return deleted

    def _try_to_delete_tags(
        self, repository: str, targets: Sequence[CleanupTag], context: ChangeContext
    ) -> list[CleanupTag]:
        # Its other tags may go meanwhile; a new one gives the manifest a new version.
        nodes = [replace(each.node, tags=(each.tag,), subject="") for each in targets]
        keys = dict.fromkeys(key for node in nodes for key in _keys(repository, CleanupTarget(node, context.actor, "")))
        found = self._metadata.read([*keys], content=False)
        going = [each for each, node in zip(targets, nodes, strict=True) if not _has_changed(found, repository, node)]
        tags = [tag for each in going if (tag := found[Key(Tag, each.tag, repository)]) is not None]
        if tags:
            self._deletion.delete_atomically(
                repository, [(deletion_causes.of_tag(tag.id), tag) for tag in tags], context
            )
        return going

    def _try_to_delete(self, repository: str, targets: Sequence[CleanupTarget], context: ChangeContext) -> set[str]:
        found = self._metadata.read([key for each in targets for key in _keys(repository, each)], content=False)
        going = {each.node.digest for each in targets}
        changed = {
            each.node.digest
            for each in targets
            if _has_changed(found, repository, each.node) or self._is_held(found, repository, each.node, going)
        }
        if not changed:
            caused = [pair for each in targets for pair in _deletion_items(found, repository, each)]
            self._delete(repository, caused, context, alone=len(targets) == 1)
        return changed

    def _delete(self, repository: str, items: Sequence[DeletionItem], context: ChangeContext, *, alone: bool) -> None:
        try:
            self._deletion.delete_atomically(repository, items, context)
        except TooLarge:
            if not alone:
                raise
            in_batches(items[:-1], lambda tags: self._deletion.delete_atomically(repository, tags, context))
            self._deletion.delete_or_split(repository, items[-1:], context)

    def _is_held(self, found: Found, repository: str, node: Node, going: Set[str]) -> bool:
        """Whether something that lives, and is not going, holds a manifest."""
        if node.subject and node.subject not in going and found[Key(Manifest, node.subject, repository)] is not None:
            return True
        where, limit = {"children": node.digest}, len(going) + 1
        indexes = self._metadata.find(Manifest, where, repository=repository, limit=limit)
        return any(index.id not in going for index in indexes)


def _deletion_items(found: Found, repository: str, target: CleanupTarget) -> list[DeletionItem]:
    """What goes with one manifest. Of dangling tags, those that still name what they did; nothing else is missing."""
    tags = dict.fromkeys(target.node.tags, target.node.digest) | dict(target.dangling)
    there = [tag for name in tags if (tag := found[Key(Tag, name, repository)]) is not None]
    things: list[Tag | Manifest] = [tag for tag in there if tag.digest == tags[tag.id]]
    if (manifest := found[Key(Manifest, target.node.digest, repository)]) is not None:
        things.append(manifest)
    return [(deletion_causes.of_manifest(target.cause), thing) for thing in things]


def _keys(repository: str, target: CleanupTarget) -> list[Key[Any]]:
    node = target.node
    tags = [Key(Tag, tag, repository) for tag in dict.fromkeys((*node.tags, *(tag for tag, _ in target.dangling)))]
    digests = [node.digest, *([node.subject] if node.subject else [])]
    return [*(Key(Manifest, digest, repository) for digest in digests), Key(LastPull, node.digest, repository), *tags]


def _has_changed(found: Found, repository: str, node: Node) -> bool:
    manifest = found[Key(Manifest, node.digest, repository)]
    pull = found[Key(LastPull, node.digest, repository)]
    tags = [found[Key(Tag, tag, repository)] for tag in node.tags]
    return (
        manifest is None
        or manifest.version != node.version
        or (pull.pulled if pull else None) != node.pulled
        or any(tag is None or tag.digest != node.digest for tag in tags)
    )

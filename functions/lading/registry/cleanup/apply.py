"""Apply clean-up decisions: delete what was evaluated, unless it has changed since.

A new reference to a manifest, by a tag or an index, gives its record a new version. So a manifest that still has the
version of the evaluation, and whose tags still point to it, is what was evaluated. It is deleted at that version, so a
change in between makes the commit fail. An evaluation takes a while, and may have missed an index or a subject that was
pushed meanwhile, so these are searched for again. What has changed is left to the next evaluation, and so is everything
if the rules have changed.
"""

from collections.abc import Sequence, Set
from dataclasses import dataclass, replace
from typing import Any, Final

from lading.registry import deletion_causes
from lading.registry.batches import in_batches
from lading.registry.change_context import ChangeContext
from lading.registry.cleanup.graph import Node
from lading.registry.lifecycle.delete import TAG_SIZE, Deletion, DeletionItem
from lading.registry.retry import retry_on_conflict
from lading.registry.rules.effective import EffectiveRules
from lading.registry.rules.stored_rules import StoredRules
from lading_storage.errors import TooLarge
from lading_storage.protocols import Found, MetadataStore
from lading_storage.query import Query
from lading_storage.records.core import Key, Manifest, Tag
from lading_storage.records.jobs import LastPull

POLICY_ACTOR_PREFIX: Final = "policy "
"""Prefix of a policy's name where it is recorded as the actor of a deletion."""


@dataclass(frozen=True, slots=True)
class CleanupTarget:
    """Manifest to delete.

    policy    name of the policy that deletes it
    cause     digest of the manifest with which it is deleted, and will be restored
    dangling  referrer tags of it that point to other manifests, each with that manifest's digest; deleted with it
    """

    node: Node
    policy: str
    cause: str
    dangling: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class CleanupTag:
    """Tag to delete, by which policy, while its manifest is kept."""

    node: Node
    tag: str
    policy: str


class CleanupDeletion:
    """Deletion on behalf of clean-up policies."""

    def __init__(self, metadata: MetadataStore, deletion: Deletion, rules: StoredRules) -> None:
        """Delete in `metadata`, by way of `deletion`, so that everything can be restored."""
        self._metadata = metadata
        self._deletion = deletion
        self._rules = rules

    def delete(self, targets: Sequence[CleanupTarget], rules: EffectiveRules) -> set[str]:
        """Delete manifests and their tags in one commit, or a single manifest in as many as it needs, tags first.

        Args:
            targets: the manifests, all in one repository.
            rules: the rules of that repository by which they were evaluated.

        Returns:
            The digests of those that have been changed, pulled or deleted since they were evaluated; all of them, if
            the rules have changed. If there are any, nothing is deleted.

        Raises:
            TooLarge: several manifests do not fit into one commit.
        """
        policies = ", ".join(sorted({each.policy for each in targets}))
        context = ChangeContext("clean-up", f"{POLICY_ACTOR_PREFIX}{policies}")
        return retry_on_conflict(lambda: self._try_to_delete(targets, context, rules))

    def delete_tags(self, targets: Sequence[CleanupTag], rules: EffectiveRules) -> list[CleanupTag]:
        """Delete tags, except those of manifests that have changed since they were evaluated; return the deleted.

        None is deleted if `rules`, by which they were evaluated, have changed.
        """
        deleted: list[CleanupTag] = []
        for policy in sorted({each.policy for each in targets}):
            context = ChangeContext("clean-up", f"{POLICY_ACTOR_PREFIX}{policy}")
            in_batches(
                [each for each in targets if each.policy == policy],
                lambda batch, context=context: deleted.extend(
                    retry_on_conflict(lambda: self._try_to_delete_tags(batch, context, rules))
                ),  # type: ignore[misc]
                size=lambda each: TAG_SIZE,
            )
        return deleted

    def _try_to_delete_tags(
        self, targets: Sequence[CleanupTag], context: ChangeContext, rules: EffectiveRules
    ) -> list[CleanupTag]:
        repository = rules.repository
        # Other tags of the manifest may be deleted meanwhile; a new tag would give the manifest a new version.
        nodes = [replace(each.node, tags=(each.tag,), subject="") for each in targets]
        keys = dict.fromkeys(key for node in nodes for key in _keys(repository, CleanupTarget(node, context.actor, "")))
        found = self._metadata.read([*self._rules.keys(repository), *keys], content=False)
        if self._rules.of(found, repository).guard != rules.guard:
            return []
        current = [each for each, node in zip(targets, nodes, strict=True) if not _has_changed(found, repository, node)]
        tags = [tag for each in current if (tag := found[Key(Tag, each.tag, repository)]) is not None]
        if tags:
            self._deletion.delete_atomically([(deletion_causes.of_tag(tag.id), tag) for tag in tags], context, rules)
        return current

    def _try_to_delete(
        self, targets: Sequence[CleanupTarget], context: ChangeContext, rules: EffectiveRules
    ) -> set[str]:
        repository = rules.repository
        keys = [key for each in targets for key in _keys(repository, each)]
        found = self._metadata.read([*self._rules.keys(repository), *keys], content=False)
        if self._rules.of(found, repository).guard != rules.guard:
            return {each.node.digest for each in targets}
        deleted = {each.node.digest for each in targets}
        changed = {
            each.node.digest
            for each in targets
            if _has_changed(found, repository, each.node) or self._is_retained(found, repository, each.node, deleted)
        }
        if not changed:
            items = [item for each in targets for item in _deletion_items(found, repository, each)]
            self._delete(items, context, rules, single=len(targets) == 1)
        return changed

    def _delete(
        self, items: Sequence[DeletionItem], context: ChangeContext, rules: EffectiveRules, *, single: bool
    ) -> None:
        try:
            self._deletion.delete_atomically(items, context, rules)
        except TooLarge:
            if not single:
                raise
            in_batches(items[:-1], lambda tags: self._deletion.delete_atomically(tags, context, rules))
            self._deletion.delete_or_split(items[-1:], context, rules)

    def _is_retained(self, found: Found, repository: str, node: Node, deleted: Set[str]) -> bool:
        """Return whether a live subject or index, which is not deleted as well, retains a manifest."""
        if node.subject and node.subject not in deleted and found[Key(Manifest, node.subject, repository)] is not None:
            return True
        where, limit = {"children": node.digest}, len(deleted) + 1
        indexes = self._metadata.find(Query(Manifest, where, repository=repository, limit=limit))
        return any(index.id not in deleted for index in indexes)


def _deletion_items(found: Found, repository: str, target: CleanupTarget) -> list[DeletionItem]:
    """Return the tags and the manifest of a target, without dangling tags that have changed since."""
    digests = dict.fromkeys(target.node.tags, target.node.digest) | dict(target.dangling)
    tags = [tag for name in digests if (tag := found[Key(Tag, name, repository)]) is not None]
    records: list[Tag | Manifest] = [tag for tag in tags if tag.digest == digests[tag.id]]
    if (manifest := found[Key(Manifest, target.node.digest, repository)]) is not None:
        records.append(manifest)
    return [(deletion_causes.of_manifest(target.cause), record) for record in records]


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

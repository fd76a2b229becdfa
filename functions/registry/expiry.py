"""Deleting what clean-up decided on, where nothing has come in between.

Whoever names a manifest, by a tag or an index, gives its record a new version. So a manifest that still has the version
of the look, and whose tags still name it, is what was judged; it is deleted at that version, and what comes in between
makes the commit fail. What has changed is left alone until the next look.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final

from functions.registry.acts import Act
from functions.registry.attempts import settle
from functions.registry.deletion import Deletion
from functions.registry.graph import Node
from storage.protocols import Found, MetadataStore
from storage.records import Key, Manifest, Tag
from storage.upkeep import Pull

BY: Final = "policy "
"""With what a policy's name is put down as the one who deleted something."""


class Expiry:
    """Deletes for clean-up."""

    def __init__(self, metadata: MetadataStore, deletion: Deletion) -> None:
        """Delete in `metadata`, through `deletion`, so that all can be restored."""
        self._metadata = metadata
        self._deletion = deletion

    def delete(self, repository: str, nodes: Sequence[Node], cause: str, policies: Iterable[str]) -> set[str]:
        """Delete manifests and their tags in one commit, by policies of these names; they are restored with `cause`.

        Where some are no longer what was judged (changed, pulled or gone since), nothing is done, and their digests are
        the answer.
        """
        act = Act("clean-up", f"{BY}{', '.join(sorted(set(policies)))}")
        return settle(lambda: self._try_to_delete(repository, nodes, cause, act))

    def _try_to_delete(self, repository: str, nodes: Sequence[Node], cause: str, act: Act) -> set[str]:
        found = self._metadata.read([key for node in nodes for key in _keys(repository, node)])
        changed = {node.digest for node in nodes if _has_changed(found, repository, node)}
        if not changed:
            tags = [found[Key(Tag, tag, repository)] for node in nodes for tag in node.tags]
            manifests = [found[Key(Manifest, node.digest, repository)] for node in nodes]
            # Nothing of these is None: that would be a change.
            things: list[Tag | Manifest] = [thing for thing in (*tags, *manifests) if thing is not None]
            self._deletion.together(repository, things, cause, act)
        return changed


def _keys(repository: str, node: Node) -> list[Key[Any]]:
    tags = [Key(Tag, tag, repository) for tag in node.tags]
    return [Key(Manifest, node.digest, repository), Key(Pull, node.digest, repository), *tags]


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

"""CommitGate: what policies decide about a put of a manifest, and a move of a tag, within its attempt to commit."""

from collections.abc import Sequence
from typing import Protocol

from lading.registry.change_context import ChangeContext
from lading.registry.rules.effective import EffectiveRules
from lading_storage.protocols import Found, Write
from lading_storage.records.core import Manifest


class CommitGate(Protocol):
    """What tags and manifests know of gates. Where no policy is set, neither method reads anything."""

    def check_put(self, rules: EffectiveRules, manifest: Manifest, found: Found, context: ChangeContext) -> None:
        """Raise DENIED if a policy refuses a manifest that is put.

        Args:
            rules: in effect in the repository.
            manifest: with its content.
            found: with the records of what it needs.
            context: of the put.
        """
        ...

    def check_move(
        self, rules: EffectiveRules, manifest: Manifest, tag: str, context: ChangeContext
    ) -> Sequence[Write]:
        """Return the writes by which the move of a tag fails if what was decided on has changed.

        Args:
            rules: in effect in the repository.
            manifest: to which the tag moves.
            tag: its name.
            context: of the move.

        Raises:
            RegistryError: DENIED.
            Conflict: the attempt is to be repeated.
        """
        ...

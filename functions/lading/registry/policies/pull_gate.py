"""PullGate: whether a manifest may be pulled, by the policies that name its repository."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from lading_storage.errors import Unavailable
from lading_storage.protocols import Found
from lading_storage.records.core import Key, Manifest, Tag

if TYPE_CHECKING:
    from lading.policies.policy import Policy


class PullGate:
    """The gate of pulls."""

    def companions(self, key: Key[Any]) -> Sequence[Key[Any]]:
        """Return the keys to read with a manifest or tag."""
        return ()

    def check(
        self, policies: "tuple[Policy, ...]", found: Manifest | Tag, read: Found, principal: str, *, is_head: bool
    ) -> str:
        """Return a warning, or "". Raises RegistryError, Unavailable."""
        raise Unavailable("policies are not judged by this release")

"""Gates: the policies of a registry, and what they decide about. Imported by each pull, so that it imports little."""

from functools import cached_property
from typing import TYPE_CHECKING

from lading.registry.policies.policy_cache import PolicyCache

if TYPE_CHECKING:
    from lading.registry.policies.pull_gate import PullGate


class Gates:
    """The gates of one registry. Thread-safe. What decides is imported where a policy names a repository."""

    def __init__(self) -> None:
        """Know no policies so far."""
        self.policies = PolicyCache()

    @cached_property
    def pull(self) -> "PullGate":
        """The gate of pulls."""
        from lading.registry.policies.pull_gate import PullGate

        return PullGate()

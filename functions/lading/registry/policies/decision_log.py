"""DecisionLog: who is told of decisions: metrics, and events of what was refused or would have been."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from lading.policies.evidence import AUDITED, DENIED, EXEMPTED, Decision
from lading.registry.change_context import ChangeContext
from lading_storage.records.core import Manifest

if TYPE_CHECKING:
    from lading.policies.policy import Policy
    from lading.registry.policies.policy_events import PolicyEvents
    from lading.registry.policies.verdict import Verdict

ERROR: Final = "error"
"""What metrics count where an image could not be judged, whatever came of it."""


class CountedDecision(NamedTuple):
    """A decision as metrics count it."""

    policy: str
    mode: str
    decision: str


class DecisionLog:
    """The log of one registry."""

    def __init__(self, events: "PolicyEvents", on_decision: Callable[[CountedDecision], None] | None = None) -> None:
        """Write `events`, and call `on_decision` with each decision."""
        self._on_decision = on_decision
        self._events = events

    def record(self, policies: "Sequence[Policy]", verdict: "Verdict", context: ChangeContext) -> None:
        """Record the decisions about an image that was to be pulled, or named by a tag. See `record_decisions`."""
        self.record_decisions(policies, verdict.manifest, verdict.decisions, context)

    def record_decisions(
        self, policies: "Sequence[Policy]", manifest: Manifest, decisions: Sequence[Decision], context: ChangeContext
    ) -> None:
        """Record the decisions about a manifest. Never waits.

        Args:
            policies: those that decided.
            manifest: what they decided about.
            decisions: one of each.
            context: who did what.
        """
        for policy, decision in zip(policies, decisions, strict=True):
            if self._on_decision is not None:
                self._on_decision(CountedDecision(policy.name, policy.mode, _counted(decision)))
            if decision.outcome in (DENIED, AUDITED, EXEMPTED):
                self._events.add(manifest, decision, context)


def _counted(decision: Decision) -> str:
    return ERROR if decision.is_error else decision.outcome

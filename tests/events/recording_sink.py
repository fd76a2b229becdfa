"""A sink that records what it receives, and fails by plan."""

from collections.abc import Callable, Sequence

from lading.events.sink import Outcome
from lading_storage.protocols import Write
from lading_storage.records.events import Event


class RecordingSink:
    """Accepts all, unless a plan says otherwise.

    received  every event that it accepted, in order, with duplicates
    calls     the number of calls
    plan      returns what becomes of a call; None to accept all
    writes    to return with the next calls
    """

    def __init__(self, name: str = "one") -> None:
        self.name = name
        self.received: list[Event] = []
        self.calls = 0
        self.plan: Callable[[Sequence[Event]], Outcome | None] = lambda events: None
        self.writes: Sequence[Write] = ()

    def publish(self, events: Sequence[Event]) -> Outcome:
        self.calls += 1
        outcome = self.plan(events)
        if outcome is None:
            outcome = Outcome(frozenset(each.name for each in events), writes=self.writes)
        self.received += [each for each in events if each.name in outcome.accepted]
        return outcome

    @property
    def names(self) -> list[str]:
        """The public ids of what was received."""
        return [each.name for each in self.received]


def down(events: Sequence[Event]) -> Outcome:
    """The plan of a sink that is down."""
    return Outcome(down="it is down")


def refusing(*repositories: str) -> Callable[[Sequence[Event]], Outcome]:
    """The plan of a sink that refuses some repositories."""

    def plan(events: Sequence[Event]) -> Outcome:
        return Outcome(
            frozenset(each.name for each in events if each.target not in repositories),
            {each.target: "400" for each in events if each.target in repositories},
        )

    return plan

"""Sink: a consumer to which the publisher hands events, such as a Pub/Sub topic or the webhooks."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from lading_storage.protocols import Write
from lading_storage.records.events import Event


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a sink did with some events. What it neither accepted nor refused, it gets again, in the same order.

    Attributes:
        accepted: the public ids (Event.name) of the events that it has durably received, or does not want.
        refused: why it refused an event of a repository, by repository. Only events of that repository wait for it.
        down: why it receives nothing at present, or "". It gets no events for a while; other sinks do.
        writes: to commit together with the removal of the accepted events, such as deliveries to create.
    """

    accepted: Collection[str] = frozenset()
    refused: Mapping[str, str] = field(default_factory=dict)
    down: str = ""
    writes: Sequence[Write] = ()


class Sink(Protocol):
    """Consumer of events. One thread calls it at a time.

    Attributes:
        name: recorded in `Event.sent` while other sinks have not received the event. Never changes.
    """

    @property
    def name(self) -> str:
        """See the class."""
        ...

    def publish(self, events: Sequence[Event]) -> Outcome:
        """Take events, at least once each.

        Args:
            events: those of one repository are in the order of its changes. The sink can have received some of them
                before: the publisher was killed, or lost a race against another one, before it committed. It accepts
                them again.

        Returns:
            What was done. Where an event is not accepted, no later one of its repository is. `writes` must not create
            what exists: that would be a conflict each time. An exception means that the sink is down.
        """
        ...

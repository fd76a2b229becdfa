"""EndpointQueue: deliveries that are due, by webhook, so that a slow endpoint does not hold up the others."""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from lading.events.webhook_attempts import Attempt
from lading_storage.records.events import Delivery, Webhook

MAX_PER_WEBHOOK: Final = 2
"""Attempts at a time to one endpoint."""

MAX_QUEUED: Final = 500
"""Deliveries of one webhook in a queue; further ones are for the next queue."""

MAX_UNREACHABLE: Final = 3
"""Attempts in succession without a response, after which an endpoint counts as unreachable."""


@dataclass(slots=True)
class Endpoint:
    """The deliveries of one webhook.

    Attributes:
        webhook: its record.
        waiting: the deliveries to attempt.
        running: how many attempts are being made.
        unreachable: the attempts in succession without a response.
        shared: the failure that counts for all that wait, or None.
    """

    webhook: Webhook
    waiting: deque[Delivery] = field(default_factory=deque)
    running: int = 0
    unreachable: int = 0
    shared: Attempt | None = None

    @property
    def is_ready(self) -> bool:
        """Whether a further attempt can be made now."""
        return bool(self.waiting) and self.running < MAX_PER_WEBHOOK and self.shared is None

    def end(self, attempt: Attempt | None) -> None:
        """Count the end of an attempt; None if it was another process's."""
        self.running -= 1
        if attempt is None:
            return
        self.unreachable = self.unreachable + 1 if attempt.is_unreachable else 0
        asks_to_wait = bool(attempt.error) and attempt.retry_after is not None
        if self.unreachable >= MAX_UNREACHABLE or attempt.is_gone or asks_to_wait:
            self.shared = attempt


class EndpointQueue:
    """Deliveries by webhook, of which each webhook in turn has the next one."""

    def __init__(self) -> None:
        """Begin without deliveries."""
        self._endpoints: dict[str, Endpoint] = {}
        self._turns = deque[str]()

    def begin(self) -> None:
        """Forget what waits and what failed, but not the attempts that are being made."""
        for endpoint in self._endpoints.values():
            endpoint.waiting.clear()
            endpoint.unreachable, endpoint.shared = 0, None

    def add(self, webhook: Webhook, delivery: Delivery) -> None:
        """Add a delivery, unless MAX_QUEUED of its webhook wait already."""
        if webhook.id not in self._endpoints:
            self._endpoints[webhook.id] = Endpoint(webhook)
            self._turns.append(webhook.id)
        endpoint = self._endpoints[webhook.id]
        endpoint.webhook = webhook
        if len(endpoint.waiting) < MAX_QUEUED:
            endpoint.waiting.append(delivery)

    def take(self) -> tuple[Endpoint, Delivery] | None:
        """Take the next delivery to attempt, or None while none can be."""
        for _ in range(len(self._turns)):
            endpoint = self._endpoints[self._turns[0]]
            self._turns.rotate(-1)
            if endpoint.is_ready:
                endpoint.running += 1
                return endpoint, endpoint.waiting.popleft()
        return None

    def take_shared(self) -> Iterator[tuple[Attempt, Sequence[Delivery]]]:
        """Take, of each endpoint with a shared failure, the deliveries that it counts for."""
        for endpoint in self._endpoints.values():
            if endpoint.shared is not None and endpoint.waiting:
                taken = list(endpoint.waiting)
                endpoint.waiting.clear()
                yield endpoint.shared, taken

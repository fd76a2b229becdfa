"""AttemptPool: makes attempts in threads, so that endpoints that are slow leave room for the others."""

import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ALL_COMPLETED, FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from types import TracebackType
from typing import Final, Self

from lading.events.endpoint_queue import MAX_PER_WEBHOOK, Endpoint
from lading.events.webhook_attempts import Attempt
from lading.events.webhooks import MAX_WEBHOOKS

MAX_CONCURRENT: Final = 8
"""Attempts at a time, without those that are SLOW."""

SLOW: Final = 1.0
"""Seconds after which an attempt only waits for its endpoint: it no longer counts, since it costs a thread alone."""

MAX_THREADS: Final = MAX_PER_WEBHOOK * MAX_WEBHOOKS
"""Each is begun when it is needed."""

Result = tuple[Attempt | None, str]
"""The attempt, or None where another process has the delivery; and what became of the delivery."""

Ended = Iterable[tuple[Endpoint, Future[Result]]]


class AttemptPool:
    """Attempts that are being made. Not thread-safe. The end of a `with` block waits for all of them."""

    def __init__(self) -> None:
        """Begin without attempts."""
        self._threads = ThreadPoolExecutor(MAX_THREADS, "webhooks")
        self._running: dict[Future[Result], tuple[Endpoint, float]] = {}

    def __enter__(self) -> Self:
        """Return the pool."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Wait for all attempts."""
        self._threads.shutdown()

    @property
    def is_empty(self) -> bool:
        """Whether no attempt is being made."""
        return not self._running

    @property
    def has_room(self) -> bool:
        """Whether a further attempt can be made now."""
        now = time.monotonic()
        return sum(now - begun < SLOW for _, begun in self._running.values()) < MAX_CONCURRENT

    def submit(self, endpoint: Endpoint, attempt: Callable[[], Result]) -> None:
        """Make an attempt in a thread."""
        self._running[self._threads.submit(attempt)] = endpoint, time.monotonic()

    def ended(self, timeout: float | None = None) -> Iterator[tuple[Endpoint, Future[Result]]]:
        """Yield attempts that have ended. Waits `timeout` seconds for the first one; None for all of them."""
        until = ALL_COMPLETED if timeout is None else FIRST_COMPLETED
        for each in wait(self._running, timeout, until).done:
            yield self._running.pop(each)[0], each

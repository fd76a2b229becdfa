"""DeliveryRun: attempts the deliveries that are due, and records what became of each.

    deliveries that are due ──▶ claim: Replace with a later `next` ──▶ attempt ──▶ accepted: Delete
                                                                               └─▶ failed: Replace, later or dead

Several processes can run at once, and each can be killed at any moment: a claim is a commit that only one of them
makes, and a delivery whose attempt nothing was recorded of is due again after CLAIM. So an event is delivered at least
once. The cost follows what is due; without that, a run is one query.
"""

import logging
import random
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Final

from lading.events.attempt_pool import AttemptPool, Ended
from lading.events.due_deliveries import DueDeliveries
from lading.events.endpoint_queue import EndpointQueue
from lading.events.independent_writes import commit_independent
from lading.events.retry_schedule import JITTER, after_failure, dead
from lading.events.stale_deliveries import StaleDeliveries
from lading.events.webhook_attempts import Attempt, WebhookClient
from lading.registry.change_context import Clock
from lading.registry.retry import retry_on_conflict, try_to_commit
from lading_storage.errors import StorageError
from lading_storage.protocols import Delete, MetadataStore, Replace, Write
from lading_storage.records.core import Key
from lading_storage.records.events import DEAD, WAITING, Delivery, Webhook

DELIVERED: Final = "delivered"
FAILED: Final = "failed"
GIVEN_UP: Final = "dead"
DROPPED: Final = "dropped"
CLAIMED: Final = "claimed elsewhere"
"""What became of deliveries: accepted; to be attempted again; dead letters; deleted, since their webhook was, or after
KEEP_DEAD of stale_deliveries; attempted by another process."""

CLAIM: Final = timedelta(seconds=60)
"""How long a claim keeps other processes from a delivery: the time limit of an attempt, and that of its commits."""

READ_INTERVAL: Final = 1.0
QUEUE_TIME: Final = 10.0
"""Seconds after which is read what has become due during attempts, and all that is due."""

POSTPONED_FOR: Final = timedelta(hours=24)
"""Age of a delivery from which on a wait that its endpoint asked for counts as an attempt: none waits for ever."""

log = logging.getLogger("lading")


class DeliveryRun:
    """Attempts deliveries. Not thread-safe; several processes may run at once."""

    def __init__(
        self,
        metadata: MetadataStore,
        client: WebhookClient,
        clock: Clock,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """Attempt the deliveries of `metadata` by `client`; `jitter` returns numbers from 0 to 1."""
        self._metadata = metadata
        self._client = client
        self._clock = clock
        self._jitter = jitter
        self._due = DueDeliveries(metadata, clock)
        self._stale = StaleDeliveries(metadata, clock)
        self._ends_at: float | None = None

    def run(self, is_over: Callable[[], bool], ends_at: float | None = None) -> Mapping[str, int]:
        """Attempt what is due, until nothing is or `is_over` returns true; return how many, by what became of them.

        Args:
            is_over: returns whether no further attempt begins.
            ends_at: the time of time.monotonic at which attempts end that are being made; None for their time limit.

        Raises:
            StorageError: the store failed. What was not recorded is attempted again.
        """
        counts, queue = Counter[str](), EndpointQueue()
        self._ends_at = ends_at
        counts[DROPPED] += self._stale.handle()
        with AttemptPool() as pool:
            while not is_over():
                queue.begin()
                self._due.begin()
                if not self._select(queue, counts) and pool.is_empty:
                    break
                self._attempt_all(queue, pool, is_over, counts)
            self._collect(pool.ended(), queue, counts)
        return +counts

    def _select(self, queue: EndpointQueue, counts: Counter[str]) -> bool:
        """Queue what is due and was not read yet; return whether anything is. What has no webhook is cleaned up."""
        found = False
        for page in self._due.pages():
            found = True
            self._clean(page, counts)
            for delivery, webhook in page:
                if webhook is not None and not webhook.disabled:
                    queue.add(webhook, delivery)
        return found

    def _clean(self, page: Sequence[tuple[Delivery, Webhook | None]], counts: Counter[str]) -> None:
        """Delete the deliveries of webhooks that were removed; those of disabled ones become dead letters."""
        writes: list[Write] = []
        for each, webhook in page:
            if webhook is None:
                writes.append(Delete(each))
                counts[DROPPED] += 1
            elif webhook.disabled:
                writes.append(Replace(dead(each, self._clock(), f"the webhook is disabled: {webhook.disabled}")))
                counts[GIVEN_UP] += 1
        commit_independent(self._metadata, writes)

    def _attempt_all(
        self, queue: EndpointQueue, pool: AttemptPool, is_over: Callable[[], bool], counts: Counter[str]
    ) -> None:
        """Attempt the deliveries of a queue, and what becomes due meanwhile, for QUEUE_TIME. Raises StorageError.

        Attempts that are being made then go on: what is due for other endpoints does not wait for them.
        """
        now = time.monotonic()
        ends_at, reads_at = now + QUEUE_TIME, now + READ_INTERVAL
        while not is_over() and time.monotonic() < ends_at:
            while not is_over() and pool.has_room and (taken := queue.take()):
                endpoint, delivery = taken
                pool.submit(endpoint, partial(self._deliver, endpoint.webhook, delivery))
            if pool.is_empty:
                break
            self._collect(pool.ended(READ_INTERVAL), queue, counts)
            if time.monotonic() >= reads_at:
                self._select(queue, counts)
                reads_at = time.monotonic() + READ_INTERVAL

    def _collect(self, ended: Ended, queue: EndpointQueue, counts: Counter[str]) -> None:
        """Count attempts that have ended. Raises the error of one that failed."""
        for endpoint, future in ended:
            attempt, became = future.result()
            endpoint.end(attempt)
            counts[became] += 1
        self._share_failures(queue, counts)

    def _deliver(self, webhook: Webhook, delivery: Delivery) -> tuple[Attempt | None, str]:
        """Make one attempt and record its result; return it, or None where another process has the delivery."""
        claimed = replace(delivery, next=self._clock() + CLAIM)
        if not try_to_commit(self._metadata, Replace(claimed)):
            return None, CLAIMED
        attempt = self._attempt(webhook, delivery)
        if attempt.is_gone:
            retry_on_conflict(lambda: self._disable(webhook.key))
        return attempt, retry_on_conflict(lambda: self._record(claimed, attempt))

    def _attempt(self, webhook: Webhook, delivery: Delivery) -> Attempt:
        try:
            return self._client.post(webhook, delivery.event, delivery.body, self._ends_at)
        except StorageError:
            raise
        except Exception as error:
            # One delivery must not end the others. The text of the error can have the URL, which can be a secret.
            log.error("webhook %s: event %s: a defect: %s", webhook.id, delivery.event, type(error).__name__)
            return Attempt(f"a defect of Lading: {type(error).__name__}")

    def _record(self, claimed: Delivery, attempt: Attempt) -> str:
        """Record the result of an attempt; return what became of the delivery. Raises Conflict."""
        current = self._metadata.read([claimed.key])[claimed.key]
        if not attempt.error:
            if current is not None:
                self._metadata.commit([Delete(current)])
            return DELIVERED
        if current is None or (current.next, current.state) != (claimed.next, WAITING):
            # The webhook was removed, or the attempt took longer than its claim, and another process has the delivery.
            return CLAIMED
        failed = self._after_failure(current, attempt)
        self._metadata.commit([Replace(failed)])
        return _became(failed)

    def _after_failure(self, delivery: Delivery, attempt: Attempt) -> Delivery:
        failed = after_failure(delivery, attempt, self._clock(), self._jitter)
        if failed.state == DEAD:
            log.warning(
                "webhook %s: event %s is a dead letter after %d attempts: %s; `lading webhooks retry %s` retries it",
                failed.webhook,
                failed.event,
                failed.attempts,
                failed.error,
                failed.webhook,
            )
        return failed

    def _disable(self, key: Key[Webhook]) -> None:
        webhook = self._metadata.read([key])[key]
        if webhook is not None and not webhook.disabled:
            reason = "its endpoint responded with status 410 (Gone)"
            self._metadata.commit([Replace(replace(webhook, disabled=reason))])
            log.warning("webhook %s is disabled: %s; `lading webhooks enable %s` enables it", key.id, reason, key.id)

    def _share_failures(self, queue: EndpointQueue, counts: Counter[str]) -> None:
        """Let a failure count for deliveries that were not attempted: of an unreachable endpoint, or one that is busy.

        So an endpoint that is down costs a few attempts, and a write for each delivery that is due.
        """
        for attempt, deliveries in queue.take_shared():
            failed = [self._after_shared(each, attempt) for each in deliveries]
            commit_independent(self._metadata, [Replace(each) for each in failed])
            counts.update(map(_became, failed))

    def _after_shared(self, delivery: Delivery, attempt: Attempt) -> Delivery:
        now = self._clock()
        if attempt.retry_after is None or attempt.is_gone or now - delivery.created > POSTPONED_FOR:
            return self._after_failure(delivery, attempt)
        # The endpoint takes some deliveries, but not all at once.
        next_attempt = now + attempt.retry_after * (1 + JITTER * self._jitter())
        return replace(delivery, next=max(next_attempt, now + timedelta(seconds=1)), error=attempt.error)


def _became(failed: Delivery) -> str:
    return GIVEN_UP if failed.state == DEAD else FAILED

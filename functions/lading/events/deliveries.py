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
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from lading.events.endpoint_queue import MAX_CONCURRENT, Endpoint, EndpointQueue
from lading.events.independent_writes import commit_independent
from lading.events.retry_schedule import JITTER, after_failure, dead
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
KEEP_DEAD; attempted by another process."""

CLAIM: Final = timedelta(seconds=60)
"""How long a claim keeps other processes from a delivery: the time limit of an attempt, and that of its commits."""

PAGE: Final = 200
MAX_READ: Final = 5_000
"""Deliveries of one query, and those that are read before attempts are made: past those of a slow endpoint as well."""

QUEUE_TIME: Final = 10.0
"""Seconds for which attempts of one queue are begun: then, what other endpoints are due meanwhile is read."""

KEEP_DEAD: Final = timedelta(days=30)
"""How long a dead letter can be retried."""

EXPIRE_INTERVAL: Final = 3_600.0
"""Seconds between two deletions of old dead letters by one process."""

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
        self._expires_at = 0.0

    def run(self, is_over: Callable[[], bool]) -> Mapping[str, int]:
        """Attempt what is due, until nothing is or `is_over` returns true; return how many, by what became of them.

        Raises:
            StorageError: the store failed. What was not recorded is attempted again.
        """
        counts = Counter[str]()
        self._expire(counts)
        while not is_over():
            queue = self._select(counts)
            if queue is None:
                break
            self._attempt_all(queue, is_over, counts)
        return +counts

    def _select(self, counts: Counter[str]) -> EndpointQueue | None:
        """Return the deliveries to attempt, or None where none is due. Those without a webhook are cleaned up."""
        now, queue, read = self._clock(), EndpointQueue(), 0
        webhooks: dict[str, Webhook | None] = {}
        cursor = None
        while read < MAX_READ:
            page = self._metadata.due(Delivery, WAITING, now, after=cursor, limit=PAGE)
            read += len(page)
            deliveries = [each.record for each in page]
            keys = [Key(Webhook, each) for each in {each.webhook for each in deliveries} - webhooks.keys()]
            found = self._metadata.read(keys) if keys else None
            webhooks |= {key.id: found[key] for key in keys if found}
            self._clean(deliveries, webhooks, now, counts)
            for each in deliveries:
                webhook = webhooks[each.webhook]
                if webhook is not None and not webhook.disabled:
                    queue.add(webhook, each)
            if len(page) < PAGE:
                break
            cursor = page[-1].cursor
        return queue if read else None

    def _clean(
        self,
        deliveries: Sequence[Delivery],
        webhooks: Mapping[str, Webhook | None],
        now: datetime,
        counts: Counter[str],
    ) -> None:
        """Delete the deliveries of webhooks that were removed; those of disabled ones become dead letters."""
        writes: list[Write] = []
        for each in deliveries:
            webhook = webhooks[each.webhook]
            if webhook is None:
                writes.append(Delete(each))
                counts[DROPPED] += 1
            elif webhook.disabled:
                writes.append(Replace(dead(each, now, f"the webhook is disabled: {webhook.disabled}")))
                counts[GIVEN_UP] += 1
        commit_independent(self._metadata, writes)

    def _attempt_all(self, queue: EndpointQueue, is_over: Callable[[], bool], counts: Counter[str]) -> None:
        """Attempt the deliveries of a queue, some at a time. Raises StorageError, once no attempt is being made."""
        running: dict[Future[tuple[Attempt | None, str]], Endpoint] = {}
        failures: list[BaseException] = []
        deadline = time.monotonic() + QUEUE_TIME

        def take() -> tuple[Endpoint, Delivery] | None:
            is_last = failures or len(running) == MAX_CONCURRENT or time.monotonic() > deadline or is_over()
            return None if is_last else queue.take()

        with ThreadPoolExecutor(MAX_CONCURRENT, "webhooks") as pool:
            while (taken := take()) or running:
                if taken:
                    endpoint, delivery = taken
                    running[pool.submit(self._deliver, endpoint.webhook, delivery)] = endpoint
                    continue
                for each in wait(running, return_when=FIRST_COMPLETED).done:
                    endpoint = running.pop(each)
                    if error := each.exception():
                        failures.append(error)
                        continue
                    attempt, became = each.result()
                    endpoint.end(attempt)
                    counts[became] += 1
                self._share_failures(queue, counts)
        if failures:
            raise failures[0]

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
            return self._client.post(webhook, delivery.event, delivery.body)
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

    def _expire(self, counts: Counter[str]) -> None:
        """Delete dead letters that were not retried in time, at most PAGE of them."""
        if time.monotonic() < self._expires_at:
            return
        old = self._metadata.due(Delivery, DEAD, self._clock() - KEEP_DEAD, limit=PAGE)
        commit_independent(self._metadata, [Delete(each.record) for each in old])
        counts[DROPPED] += len(old)
        if len(old) < PAGE:
            self._expires_at = time.monotonic() + EXPIRE_INTERVAL


def _became(failed: Delivery) -> str:
    return GIVEN_UP if failed.state == DEAD else FAILED

"""When a delivery is attempted again, as Standard Webhooks recommends: over a day, then it is dead."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from lading.events.webhook_attempts import MAX_RETRY_AFTER, Attempt
from lading_storage.records.events import DEAD, Delivery

ATTEMPTS_AT: Final = tuple(
    timedelta(seconds=seconds)
    for seconds in (0, 5, 300, 1_800, 2 * 3_600, 5 * 3_600, 10 * 3_600, 14 * 3_600, 20 * 3_600, 24 * 3_600)
)
"""Times of the attempts, from the first one on, if each is made as soon as it is due."""

MAX_ATTEMPTS: Final = len(ATTEMPTS_AT)

JITTER: Final = 0.1
"""The part of a wait that is added to it at most: deliveries that failed together are not attempted together again."""

MAX_WAIT: Final = MAX_RETRY_AFTER * (1 + JITTER)
"""The longest wait, which an endpoint asked for; those of ATTEMPTS_AT are shorter."""


def after_failure(delivery: Delivery, attempt: Attempt, now: datetime, jitter: Callable[[], float]) -> Delivery:
    """Return a delivery after a failed attempt: to be attempted again, or dead.

    Args:
        delivery: before the attempt.
        attempt: the failure.
        now: the time of the failure.
        jitter: returns a number from 0 to 1.
    """
    attempts = delivery.attempts + 1
    failed = replace(delivery, attempts=attempts, error=attempt.error)
    if attempts >= MAX_ATTEMPTS or attempt.is_gone:
        return dead(failed, now)
    wait = ATTEMPTS_AT[attempts] - ATTEMPTS_AT[attempts - 1]
    return replace(failed, next=now + max(wait * (1 + JITTER * jitter()), attempt.retry_after or timedelta(0)))


def dead(delivery: Delivery, now: datetime, error: str = "") -> Delivery:
    """Return a delivery that is given up. `next` is then since when."""
    return replace(delivery, state=DEAD, next=now, error=error or delivery.error)

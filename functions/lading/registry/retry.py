"""Retry on conflict (optimistic concurrency control).

Every change reads, decides, and commits with preconditions. After a conflict it reads and decides again, so a decision
always rests on the current records. There are no locks, so a process that dies holds none.
"""

import random
import time
from collections.abc import Callable
from typing import Final, TypeVar

from lading_storage.errors import Conflict, Unavailable
from lading_storage.protocols import MetadataStore, Write

T = TypeVar("T")

MAX_ATTEMPTS: Final = 60
"""Maximum attempts: 32 concurrent writers of one record, one of which succeeds in each round, need far fewer."""

INITIAL_BACKOFF: Final = 0.005
MAX_BACKOFF: Final = 0.25
"""Seconds."""


def try_to_commit(metadata: MetadataStore, *writes: Write) -> bool:
    """Commit once; return False, with nothing written, if a record has changed meanwhile."""
    try:
        metadata.commit(writes)
    except Conflict:
        return False
    return True


def retry_on_conflict(attempt: Callable[[], T]) -> T:
    """Call `attempt` until it raises no Conflict, and return its result.

    Raises:
        Unavailable: after MAX_ATTEMPTS conflicts.
    """
    for number in range(MAX_ATTEMPTS):
        try:
            return attempt()
        except Conflict as conflict:
            last = conflict
        # Jitter, so that changes that conflicted with one another do not retry at the same moment.
        time.sleep(random.uniform(0, min(MAX_BACKOFF, INITIAL_BACKOFF * 2**number)))
    raise Unavailable(f"one change had {MAX_ATTEMPTS} conflicts: {last}")

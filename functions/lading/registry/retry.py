"""Trying again after a lost race.

Every change is: read, decide, commit with preconditions. Whoever loses a race reads again and decides again, so the
decision always rests on what is there. Nobody waits for a lock, so nobody can be left holding one.
"""

import random
import time
from collections.abc import Callable
from typing import Final, TypeVar

from lading_storage.errors import Conflict, Unavailable
from lading_storage.protocols import MetadataStore, Write

T = TypeVar("T")

MAX_ATTEMPTS: Final = 60
"""Attempts: 32 writers on one record, one of whom wins each round, are all done well before."""

INITIAL_BACKOFF: Final = 0.005
MAX_BACKOFF: Final = 0.25


def try_to_commit(metadata: MetadataStore, *writes: Write) -> bool:
    """Commit once; return False, with nothing written, where a record has changed meanwhile."""
    try:
        metadata.commit(writes)
    except Conflict:
        return False
    return True


def retry_on_conflict(attempt: Callable[[], T]) -> T:
    """What `attempt` answers, called again after each Conflict. Raises Unavailable when it keeps losing."""
    for number in range(MAX_ATTEMPTS):
        try:
            return attempt()
        except Conflict as conflict:
            lost = conflict
        # Jitter: of many that lost at once, few must come back at once.
        time.sleep(random.uniform(0, min(MAX_BACKOFF, INITIAL_BACKOFF * 2**number)))
    raise Unavailable(f"lost {MAX_ATTEMPTS} races for one change: {lost}")

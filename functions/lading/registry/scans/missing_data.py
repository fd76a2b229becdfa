"""Images whose packages could not be compared, once there is data of their ecosystem: they are due at once.

The first image that needs an ecosystem is scanned before its data is there. It would stay partial until the next day.
So would an image be refused whose policy asks for known exploits, after the first import of data on these.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from lading.registry.retry import try_to_commit
from lading.scanning.findings import EXPLOITS
from lading_storage.protocols import MetadataStore, QueueCursor, Replace
from lading_storage.records.core import Key
from lading_storage.records.scans import DOCUMENTS, MATCH, Facts, VulnerabilityData

PAGE_SIZE: Final = 100

HORIZON: Final = timedelta(days=2)
"""How far ahead comparisons are due: a day after the last one."""

LATELY: Final = timedelta(minutes=15)
"""How long a scanner may work with data that it has opened."""


def make_due(metadata: MetadataStore, ecosystem: str, now: datetime) -> int:
    """Make those images due for a comparison that lacked the data of an ecosystem; return their number.

    The queues of all images are read once. If a process is killed meanwhile, the others are compared the next day.
    """

    def lacks(facts: Facts) -> bool:
        return _lacks(facts, ecosystem)

    return make_queue_due(metadata, MATCH, now, lacks) + make_queue_due(metadata, DOCUMENTS, now, lacks)


def make_queue_due(
    metadata: MetadataStore, queue: str, now: datetime, is_affected: Callable[[Facts], bool] = lambda facts: True
) -> int:
    """Make images of a queue due for a comparison, unless a scanner works on them; return their number."""
    count, after = 0, None
    while True:
        page = metadata.due(Facts, queue, now + HORIZON, after=after, limit=PAGE_SIZE)
        for queued in page:
            if is_affected(queued.record):
                count += _make_due(metadata, queued.record, now)
        if len(page) < PAGE_SIZE:
            return count
        after = QueueCursor(page[-1].entry, page[-1].record.key)


def _make_due(metadata: MetadataStore, listed: Facts, now: datetime) -> bool:
    """Make one image due, unless a scanner works on it."""
    if listed.claim or listed.next <= now:
        return False
    # The queue has no content, without which a record must not be written.
    facts = metadata.read([listed.key])[listed.key]
    if facts is None or facts.claim or facts.task != MATCH:
        return False
    return try_to_commit(metadata, Replace(replace(facts, next=now)))


def _lacks(facts: Facts, ecosystem: str) -> bool:
    """Return whether data was missing; its name may have a release, as in "Debian:12"."""
    if ecosystem == EXPLOITS:
        return not any(each.startswith(f"{EXPLOITS}=") for each in facts.data)
    return any(each.partition(":")[0] == ecosystem for each in facts.missing)


def came_lately(metadata: MetadataStore, missing: Iterable[str], now: datetime) -> bool:
    """Return whether data that a scanner did not have came while it may have been working, with one read."""
    keys = [Key(VulnerabilityData, name) for name in {each.partition(":")[0] for each in missing}]
    found = metadata.read(keys) if keys else None
    updates = [record.updated for key in keys if found and (record := found[key]) is not None]
    return any(each is not None and now - each < LATELY for each in updates)

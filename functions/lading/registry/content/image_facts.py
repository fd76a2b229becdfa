"""The facts that a put of an image creates, in the same commit: whatever happens then, the image is scanned.

This is all of scanning that a push knows. A put of an image that has facts, by whichever tag, leaves them as they are.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from lading_storage.protocols import Create, Found, Write
from lading_storage.records.core import Key, Manifest
from lading_storage.records.scans import SCAN, Facts

WAITING: Final = "waiting"
"""The state of an image that was not scanned yet (lading.scanning.findings, which no push imports)."""


def facts_key(manifest: Manifest) -> Key[Facts]:
    """Return the key of the facts about an image."""
    return Key(Facts, manifest.digest, manifest.repository)


def new_facts(key: Key[Facts], now: datetime, task: str = SCAN) -> Facts:
    """Return the facts about an image that is to be scanned from `now` on."""
    return Facts(id=key.id, repository=key.repository, state=WAITING, task=task, next=now, created=now)


def new_facts_writes(found: Found, keys: Sequence[Key[Facts]], now: datetime, task: str = SCAN) -> list[Write]:
    """Return the writes that create those of the facts that do not exist, given the records of `keys`."""
    return [Create(new_facts(key, now, task)) for key in keys if found[key] is None]

"""Another set of keys whose documents count: the images whose results documents had a part in are due at once.

They are a queue of their own, so that this costs nothing for all others. Documents that were attached before the first
key was configured are found by the daily comparison.
"""

from typing import Final

from lading.registry.change_context import Clock
from lading.registry.retry import try_to_commit
from lading.registry.scans.missing_data import make_queue_due
from lading_storage.protocols import Create, MetadataStore, Replace
from lading_storage.records.core import Key
from lading_storage.records.jobs import Job
from lading_storage.records.scans import DOCUMENTS

APPLIED: Final = Key(Job, "document-keys")
"""The record whose `rules` are the version of the keys that was applied last."""


def apply(metadata: MetadataStore, version: str, clock: Clock) -> None:
    """Make images due if the keys are others than those that were applied last, with one read if they are not.

    Args:
        metadata: of the registry.
        version: of the keys of this process, "" if there are none.
        clock: the current time.
    """
    found = metadata.read([APPLIED])
    record, now = found[APPLIED], clock(found.read_at)
    if version == (record.rules if record else ""):
        return
    make_queue_due(metadata, DOCUMENTS, now)
    # Last: if this process is killed before, the next one does it again.
    applied = Job(id=APPLIED.id, rules=version, created=now, version=record.version if record else "")
    try_to_commit(metadata, Replace(applied) if record else Create(applied))

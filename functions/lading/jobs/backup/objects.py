"""Copying the objects of blobs into the folder of a backup, under the names that they have in the source.

A name is used once in the world, so the records that name an object are copied as they are. An object that is there
with its size is not copied again: it got its name when its bytes were on the disk
(lading_storage.local.filesystem_bulk).
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from lading.jobs.backup.folder import BackupBlobs
from lading.jobs.backup.records import get
from lading.jobs.backup.stores import BackupReport, Stores
from lading_storage.digests import Hasher, algorithm_of
from lading_storage.errors import Corrupt, ObjectNotFound
from lading_storage.protocols import MetadataStore
from lading_storage.records.core import Blob

MAX_ATTEMPTS: Final = 3
"""How often a blob is looked up again that was collected and pushed anew while it was copied."""


class ObjectCopier:
    """Copies objects from `source` into `target`."""

    def __init__(
        self, source: Stores, target: BackupBlobs, earlier: MetadataStore | None, report: BackupReport
    ) -> None:
        """Copy from `source`; `earlier` has the records of the backup before."""
        self._source = source
        self._target = target
        self._previous = earlier
        self._report = report

    def copy(self, blob: Blob) -> Blob | None:
        """Copy the object of a blob where the target lacks it.

        Returns the blob as the backup is to have it, or None where the source has not got its bytes (any more). One
        whose bytes are lost or damaged there, and in the backup before, is reported.
        """
        current: Blob | None = blob
        for _ in range(MAX_ATTEMPTS):
            if current is None:
                return None
            if self._is_there(current):
                return replace(current, damaged="")
            try:
                self._put(current)
            except (ObjectNotFound, Corrupt):
                before, current = current, get(self._source.metadata, blob.key)
                if current is not None and current.object == before.object:
                    return self._previous_copy(current)
            else:
                return replace(current, damaged="")
        return None

    def _is_there(self, blob: Blob) -> bool:
        if blob.damaged:
            # The bytes may have rotted before they were copied.
            return self._target.is_good(blob.object, blob.size, blob.id)
        return self._target.has(blob.object, blob.size)

    def _previous_copy(self, blob: Blob) -> Blob | None:
        """Return the blob with the object that the backup before has for it; else report it as damaged."""
        known = get(self._previous, blob.key) if self._previous else None
        if known is not None and self._target.is_good(known.object, known.size, known.id):
            return replace(blob, object=known.object, damaged="")
        self._report.damaged.add(blob.id)
        return None

    def _put(self, blob: Blob) -> None:
        self._target.put(blob.object, verified(self._source.blobs.open(blob.object, 0, blob.size), blob.id), blob.size)
        self._report.blobs += 1
        self._report.bytes += blob.size
        self._report.moved += blob.size


def verified(chunks: Iterator[bytes], digest: str) -> Iterator[bytes]:
    """Pass chunks on; raises Corrupt at the end where they have another digest."""
    hasher = Hasher(algorithm_of(digest))
    for chunk in chunks:
        hasher.update(chunk)
        yield chunk
    if hasher.digest != digest:
        raise Corrupt(f"the object of {digest} holds other bytes")

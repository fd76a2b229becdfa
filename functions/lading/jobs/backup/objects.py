"""Copies of the objects of blobs in the folder of a backup, under the same names as in the source.

Names of objects are globally unique, so the records that name an object are copied unchanged. An object that exists
with the expected size is not copied again: it is renamed to its name only when its bytes are on the disk
(lading_storage.local.filesystem_bulk).
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from lading.jobs.backup.folder import BackupBlobs
from lading.jobs.backup.records import get
from lading.jobs.backup.report import BackupReport
from lading_storage.digests import Hasher, algorithm_of
from lading_storage.errors import Corrupt, ObjectNotFound
from lading_storage.protocols import MetadataStore
from lading_storage.records.core import Blob
from lading_storage.stores import Stores

MAX_ATTEMPTS: Final = 3
"""How often a copy is tried of a blob that is collected and pushed again during the copy."""


class ObjectCopier:
    """Copies the objects of blobs from a registry into a backup."""

    def __init__(
        self, source: Stores, target: BackupBlobs, previous: MetadataStore | None, report: BackupReport
    ) -> None:
        """Copy from `source` into `target`.

        Args:
            source: the stores of the registry.
            target: the blobs of the backup.
            previous: the records of the previous backup in the same folder, or None.
            report: where copies and damaged blobs are counted.
        """
        self._source = source
        self._target = target
        self._previous = previous
        self._report = report

    def copy(self, blob: Blob) -> Blob | None:
        """Copy the object of a blob unless the target has it.

        A blob whose bytes are lost or damaged in the source, and not in the previous backup either, is reported.

        Returns:
            The record for the backup, or None if the bytes are not available.
        """
        current: Blob | None = blob
        for _ in range(MAX_ATTEMPTS):
            if current is None:
                return None
            if self._is_copied(current):
                return replace(current, damaged="")
            try:
                self._put(current)
            except (ObjectNotFound, Corrupt):
                failed, current = current, get(self._source.metadata, blob.key)
                if current is not None and current.object == failed.object:
                    return self._previous_copy(current)
            else:
                return replace(current, damaged="")
        return None

    def _is_copied(self, blob: Blob) -> bool:
        if blob.damaged:
            # The damage may be older than the copy, so the copy is verified.
            return self._target.is_good(blob.object, blob.size, blob.id)
        return self._target.has(blob.object, blob.size)

    def _previous_copy(self, blob: Blob) -> Blob | None:
        """Return the blob with its object in the previous backup, or report it as damaged and return None."""
        previous = get(self._previous, blob.key) if self._previous else None
        if previous is not None and self._target.is_good(previous.object, previous.size, previous.id):
            return replace(blob, object=previous.object, damaged="")
        self._report.damaged.add(blob.id)
        return None

    def _put(self, blob: Blob) -> None:
        self._target.put(blob.object, verified(self._source.blobs.open(blob.object, 0, blob.size), blob.id), blob.size)
        self._report.blobs += 1
        self._report.bytes += blob.size
        self._report.moved += blob.size


def verified(chunks: Iterator[bytes], digest: str) -> Iterator[bytes]:
    """Yield the chunks of a blob unchanged.

    Raises:
        Corrupt: after the last chunk, if the digest does not match.
    """
    hasher = Hasher(algorithm_of(digest))
    for chunk in chunks:
        hasher.update(chunk)
        yield chunk
    if hasher.digest != digest:
        raise Corrupt(f"the object of {digest} does not match the digest")

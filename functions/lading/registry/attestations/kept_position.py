"""KeptPosition: where the sweep of the attester goes on, which has no stores, and whose process ends between two."""

from dataclasses import replace
from typing import Final

from lading.registry.attestations.messages import SweepPosition
from lading.registry.change_context import Clock
from lading.registry.retry import retry_on_conflict
from lading_storage.protocols import Create, MetadataStore, Replace
from lading_storage.records.core import Key
from lading_storage.records.jobs import Job

KEY: Final = Key(Job, "attest")
"""The progress of the sweep; the lease of the record is not used, since one instance sweeps."""


class KeptPosition:
    """The position of one registry."""

    def __init__(self, metadata: MetadataStore, clock: Clock) -> None:
        """Keep it in `metadata`."""
        self._metadata = metadata
        self._clock = clock

    def read(self) -> SweepPosition:
        """Return the position that was kept last. Raises StorageError."""
        job = self._metadata.read([KEY])[KEY]
        return SweepPosition(repository=job.within, digest=job.after) if job else SweepPosition()

    def keep(self, position: SweepPosition) -> None:
        """Keep another position. Raises StorageError."""
        retry_on_conflict(lambda: self._try(position))

    def _try(self, position: SweepPosition) -> None:
        found = self._metadata.read([KEY])
        job = found[KEY] or Job(id=KEY.id, created=self._clock(found.read_at))
        kept = replace(job, within=position.repository, after=position.digest)
        if found[KEY] is None:
            self._metadata.commit([Create(kept)])
        elif kept != job:
            self._metadata.commit([Replace(kept)])

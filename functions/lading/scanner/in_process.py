"""The registry of this process as the backend of a scanner."""

from collections.abc import Iterable

from lading.jobs.lease_holders import has_ended, new_holder
from lading.registry.errors import BLOB_UNKNOWN, RegistryError
from lading.registry.registry import Registry
from lading.registry.scans.claim import Claim, ClaimedLayer, ScanResult


class InProcessBackend:
    """Claims, layers and results of a registry, without HTTP. See ScanBackend."""

    def __init__(self, registry: Registry) -> None:
        """Scan the images of `registry`."""
        self._registry = registry
        self._has_ended_others = False

    def claim(self, extractor: int) -> Claim | None:
        """See ScanBackend. The first call ends the claims of scanners on this machine that were killed."""
        claims = self._registry.scans.claims
        if not self._has_ended_others:
            claims.end(has_ended)
            self._has_ended_others = True
        return next(iter(claims.claim(1, extractor, new_holder)), None)

    def release(self, claim: Claim) -> None:
        """See ScanBackend."""
        self._registry.scans.claims.release(claim.repository, claim.digest, claim.nonce)

    def layer(self, claim: Claim, layer: ClaimedLayer) -> Iterable[bytes] | None:
        """See ScanBackend."""
        try:
            link = self._registry.blobs.get(claim.repository, layer.digest)
        except RegistryError as error:
            if error.descriptor != BLOB_UNKNOWN:
                raise
            return None
        return self._registry.blobs.open(link, 0, link.size)

    def accept(self, claim: Claim, result: ScanResult) -> None:
        """See ScanBackend."""
        self._registry.scans.results.accept(claim.repository, claim.digest, claim.nonce, result)

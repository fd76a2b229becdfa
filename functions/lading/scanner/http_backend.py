"""A registry over HTTP as the backend of a scanner, which has no stores and no rights but those of its account."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final

from lading.registry.content.manifest_contents import Descriptor
from lading.registry.errors import BLOB_UNKNOWN, RegistryError
from lading.registry.scans.claim import Claim, ClaimedLayer, ScanResult, bounded
from lading.registry.scans.messages import (
    MAX_RESULT,
    Accepted,
    CheckedMessage,
    ClaimRequest,
    ClaimResponse,
    DataResponse,
    Ecosystem,
    HeldClaim,
    PublishedMessage,
    ResultMessage,
)
from lading.registry.scans.vulnerability_data import DataArtifact
from lading.scanner.registry_client import RegistryClient
from lading.scanning.findings import FAILED

MAX_CONTENT: Final = MAX_RESULT * 3 // 4 - 1024 * 1024
"""Bytes of documents and layers in one result, which base64 makes a third larger; the rest is for all else."""

TOO_LARGE: Final = f"its documents are larger than the {MAX_CONTENT >> 20} MiB that a scanner can send"


class HttpBackend:
    """Claims, layers and results of a registry. See ScanBackend."""

    def __init__(self, client: RegistryClient) -> None:
        """Scan the images of the registry of `client`."""
        self._client = client

    def claim(self, extractor: int) -> Claim | None:
        """See ScanBackend. Raises RegistryUnreachable."""
        return self._client.post("claims", ClaimRequest(extractor=extractor), ClaimResponse).claim

    def release(self, claim: Claim) -> None:
        """See ScanBackend. The claim ends by itself: only its limits stop the function in the middle of a run."""

    def layer(self, claim: Claim, layer: ClaimedLayer) -> Iterable[bytes] | None:
        """See ScanBackend. Raises RegistryUnreachable, here and while the bytes are read."""
        return self._client.blob(claim.repository, layer.digest, [_held(claim)])

    def accept(self, claim: Claim, result: ScanResult) -> None:
        """See ScanBackend. Raises RegistryUnreachable."""
        message = ResultMessage(claim=_held(claim), result=fitting(result))
        self._client.post("results", message, Accepted)


class HttpArtifacts:
    """The vulnerability data of a registry. See Artifacts. What there is, is asked for once, until `refresh`."""

    def __init__(self, client: RegistryClient) -> None:
        """Read and write the data of the registry of `client`."""
        self._client = client
        self._response: DataResponse | None = None

    def records(self) -> Sequence[Ecosystem]:
        """Ask what the registry has of all ecosystems whose data images need. Raises RegistryUnreachable."""
        self.refresh()
        return self._data().ecosystems

    def refresh(self) -> None:
        """Ask again at the next use."""
        self._response = None

    def current(self, ecosystems: Sequence[str]) -> Mapping[str, DataArtifact]:
        """Return the data of those of some ecosystems that have any. Raises RegistryUnreachable."""
        return {
            each.id: DataArtifact(each.id, each.digest, each.layer, each.etag)
            for each in self._data().ecosystems
            if each.id in ecosystems and each.layer is not None
        }

    def open(self, artifact: DataArtifact) -> Iterator[bytes]:
        """Return the bytes of the data. Raises BLOB_UNKNOWN if an update has removed it, RegistryUnreachable."""
        chunks = self._client.blob(self._data().repository, artifact.layer.digest)
        if chunks is None:
            self.refresh()
            raise RegistryError(BLOB_UNKNOWN, {"digest": artifact.layer.digest})
        return chunks

    def publish(self, ecosystem: str, media_type: str, digest: str, chunks: Iterable[bytes], etag: str) -> str:
        """Upload new data of an ecosystem, and return the digest of its artifact. Raises RegistryUnreachable."""
        size = self._client.upload(self._data().repository, digest, chunks)
        layer = Descriptor(digest, media_type, size)
        message = PublishedMessage(ecosystem=ecosystem, layer=layer, etag=etag)
        self.refresh()
        return self._client.post("published", message, Accepted).digest

    def record_check(self, ecosystem: str, error: str = "") -> None:
        """Record that the source of an ecosystem was asked. Raises RegistryUnreachable."""
        self._client.post("checked", CheckedMessage(ecosystem=ecosystem, error=error), Accepted)

    def _data(self) -> DataResponse:
        if self._response is None:
            self._response = self._client.post("data", {}, DataResponse)
        return self._response


def fitting(result: ScanResult) -> ScanResult:
    """Return a result that one request can hold.

    The largest layers are left out first: they will be read again. Where the documents alone are too large, the scan
    has failed.
    """
    size = len(result.sbom or b"") + len(result.report or b"")
    if size > MAX_CONTENT:
        return replace(result, state=FAILED, reason=TOO_LARGE, sbom=None, report=None, layers={}, notes=())
    layers = {}
    for digest, packages in sorted(result.layers.items(), key=lambda each: len(each[1])):
        if (size := size + len(packages)) > MAX_CONTENT:
            break
        layers[digest] = packages
    return replace(result, layers=layers, notes=bounded(result.notes))


def _held(claim: Claim) -> HeldClaim:
    return HeldClaim(repository=claim.repository, digest=claim.digest, nonce=claim.nonce)

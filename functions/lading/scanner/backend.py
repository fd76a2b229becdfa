"""Backend of a scanner: the registry that has images to scan, and the vulnerability data that it keeps."""

from collections.abc import Collection, Iterable
from contextlib import AbstractContextManager
from typing import Protocol

from lading.registry.scans.claim import Claim, ClaimedLayer, ScanResult
from lading.scanning.layer_scanner import LayerDescriptor
from lading.scanning.packages import LayerPackages
from lading.vulnerabilities.database import Database
from lading.vulnerabilities.exploits import Exploits


class ScanBackend(Protocol):
    """A registry, as a scanner sees it."""

    def claim(self, extractor: int) -> Claim | None:
        """Claim one image, or return None if none is due.

        Args:
            extractor: the version of the scanner's extractors.
        """
        ...

    def release(self, claim: Claim) -> None:
        """End a claim without a result, since the process ends. It does not count as a try."""
        ...

    def layer(self, claim: Claim, layer: ClaimedLayer) -> Iterable[bytes] | None:
        """Return the bytes of a layer as stored, or None if the registry does not have it."""
        ...

    def accept(self, claim: Claim, result: ScanResult) -> None:
        """Give the result of a claim.

        Raises:
            RegistryError: SCAN_CLAIM_UNKNOWN if the claim has ended.
        """
        ...


class LayerReader(Protocol):
    """Reads layers in a process of their own: lading.scanning.layer_scanner.LayerScanner."""

    def scan(self, layer: LayerDescriptor, chunks: Iterable[bytes] | None) -> LayerPackages:
        """Return what a layer declares. Raises LayerFailed, LayerUnread."""
        ...


class DataSource(Protocol):
    """The vulnerability data as it is now."""

    def opened(self) -> AbstractContextManager["OpenedData"]:
        """Open the data for one run, which sees no update meanwhile."""
        ...


class OpenedData(Protocol):
    """The vulnerability data during one run."""

    @property
    def unusable(self) -> Collection[str]:
        """Of what was asked for, the names of data that is on record, and could not be opened."""
        ...

    def database(self, ecosystem: str) -> Database | None:
        """Return the database of an ecosystem, by its name without a release; None if there is none to be opened."""
        ...

    def exploits(self) -> Exploits | None:
        """Return what is known of the exploitation of vulnerabilities, or None."""
        ...

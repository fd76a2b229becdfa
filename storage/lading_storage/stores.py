"""The two stores of a registry."""

from dataclasses import dataclass

from lading_storage.protocols import BlobStore, MetadataStore


@dataclass(frozen=True, slots=True)
class Stores:
    """The two stores of one registry."""

    blobs: BlobStore
    metadata: MetadataStore

    def close(self) -> None:
        """Close both."""
        self.blobs.close()
        self.metadata.close()

"""Content: the parts of a registry through which scans read images, and store what they found."""

from dataclasses import dataclass

from lading.registry.change_context import Clock
from lading.registry.content.blobs import Blobs
from lading.registry.content.manifests import Manifests
from lading.registry.content.uploads import Uploads
from lading_storage.protocols import MetadataStore


@dataclass(frozen=True, slots=True)
class Content:
    """The parts, all of one registry."""

    metadata: MetadataStore
    manifests: Manifests
    uploads: Uploads
    blobs: Blobs
    clock: Clock

"""What disk usage and clean-up read of a repository: the values, as the management API lists them."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

MAX_SCANNED: Final = 5_000
"""Records of other repositories that a page of shared blobs reads; see UsagePages.shared_blobs."""


@dataclass(frozen=True, slots=True)
class BlobUsage:
    """Blob that a repository links, and its size in bytes."""

    digest: str
    size: int


@dataclass(frozen=True, slots=True)
class ManifestUsage:
    """Manifest without its content: what it holds, and what it is attached to.

    The fields are those of lading_storage.records.core.Manifest; `attachment` is known for manifests of each release.
    """

    digest: str
    size: int
    created: datetime
    restored: datetime | None
    subject: str
    attachment: str
    children: tuple[str, ...]
    blobs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TagUsage:
    """Tag, the manifest that it names, and when it was set to that."""

    tag: str
    digest: str
    moved: datetime


@dataclass(frozen=True, slots=True)
class PullUsage:
    """Manifest, and when it was last pulled, to the hour."""

    digest: str
    pulled: datetime


@dataclass(frozen=True, slots=True)
class DeletedUsage:
    """Deleted manifest, which can explain why another one is deleted.

    policy  the clean-up policy that deleted it, or "" where a caller did
    """

    digest: str
    created: datetime
    deleted: datetime
    policy: str
    children: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class InUseManifest:
    """Manifest that an in-use report names, by its digest or by one of its tags."""

    digest: str

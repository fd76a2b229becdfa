"""Registry of all record kinds."""

from typing import Final

from lading_storage.records.core import Blob, Link, Manifest, Record, Repository, Robot, Tag, Upload
from lading_storage.records.deleted import DeletedLink, DeletedManifest, DeletedTag, TagEvent, TagHistory
from lading_storage.records.jobs import Identity, InUseReport, Job, LastPull

KINDS: Final[tuple[type[Record], ...]] = (
    *(Repository, Blob, Link, Manifest, Tag, Upload, Robot),
    *(DeletedManifest, DeletedTag, DeletedLink, TagHistory, TagEvent),
    *(LastPull, InUseReport, Job, Identity),
)

CROSS_REPOSITORY_FIELDS: Final[tuple[tuple[type[Record], str], ...]] = ((Link, "id"), (DeletedLink, "id"))
"""Fields that can be searched across all repositories. In Firestore, each needs a collection-group index."""

"""Whether an earlier request has restored something: a request that is sent again finds nothing deleted."""

from typing import Final

from lading.registry.change_context import RESTORE
from lading_storage.protocols import MetadataStore
from lading_storage.query import Query
from lading_storage.records.core import Key, Manifest, Tag
from lading_storage.records.deleted import TagEvent

MAX_CHECKED: Final = 100
"""Manifests of a repository that are read to find one that was restored."""


def restored_tag(metadata: MetadataStore, repository: str, name: str) -> str:
    """Return the digest of a live tag whose latest event is its restore, or "" for any other."""
    key = Key(Tag, name, repository)
    live = metadata.read([key])[key]
    events = metadata.find(Query(TagEvent, {"tag": name}, repository=repository, limit=1))
    return live.digest if live and events and events[0].action == RESTORE.action else ""


def was_restored(metadata: MetadataStore, repository: str, digest: str = "") -> bool:
    """Return whether a live manifest was restored, or pushed after its deletion: this one, or any of a repository.

    Of a repository, MAX_CHECKED manifests are read.
    """
    if digest:
        key = Key(Manifest, digest, repository)
        found = metadata.read([key], content=False)[key]
        return found is not None and found.restored is not None
    manifests = metadata.find(Query(Manifest, repository=repository, limit=MAX_CHECKED))
    return any(manifest.restored is not None for manifest in manifests)

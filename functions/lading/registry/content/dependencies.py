"""Dependencies of a manifest: the links of its blobs, and its children, all in its own repository.

A put or restore of a manifest reads all of them, and touches or unhides them in the same commit. A deletion of
manifests hides the links that no other manifest references: it reads the links, then queries for other references,
then writes the links at the versions that it read. So a change in between makes the commit fail.
"""

from collections import Counter
from collections.abc import Sequence, Set
from datetime import datetime, timedelta
from typing import Any

from lading.registry.content import blob_links
from lading.registry.errors import MANIFEST_BLOB_UNKNOWN, RegistryError
from lading.registry.fan_out import query_each
from lading_storage.protocols import Delete, Found, MetadataStore, Touch, Write
from lading_storage.query import Query
from lading_storage.records.core import Blob, Key, Link, Manifest
from lading_storage.records.deleted import DeletedLink


def dependencies_of(manifest: Manifest) -> list[Key[Any]]:
    """Return the keys of all that a manifest needs in its repository to be complete."""
    links = [Key(Link, digest, manifest.repository) for digest in manifest.blobs]
    return [*links, *(Key(Manifest, digest, manifest.repository) for digest in manifest.children)]


def required_dependencies_of(manifest: Manifest) -> list[Key[Any]]:
    """Return the keys of `dependencies_of`, without what the manifest may lack."""
    may_lack = {*manifest.may_lack}
    return [key for key in dependencies_of(manifest) if key.id not in may_lack]


def hidden_dependencies_of(manifest: Manifest) -> list[Key[Any]]:
    """Return the keys to read in addition to `dependencies_of`, to find those that are hidden."""
    hidden = [Key(DeletedLink, digest, manifest.repository) for digest in manifest.blobs]
    return [*hidden, *(Key(Blob, digest) for digest in manifest.blobs)]


def reference_writes(
    found: Found,
    manifest: Manifest,
    now: datetime,
    hidden_for: timedelta = timedelta.max,
    damaged: Set[str] = frozenset(),
) -> list[Write]:
    """Return the writes by which a manifest references its dependencies.

    Args:
        found: the records of `dependencies_of`, and of `hidden_dependencies_of` unless all of the former exist.
        manifest: the manifest that is put or restored.
        now: the time from which links are referenced.
        hidden_for: a link that has been hidden for this time or longer counts as missing.
        damaged: digests of links and children that count as missing (damage.damaged_among).

    Raises:
        RegistryError: MANIFEST_BLOB_UNKNOWN with each digest that is missing.
    """
    writes: list[Write] = []
    missing, may_lack = [], {*manifest.may_lack}
    for key in dependencies_of(manifest):
        record = found[key]
        hidden = found[Key(DeletedLink, key.id, key.repository)] if key.kind is Link else None
        if key.id in damaged:
            missing.append(key.id)
        elif isinstance(record, Link):
            writes += [blob_links.reference(record, now), *([Delete(hidden)] if hidden else [])]
        elif record is not None:
            writes.append(Touch(key))
        elif hidden and (blob := _if_undamaged(found[Key(Blob, key.id)])) and now - hidden.hidden_at < hidden_for:
            writes += blob_links.unhide(hidden, blob, now)
        elif key.id not in may_lack:
            missing.append(key.id)
    if missing:
        raise RegistryError(MANIFEST_BLOB_UNKNOWN, [{"digest": digest} for digest in missing])
    return writes


def _if_undamaged(blob: Blob | None) -> Blob | None:
    """Return the blob, or None if there is none or its bytes are damaged."""
    return None if blob is None or blob.damaged else blob


def is_referenced(metadata: MetadataStore, link: Link, kind: type[Manifest] = Manifest) -> bool:
    """Return whether a manifest of this `kind` in the link's repository references its blob, with one query."""
    return bool(metadata.find(Query(kind, {"blobs": link.id}, repository=link.repository, limit=1)))


def object_of(found: Found, manifest: Manifest) -> str:
    """Return the object with a manifest's bytes, or "".

    After a collection and another push, this is another object than the one on the manifest's record.
    """
    if not manifest.object:
        return ""
    link, blob = found[Key(Link, manifest.id, manifest.repository)], found[Key(Blob, manifest.id)]
    holder = link or blob
    return holder.object if holder else manifest.object


def deletion_link_writes(
    metadata: MetadataStore, repository: str, deleted: Sequence[Manifest], blobs: Sequence[str], now: datetime
) -> list[Write]:
    """Return the writes to the links of some blobs in a commit that deletes manifests.

    A link is hidden unless another live manifest references it. Each link takes one query, and at most two writes.

    Args:
        metadata: to query.
        repository: where the manifests and links are.
        deleted: the manifests that the same commit deletes.
        blobs: digests of the blobs.
        now: the time from which links are hidden.
    """
    deleted_references = Counter(digest for manifest in deleted for digest in manifest.blobs)
    visible = [Key(Link, digest, repository) for digest in blobs]
    found = metadata.read([*visible, *(Key(DeletedLink, digest, repository) for digest in blobs)])
    ids = {manifest.id for manifest in deleted}

    def has_other_reference(digest: str) -> bool:
        where, limit = {"blobs": digest}, deleted_references[digest] + 1
        return any(
            each.id not in ids for each in metadata.find(Query(Manifest, where, repository=repository, limit=limit))
        )

    writes: list[Write] = []
    existing = [key for key in visible if found[key] is not None]
    for key, is_referenced in query_each(lambda key: has_other_reference(key.id), existing):
        link = found[key]
        assert link is not None
        earlier = found[Key(DeletedLink, key.id, repository)]
        writes += [blob_links.confirm(link)] if is_referenced else blob_links.hide(link, earlier, now)
    return writes

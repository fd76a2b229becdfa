"""What a manifest needs in its repository to be whole: the links of its blobs, and its children.

Who puts or restores a manifest reads all of it, and touches or shows it in the same commit. Who deletes manifests hides
the links that only these name: the links are read first, the other manifests that name them are looked for second, and
the links are written at the versions that were read. So whoever comes in between makes the commit fail.
"""

from collections import Counter
from collections.abc import Sequence, Set
from datetime import datetime, timedelta
from typing import Any

from lading.registry.content import blob_links
from lading.registry.errors import MANIFEST_BLOB_UNKNOWN, RegistryError
from lading.registry.fan_out import ask_each
from lading_storage.protocols import Delete, Found, MetadataStore, Touch, Write
from lading_storage.records.core import Blob, Key, Link, Manifest
from lading_storage.records.deleted import DeletedLink


def dependencies_of(manifest: Manifest) -> list[Key[Any]]:
    """The keys of all that must be in the repository for a manifest to be whole."""
    links = [Key(Link, digest, manifest.repository) for digest in manifest.blobs]
    return [*links, *(Key(Manifest, digest, manifest.repository) for digest in manifest.children)]


def required_dependencies_of(manifest: Manifest) -> list[Key[Any]]:
    """Return the keys of `needs_of`, but for what the manifest may lack."""
    may_lack = {*manifest.may_lack}
    return [key for key in dependencies_of(manifest) if key.id not in may_lack]


def hidden_dependencies_of(manifest: Manifest) -> list[Key[Any]]:
    """Return the keys that must be read besides `needs_of` to find what of it is hidden."""
    hidden = [Key(DeletedLink, digest, manifest.repository) for digest in manifest.blobs]
    return [*hidden, *(Key(Blob, digest) for digest in manifest.blobs)]


def reference_writes(
    found: Found,
    manifest: Manifest,
    now: datetime,
    hidden_for: timedelta = timedelta.max,
    damaged: Set[str] = frozenset(),
) -> list[Write]:
    """Return the writes of a manifest that needs what was found.

    Args:
        found: of `needs_of`, and of `hidden_dependencies_of` unless all of the former is there.
        manifest: the one that is put or restored.
        now: the time from which links are named.
        hidden_for: a link that has been hidden for so long or longer is not there.
        damaged: what of the links and children is as good as not there (damage.damaged_among).

    Raises:
        RegistryError: MANIFEST_BLOB_UNKNOWN with each digest that is not there.
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
    """A blob that was found, unless its bytes are damaged."""
    return None if blob is None or blob.damaged else blob


def is_referenced(metadata: MetadataStore, link: Link, kind: type[Manifest] = Manifest) -> bool:
    """Return whether a manifest of the link's repository, live or of another `kind`, names its blob: one query."""
    return bool(metadata.find(kind, {"blobs": link.id}, repository=link.repository, limit=1))


def object_of(found: Found, manifest: Manifest) -> str:
    """Return the object that holds a manifest's bytes: collected and pushed again, they are in another one; or ""."""
    if not manifest.object:
        return ""
    link, blob = found[Key(Link, manifest.id, manifest.repository)], found[Key(Blob, manifest.id)]
    holder = link or blob
    return holder.object if holder else manifest.object


def deletion_link_writes(
    metadata: MetadataStore, repository: str, going: Sequence[Manifest], blobs: Sequence[str], now: datetime
) -> list[Write]:
    """Return the writes about the links of some blobs, when `going` are deleted in the same commit.

    A link is hidden where no other live manifest names it. Each link takes one query, and at most two writes.
    """
    naming = Counter(digest for manifest in going for digest in manifest.blobs)
    visible = [Key(Link, digest, repository) for digest in blobs]
    found = metadata.read([*visible, *(Key(DeletedLink, digest, repository) for digest in blobs)])
    ids = {manifest.id for manifest in going}

    def stays(digest: str) -> bool:
        where, limit = {"blobs": digest}, naming[digest] + 1
        return any(each.id not in ids for each in metadata.find(Manifest, where, repository=repository, limit=limit))

    writes: list[Write] = []
    for key, is_named in ask_each(lambda key: stays(key.id), [key for key in visible if found[key] is not None]):
        link = found[key]
        assert link is not None
        earlier = found[Key(DeletedLink, key.id, repository)]
        writes += [blob_links.confirm(link)] if is_named else blob_links.hide(link, earlier, now)
    return writes

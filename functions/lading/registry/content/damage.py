"""Blobs that scrub marked as damaged: their bytes are missing or wrong until a push repairs them.

The mark on the blob's record is authoritative. Its links, the manifests that need it, the indexes above them, and the
tags of all of these copy it as a hint, so that intact content costs no additional read. A hint may be stale. For a
manifest that is stored as an object, the blob record of its own bytes is always checked.

A damaged blob is treated as missing: HEAD and GET return 404, it is not mounted, and no manifest may reference it, so
that clients push it again. HEAD returns 404 for a manifest that needs it as well: some clients (crane, oras, regctl)
push nothing for a manifest that exists. GET returns the manifest, since the rest of what it needs is intact.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from lading.leader import step_down
from lading_storage.protocols import MAX_CONTENT_SIZE, Found, MetadataStore, Replace, Write
from lading_storage.records.core import Blob, Key, Link, Manifest, Record, Tag

MAX_RECORDS: Final = 20_000
"""Records that are read to decide whether a manifest is intact. If it needs more, the hint decides."""


def is_damaged(metadata: MetadataStore, record: Link | Manifest | Tag) -> bool:
    """Return whether the bytes of `record` are marked as damaged; read the blob's record only if they may be."""
    return _may_be_damaged(record) and bool(_damaged(metadata, [_digest(record)]))


def is_intact(metadata: MetadataStore, record: Manifest | Tag) -> bool:
    """Return whether no blob that a manifest, or the manifest of a tag, needs is marked as damaged.

    This includes what the manifests below it need, at any depth. Without a hint, it reads nothing.
    """
    if not record.damaged:
        return True
    # These reads must not delay other requests.
    step_down()
    manifest: Manifest | None
    if isinstance(record, Tag):
        key = Key(Manifest, record.digest, record.repository)
        manifest = metadata.read([key], content=False)[key]
    else:
        manifest = record
    return manifest is None or not _needs_damaged(metadata, manifest)


def damaged_among(metadata: MetadataStore, found: Found, keys: Sequence[Key[Any]]) -> set[str]:
    """Return the digests of those links and manifests among the records of `keys` that are damaged or not intact."""
    records = [record for key in keys if (record := found[key]) is not None]
    damaged = _damaged(metadata, [record.id for record in records if _may_be_damaged(record)])
    manifests = [record for record in records if isinstance(record, Manifest)]
    return damaged | {manifest.id for manifest in manifests if not is_intact(metadata, manifest)}


def clear_hint(link: Link, blob: Blob) -> list[Write]:
    """Return the writes that remove a stale hint, on the condition that the blob is still not marked."""
    return [Replace(replace(link, damaged=False)), Replace(blob)]


def _needs_damaged(metadata: MetadataStore, root: Manifest) -> bool:
    """Return whether a blob that `root`, or a manifest below it, needs is marked: breadth-first, by the hints.

    A manifest without a hint is intact: scrub sets the hints from the bottom up.
    """
    level, seen, count = [root] if root.damaged else [], set[Key[Any]](), 0
    while level:
        keys = dict.fromkeys(key for manifest in level for key in _needed_keys(manifest) if key not in seen)
        seen |= keys.keys()
        count += len(keys)
        if count > MAX_RECORDS:
            return True
        found = metadata.read(list(keys), content=False)
        if any(blob.damaged for key in keys if isinstance(blob := found[key], Blob)):
            return True
        level = [child for key in keys if isinstance(child := found[key], Manifest) and child.damaged]
    return False


def _needed_keys(manifest: Manifest) -> list[Key[Any]]:
    """Return the keys of the blobs and children of a manifest."""
    blobs: list[Key[Any]] = [Key(Blob, digest) for digest in manifest.blobs]
    return [*blobs, *(Key(Manifest, digest, manifest.repository) for digest in manifest.children)]


def _may_be_damaged(record: Record) -> bool:
    if isinstance(record, Link):
        return record.damaged
    if isinstance(record, Manifest):
        return bool(record.object)
    return isinstance(record, Tag) and record.size > MAX_CONTENT_SIZE


def _digest(record: Link | Manifest | Tag) -> str:
    return record.digest if isinstance(record, Tag) else record.id


def _damaged(metadata: MetadataStore, digests: Sequence[str]) -> set[str]:
    if not digests:
        return set()
    # This second read must not delay other requests.
    step_down()
    keys = [Key(Blob, digest) for digest in digests]
    found = metadata.read(keys)
    return {key.id for key in keys if (blob := found[key]) is not None and blob.damaged}

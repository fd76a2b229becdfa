"""Blobs that scrub marked as damaged: their bytes are missing or wrong, until a push puts the right ones back.

The mark is on the blob's record, which alone decides. Its links, the manifests that need it, the indexes above these
and the tags of all of them repeat it as a hint, so that nothing good costs one read more; a hint may be stale. A
manifest that is kept as an object is always asked for its own bytes.

Such a blob is as good as none: HEAD and GET do not find it, it is not mounted, and no manifest may name it, so that
clients push it again. HEAD does not find a manifest that needs it either: some clients (crane, oras, regctl) push
nothing of one that is there. GET does, since what else it needs is good.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from lading.server.leader import step_down
from lading_storage.protocols import MAX_CONTENT_SIZE, Found, MetadataStore, Replace, Write
from lading_storage.records.core import Blob, Key, Link, Manifest, Record, Tag

MAX_RECORDS: Final = 20_000
"""Records that are read to tell whether a manifest is whole. For what needs more, the hint decides."""


def is_damaged(metadata: MetadataStore, record: Link | Manifest | Tag) -> bool:
    """Return whether the bytes that `record` leads to are marked; reads the blob's record only where they may be."""
    return _may_be_damaged(record) and bool(_damaged(metadata, [_digest(record)]))


def is_intact(metadata: MetadataStore, record: Manifest | Tag) -> bool:
    """Return whether no blob is marked that a manifest, or what a tag names, needs; reads only where it is hinted at.

    What manifests below it need counts as well, however deep they are.
    """
    if not record.damaged:
        return True
    # More reads: other requests must not wait for them.
    step_down()
    manifest: Manifest | None
    if isinstance(record, Tag):
        key = Key(Manifest, record.digest, record.repository)
        manifest = metadata.read([key], content=False)[key]
    else:
        manifest = record
    return manifest is None or not _needs_damaged(metadata, manifest)


def damaged_among(metadata: MetadataStore, found: Found, keys: Sequence[Key[Any]]) -> set[str]:
    """Return the digests of those links and manifests that were found under `keys` and are marked or not whole."""
    records = [record for key in keys if (record := found[key]) is not None]
    damaged = _damaged(metadata, [record.id for record in records if _may_be_damaged(record)])
    manifests = [record for record in records if isinstance(record, Manifest)]
    return damaged | {manifest.id for manifest in manifests if not is_intact(metadata, manifest)}


def clear_hint(link: Link, blob: Blob) -> list[Write]:
    """Return the writes that remove a stale hint, beside a blob that is not marked and must stay so meanwhile."""
    return [Replace(replace(link, damaged=False)), Replace(blob)]


def _needs_damaged(metadata: MetadataStore, root: Manifest) -> bool:
    """Return whether a blob is marked that `root` needs, or a manifest below it: level by level of those with a hint.

    One without a hint is whole: scrub hints at what is below before what is above.
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
    # A second read: other requests must not wait for it.
    step_down()
    keys = [Key(Blob, digest) for digest in digests]
    found = metadata.read(keys)
    return {key.id for key in keys if (blob := found[key]) is not None and blob.damaged}

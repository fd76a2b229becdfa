"""Blobs that scrub marked as damaged: their bytes are missing or wrong, until a push puts the right ones back.

The mark is on the blob's record, which alone decides. Its links repeat it as a hint, so that nothing good costs one
read more; a hint may be stale. A manifest that is kept as an object has no hint: there the blob is always asked.
Such a blob is as good as none: HEAD and GET do not find it, it is not mounted, and no manifest may name it, so that
clients push it again.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from functions.desk import leave
from storage.protocols import MOST_CONTENT, Found, MetadataStore, Replace, Write
from storage.records import Blob, Key, Link, Manifest, Record, Tag


def is_damaged(metadata: MetadataStore, record: Link | Manifest | Tag) -> bool:
    """Return whether the bytes that `record` leads to are marked; reads the blob's record only where they may be."""
    return _may_be(record) and bool(_damaged(metadata, [_digest(record)]))


def damaged_among(metadata: MetadataStore, found: Found, keys: Sequence[Key[Any]]) -> set[str]:
    """Return the digests of those links and manifests that were found under `keys` and whose bytes are marked."""
    records = [record for key in keys if (record := found[key]) is not None]
    return _damaged(metadata, [record.id for record in records if _may_be(record)])


def cleared(link: Link, blob: Blob) -> list[Write]:
    """Return the writes that remove a stale hint, beside a blob that is not marked and must stay so meanwhile."""
    return [Replace(replace(link, damaged=False)), Replace(blob)]


def _may_be(record: Record) -> bool:
    if isinstance(record, Link):
        return record.damaged
    if isinstance(record, Manifest):
        return bool(record.object)
    return isinstance(record, Tag) and record.size > MOST_CONTENT


def _digest(record: Link | Manifest | Tag) -> str:
    return record.digest if isinstance(record, Tag) else record.id


def _damaged(metadata: MetadataStore, digests: Sequence[str]) -> set[str]:
    if not digests:
        return set()
    # A second read: other requests must not wait for it.
    leave()
    keys = [Key(Blob, digest) for digest in digests]
    found = metadata.read(keys)
    return {key.id for key in keys if (blob := found[key]) is not None and blob.damaged}

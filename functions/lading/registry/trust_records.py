"""Writes to the trust in a manifest that accompany a change of its signatures.

    signature put, deleted, restored       ─┐
    tag sha256-….sig moved, deleted        ─┴─▶ Trust(subject) stale, in the same commit
    subject purged                         ───▶ Trust(subject) deleted

    verification:  reads Trust first, lists signatures second, commits Trust at the version that it read third

So of a change and a verification that collide, the second one conflicts and is decided again: no trust that is not
stale counts a signature that was deleted, or lacks one that is there. All changes of tags come here by Tags.move and
Tags.drop. What is not a signature reads and writes nothing more.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from lading_storage.protocols import Create, Delete, Found, Replace, Touch, Write, key_of
from lading_storage.records.core import Key, Manifest
from lading_storage.records.deleted import DeletedManifest
from lading_storage.records.trust import Trust

SIGNATURE_TYPES: Final = frozenset(
    {"application/vnd.dev.sigstore.bundle.v0.3+json", "application/vnd.cncf.notary.signature"}
)
"""Types of artifacts that may be signatures of their subject (lading.signatures.signature, which no push imports)."""

TRUST_SIZE: Final = 2_500
"""Bytes that a trust adds to a commit at most, unless it has exceptions (lading_storage.commit_size)."""

_SIGNATURE_TAG: Final = re.compile(r"sha256-([0-9a-f]{64})\.sig")


def signature_tag(digest: str) -> str:
    """Return the tag under which cosign 1 and 2 put the signatures of a manifest, or "" if its digest has none."""
    tag = digest.replace(":", "-") + ".sig"
    return tag if _SIGNATURE_TAG.fullmatch(tag) else ""


def digest_signed_by_tag(tag: str) -> str:
    """Return the digest of the manifest whose signatures a tag names, or "" if it is none of cosign's."""
    match = _SIGNATURE_TAG.fullmatch(tag)
    return f"sha256:{match[1]}" if match else ""


def is_signature(manifest: Manifest) -> bool:
    """Return whether a manifest may be a signature of its subject; one that a tag attaches is none by itself."""
    # Earlier releases recorded types as they were pushed.
    return bool(manifest.subject) and manifest.artifact_type.lower() in SIGNATURE_TYPES


def trust_keys(repository: str, manifests: Iterable[Manifest] = (), tags: Iterable[str] = ()) -> list[Key[Trust]]:
    """Return the keys of all trust that depends on some manifests and tags, each once: none for most."""
    subjects = [each.subject for each in manifests if is_signature(each)]
    subjects += [subject for tag in tags if (subject := digest_signed_by_tag(tag))]
    return [Key(Trust, each, repository) for each in dict.fromkeys(subjects)]


def stale_writes(found: Found, keys: Sequence[Key[Trust]], now: datetime, others: Iterable[Write] = ()) -> list[Write]:
    """Return the writes that make trust stale.

    Args:
        found: with the records of `keys`.
        keys: of the trust, as `trust_keys` returns them.
        now: the time of the commit.
        others: further writes of the commit; trust among them is stale already.

    Raises:
        AssertionError: a record was not read.
    """
    if not keys:
        return []
    done = {key_of(each) for each in others}
    return [_stale_write(found, key, now) for key in keys if key not in done]


def purge_keys(tombstone: DeletedManifest) -> list[Key[Any]]:
    """Return the keys to read before `purge_writes`."""
    own = Key(Trust, tombstone.id, tombstone.repository)
    return [own, *(unsigned_keys(tombstone.repository, tombstone.subject) if is_signature(tombstone) else [])]


def purge_writes(found: Found, tombstone: DeletedManifest) -> list[Write]:
    """Return the writes that delete trust in a commit that purges a tombstone whose manifest is not live."""
    trust = found[Key(Trust, tombstone.id, tombstone.repository)]
    writes: list[Write] = [Delete(trust)] if trust is not None else []
    if is_signature(tombstone):
        writes += unsigned_writes(found, tombstone.repository, tombstone.subject)
    return writes


def unsigned_keys(repository: str, subject: str) -> list[Key[Any]]:
    """Return the keys to read before `unsigned_writes`; none where `subject` is ""."""
    return [Key(kind, subject, repository) for kind in (Trust, Manifest, DeletedManifest)] if subject else []


def unsigned_writes(found: Found, repository: str, subject: str) -> list[Write]:
    """Return the writes that delete the trust in a manifest that does not exist, when one of its signatures is purged.

    Otherwise it would remain for ever: no purge of the manifest comes. Where other signatures remain, this is safe: the
    next change of one creates it again, and a verification relies on the manifest.
    """
    keys = unsigned_keys(repository, subject)
    if not keys:
        return []
    trust, *manifests = (found[key] for key in keys)
    return [Delete(trust)] if trust is not None and not any(manifests) else []


def _stale_write(found: Found, key: Key[Trust], now: datetime) -> Write:
    if not found.has_read(key):
        raise AssertionError("a change of a signature that has not read the trust")  # also with python -O
    trust = found[key]
    if trust is None:
        return Create(Trust(id=key.id, repository=key.repository, created=now))
    if trust.verified is None:
        # A new version, for a verification that has read this one.
        return Touch(key, trust.version)
    return Replace(as_stale(trust))


def as_stale(trust: Trust) -> Trust:
    """Return trust of which only the exceptions count. What held signatures is verified before others."""
    stale = Trust(id=trust.id, repository=trust.repository, created=trust.created)
    return replace(stale, exceptions=trust.exceptions, holders=trust.holders, version=trust.version)

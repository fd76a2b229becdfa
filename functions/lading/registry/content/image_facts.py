"""The facts that a put of an image creates, in the same commit: whatever happens then, the image is scanned.

This is all of scanning that a push knows. A put of an image that has facts, by whichever tag, leaves them as they are.
Where signed VEX documents count, the push of a referrer that may be one makes its subject due for a comparison.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final

from lading.registry.change_context import Clock
from lading.registry.content.referrer_tags import is_referrer_tag
from lading.registry.retry import retry_on_conflict
from lading_storage.protocols import Create, Found, MetadataStore, Replace, Write
from lading_storage.records.core import Key, Manifest
from lading_storage.records.scans import MATCH, SCAN, Facts

WAITING: Final = "waiting"
"""The state of an image that was not scanned yet (lading.scanning.findings, which no push imports)."""

ATTESTATION_TYPES: Final = (
    "application/vnd.dev.sigstore.bundle.v0.3+json",
    "application/vnd.dsse.envelope.v1+json",
    "application/vnd.in-toto+json",
)
"""Types of artifacts and layers that may be signed statements: of cosign 3, of cosign 1 and 2, and unsigned ones."""


def facts_key(manifest: Manifest) -> Key[Facts]:
    """Return the key of the facts about an image."""
    return Key(Facts, manifest.digest, manifest.repository)


def new_facts(key: Key[Facts], now: datetime) -> Facts:
    """Return the facts about an image that is to be scanned from `now` on."""
    return Facts(id=key.id, repository=key.repository, state=WAITING, task=SCAN, next=now, created=now)


def new_facts_writes(found: Found, keys: Sequence[Key[Facts]], now: datetime) -> list[Write]:
    """Return the writes that create those of the facts that do not exist, given the records of `keys`."""
    return [Create(new_facts(key, now)) for key in keys if found[key] is None]


def attestation_tag(digest: str) -> str:
    """Return the tag under which cosign 1 and 2 put the attestations of an image."""
    return f"{digest.replace(':', '-')}.att"


def make_comparison_due(metadata: MetadataStore, clock: Clock, manifest: Manifest, tags: Sequence[str]) -> None:
    """Make the subject of a manifest that was pushed due for a comparison, if the manifest may be a VEX document.

    A first scan that is due will find it. Where a scanner works on the image, the comparison comes after its result.
    """
    for subject in _subjects(manifest, tags):
        key = Key(Facts, subject, manifest.repository)
        retry_on_conflict(lambda each=key: _make_due(metadata, clock, each))  # type: ignore[misc]


def _subjects(manifest: Manifest, tags: Sequence[str]) -> Sequence[str]:
    """Return the digests of what an attestation is about."""
    if manifest.subject:
        return [manifest.subject] if manifest.artifact_type in ATTESTATION_TYPES else []
    own = [tag for tag in tags if is_referrer_tag(tag) and tag.endswith(".att")]
    return [tag.removesuffix(".att").replace("-", ":", 1) for tag in own[:1]]


def _make_due(metadata: MetadataStore, clock: Clock, key: Key[Facts]) -> None:
    found = metadata.read([key])
    facts, now = found[key], clock(found.read_at)
    if facts is None or not facts.task:
        return
    if facts.claim and not facts.compare_again:
        metadata.commit([Replace(replace(facts, compare_again=True))])
    elif not facts.claim and facts.task == MATCH and facts.next > now:
        metadata.commit([Replace(replace(facts, next=now))])

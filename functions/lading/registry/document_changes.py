"""Changes of the signed documents about an image, such as VEX: its packages are compared again at once.

    attestation pushed, restored, deleted ─▶ facts of its subject: due, or once more after the scan that is under way

A deletion and a restore do so in whatever process, also one that knows no keys; a push does where the registry has keys
(Registry.honour_documents). What is no attestation costs nothing.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final

from lading.registry.change_context import Clock
from lading.registry.retry import retry_on_conflict
from lading_storage.protocols import MetadataStore, Replace
from lading_storage.records.core import Key, Manifest, Tag
from lading_storage.records.scans import MATCH, Facts

ATTESTATION_TYPES: Final = (
    "application/vnd.dev.sigstore.bundle.v0.3+json",
    "application/vnd.dsse.envelope.v1+json",
    "application/vnd.in-toto+json",
)
"""Types of artifacts and layers that may be signed statements: of cosign 3, of cosign 1 and 2, and unsigned ones."""

_ATTESTATION_TAG: Final = re.compile(r"sha256-([0-9a-f]{64})\.att")


def attestation_tag(digest: str) -> str:
    """Return the tag under which cosign 1 and 2 put the attestations of an image."""
    return f"{digest.replace(':', '-')}.att"


def document_pushed(metadata: MetadataStore, clock: Clock, manifest: Manifest, tags: Sequence[str]) -> None:
    """Make the subject of a manifest that was pushed due for a comparison, if the manifest may be a signed document.

    A first scan that is due will find it. Where a scanner works on the image, the comparison comes after its result.
    """
    subjects = _subjects_of(manifest) or [subject for tag in tags for subject in _subjects_of_tag(tag)]
    for subject in subjects[:1]:
        _make_due(metadata, clock, Key(Facts, subject, manifest.repository), manifest.id)


def document_restored(metadata: MetadataStore, clock: Clock, record: Manifest | Tag) -> None:
    """Make the subject of a manifest or a tag that was restored due for a comparison, as a push does."""
    for key in _facts_of([record]):
        _make_due(metadata, clock, key, record.id)


def documents_deleted(metadata: MetadataStore, clock: Clock, records: Iterable[Manifest | Tag]) -> None:
    """Make the subjects of manifests and tags that were deleted due for a comparison, if documents had a part in it.

    It takes one read if some may have been signed documents, and else nothing.
    """
    documents = _facts_of(records)
    found = metadata.read([*documents], content=False) if documents else None
    for key, document in documents.items():
        if found is not None and (facts := found[key]) is not None and facts.has_documents:
            _make_due(metadata, clock, key, document)


def _facts_of(records: Iterable[Manifest | Tag]) -> dict[Key[Facts], str]:
    """Return the keys of the facts about what attestations are about, each with the id of one of these.

    Subjects that are among the records are left out.
    """
    documents = dict[Key[Facts], str]()
    gone = set[str]()
    for record in records:
        if isinstance(record, Tag):
            subjects = _subjects_of_tag(record.id)
        else:
            gone.add(record.id)
            subjects = _subjects_of(record)
        documents.update((Key(Facts, each, record.repository), record.id) for each in subjects)
    return {key: document for key, document in documents.items() if key.id not in gone}


def _subjects_of(manifest: Manifest) -> list[str]:
    return [manifest.subject] if manifest.subject and manifest.artifact_type in ATTESTATION_TYPES else []


def _subjects_of_tag(tag: str) -> list[str]:
    found = _ATTESTATION_TAG.fullmatch(tag)
    return [f"sha256:{found[1]}"] if found else []


def _make_due(metadata: MetadataStore, clock: Clock, key: Key[Facts], document: str) -> None:
    """Make an image due for a comparison, unless a document is the scanner's own."""
    retry_on_conflict(lambda: _try_to_make_due(metadata, clock, key, document))


def _try_to_make_due(metadata: MetadataStore, clock: Clock, key: Key[Facts], document: str) -> None:
    found = metadata.read([key])
    facts, now = found[key], clock(found.read_at)
    if facts is None or not facts.task or document in (facts.report, facts.sbom):
        return
    if facts.claim and not facts.compare_again:
        metadata.commit([Replace(replace(facts, compare_again=True))])
    elif not facts.claim and facts.task == MATCH and facts.next > now:
        metadata.commit([Replace(replace(facts, next=now))])

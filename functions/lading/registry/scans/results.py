"""Results: what becomes of the result of a scan.

    layers     ─▶ a LayerScan each                         commits of their own, which other images profit from
    documents  ─▶ blobs of the repository                  as any client pushes them
    all else   ─▶ facts, the manifests of the documents    one commit, at the version of the facts; it touches the image
                  and the removal of those before

A process that is killed leaves layers that are read, and blobs that collection removes; the claim ends, and the image
is tried again. A repeated result changes nothing, and one with another nonce neither.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

from lading.registry.change_context import ChangeContext, Clock
from lading.registry.content.dependencies import dependencies_of, hidden_dependencies_of, reference_writes
from lading.registry.content.uploads import Body, Uploads
from lading.registry.errors import (
    MANIFEST_BLOB_UNKNOWN,
    REQUEST_INVALID,
    SCAN_CLAIM_UNKNOWN,
    UNAVAILABLE,
    RegistryError,
)
from lading.registry.events.event_types import IMAGE_PUSHED, IMAGE_SCANNED
from lading.registry.events.outbox import image_event, next_image_time, observation
from lading.registry.repositories import revive_writes
from lading.registry.retry import retry_on_conflict
from lading.registry.scans.claim import ScanResult, bounded
from lading.registry.scans.claims import DELETED_WAIT, MATCH_INTERVAL, MAX_TRIES, given_up
from lading.registry.scans.documents import CYCLONEDX, EMPTY, IN_TOTO, SCANNER, Document
from lading.registry.scans.missing_data import came_lately
from lading.registry.scans.removal import removal_writes
from lading.registry.scans.vulnerability_data import see
from lading.scanning.findings import FAILED, WAITING
from lading_storage.digests import digest_of
from lading_storage.protocols import Create, Found, MetadataStore, Replace, Touch, Write
from lading_storage.records.core import Blob, Key, Link, Manifest, Repository
from lading_storage.records.deleted import DeletedManifest
from lading_storage.records.scans import MATCH, Facts, LayerScan

RETRY_WAIT: Final = timedelta(minutes=1)
"""Until an image is tried again whose scanner could not finish, for each try so far."""

LATE_DATA_WAIT: Final = timedelta(minutes=5)
"""Until an image is compared again with data that came while it was being compared."""

MAX_UPLOADS: Final = 3
"""How often the blobs of documents are uploaded: a collection may remove one before a manifest references it."""

CONTEXT: Final = ChangeContext("push", SCANNER)


class Results:
    """Results of the scans of one registry. Thread-safe."""

    def __init__(self, metadata: MetadataStore, uploads: Uploads, clock: Clock) -> None:
        """Write to `metadata`, and the documents by `uploads`."""
        self._metadata = metadata
        self._uploads = uploads
        self._clock = clock

    def accept(self, repository: str, digest: str, nonce: str, result: ScanResult) -> None:
        """Accept the result of a claim. Idempotent.

        The layers of an image that was deleted meanwhile are kept, and all else is dropped: after a restore the image
        is scanned again.

        Args:
            repository: of the claim.
            digest: of the claim.
            nonce: of the claim.
            result: what the scanner found.

        Raises:
            RegistryError: REQUEST_INVALID; SCAN_CLAIM_UNKNOWN if there is no such claim, or another scanner has
                taken the image over: nothing is changed.
        """
        result.check()
        key = Key(Facts, digest, repository)
        if not self._is_open(self._metadata.read([key], content=False)[key], nonce):
            return
        manifest = Key(Manifest, digest, repository)
        if (image := self._metadata.read([manifest], content=False)[manifest]) is not None:
            self._keep_layers(image, result)
        see(self._metadata, result.ecosystems, self._clock())
        documents = _documents(result)
        for _ in range(MAX_UPLOADS):
            try:
                self._upload(repository, documents)
                retry_on_conflict(lambda: self._try_to_accept(key, nonce, result, documents))
            except RegistryError as error:
                if error.descriptor != MANIFEST_BLOB_UNKNOWN:
                    raise
            else:
                return
        raise RegistryError(UNAVAILABLE)

    def _is_open(self, facts: Facts | None, nonce: str) -> bool:
        """Return whether a claim is open, or False if its result was accepted. Raises SCAN_CLAIM_UNKNOWN."""
        if facts is not None and nonce and facts.claim == nonce:
            return True
        if facts is not None and nonce and facts.accepted == nonce:
            return False
        raise RegistryError(SCAN_CLAIM_UNKNOWN)

    def _keep_layers(self, image: Manifest, result: ScanResult) -> None:
        """Keep the packages of the layers of an image that were read."""
        for digest, packages in result.kept_layers().items():
            if digest in image.blobs:
                retry_on_conflict(lambda each=digest, own=packages: self._keep_layer(each, own, result.extractor))  # type: ignore[misc]

    def _keep_layer(self, digest: str, packages: bytes, extractor: int) -> None:
        """Keep the packages of a layer.

        The commit touches the blob, so that it conflicts with one that deletes the blob and has not read this record.
        """
        key, blob = Key(LayerScan, digest), Key(Blob, digest)
        found = self._metadata.read([key, blob], content=False)
        current = found[key]
        if found[blob] is None or (current is not None and current.extractor >= extractor):
            return
        scan = LayerScan(
            id=digest, content=packages, size=len(packages), extractor=extractor, created=self._clock(found.read_at)
        )
        write = Create(scan) if current is None else Replace(replace(scan, version=current.version))
        self._metadata.commit([write, Touch(blob)])

    def _upload(self, repository: str, documents: Sequence[Document]) -> None:
        """Upload the blobs of documents that the repository lacks, as a client does before it pushes a manifest."""
        contents = [EMPTY, *(document.content for document in documents)] if documents else []
        keys = {Key(Link, digest_of(content), repository): content for content in contents}
        found = self._metadata.read([*keys], content=False) if keys else None
        for content in (content for key, content in keys.items() if found is None or found[key] is None):
            upload = self._uploads.start(repository, SCANNER)
            body = Body([content], len(content))
            self._uploads.finish(repository, upload.id, digest_of(content), body, SCANNER)

    def _try_to_accept(self, key: Key[Facts], nonce: str, result: ScanResult, documents: Sequence[Document]) -> None:
        facts = self._metadata.read([key])[key]
        if not self._is_open(facts, nonce):
            return
        assert facts is not None
        image_key = Key(Manifest, key.id, key.repository)
        image = self._metadata.read([image_key], content=False)[image_key]
        if image is None:
            put_off = replace(facts, claim="", accepted=nonce, tries=0, next=self._clock() + DELETED_WAIT)
            self._metadata.commit([Replace(put_off)])
            return
        now = self._clock()
        updated = replace(_updated(facts, result, now), claim="", accepted=nonce)
        if updated.task == MATCH and came_lately(self._metadata, updated.missing, now):
            updated = replace(updated, next=now + LATE_DATA_WAIT)
        writes: list[Write] = []
        if documents:
            manifests = [document.manifest(image, result.at) for document in documents]
            updated = replace(updated, sbom=manifests[0].id, report=manifests[1].id, fingerprint=result.fingerprint)
            writes = self._document_writes(facts, manifests)
        if _is_news(facts, updated):
            writes.append(_scanned(image, updated, now))
        self._metadata.commit([Replace(updated), Touch(image.key, image.version), *writes])

    def _document_writes(self, facts: Facts, manifests: Sequence[Manifest]) -> list[Write]:
        """Return the writes that put the manifests of documents, and remove those before."""
        repository = facts.repository
        both = replace(manifests[0], blobs=tuple(dict.fromkeys(blob for each in manifests for blob in each.blobs)))
        before = [
            Key(Manifest, digest, repository)
            for digest in (facts.sbom, facts.report)
            if digest and digest not in [each.id for each in manifests]
        ]
        own: list[Key[Any]] = [each.key for each in manifests]
        own += [Key(DeletedManifest, each.id, repository) for each in manifests]
        needed = [*dependencies_of(both), *hidden_dependencies_of(both)]
        keys = [Key(Repository, repository), *own, *before, *needed]
        found = self._metadata.read(keys, content=False)
        now = self._clock(found.read_at)
        replaced = [record for each in before if (record := found[each]) is not None]
        return [
            *reference_writes(found, both, now),
            *revive_writes(found, repository, now),
            *_put_writes(found, manifests, now),
            *removal_writes(self._metadata, replaced, both.blobs, now, CONTEXT._replace(action="delete")),
        ]


def _is_news(before: Facts, after: Facts) -> bool:
    """Return whether a scan says something else than the one before: readers of events are told of nothing else."""
    said, says = ((each.state, each.counts, each.content or b"") for each in (before, after))
    return after.state != WAITING and said != says


def _scanned(image: Manifest, facts: Facts, now: datetime) -> Write:
    """Return the write of the event of a result."""
    scan = {"state": facts.state, "counts": json.loads(facts.counts or "{}")}
    return observation(IMAGE_SCANNED, image, now, CONTEXT._replace(action="scan"), {"scan": scan})


def _put_writes(found: Found, manifests: Iterable[Manifest], now: datetime) -> list[Write]:
    """Return the writes of the manifests of documents, and of their events; one that exists is only touched."""
    writes: list[Write] = []
    for each in manifests:
        if found[each.key] is not None:
            writes.append(Touch(each.key))
            continue
        tombstone = found[Key(DeletedManifest, each.id, each.repository)]
        moved = next_image_time(tombstone, now)
        manifest = replace(each, created=now, stamp=moved.stored_stamp)
        writes += [Create(manifest), image_event(IMAGE_PUSHED, manifest, moved, CONTEXT)]
    return writes


def _documents(result: ScanResult) -> Sequence[Document]:
    """Return the documents of a result, the SBOM first; none where those before are still right."""
    if result.sbom is None or result.report is None or not result.is_complete:
        return ()
    return Document(CYCLONEDX, result.sbom), Document(IN_TOTO, result.report)


def _updated(facts: Facts, result: ScanResult, now: datetime) -> Facts:
    """Return the facts with a result, except for the documents and the claim."""
    if result.state == WAITING:
        tried = replace(facts, reason=result.reason[:500], next=now + RETRY_WAIT * facts.tries)
        return given_up(tried, now) if facts.tries >= MAX_TRIES else tried
    if result.is_unchanged:
        if facts.at is None:
            raise RegistryError(REQUEST_INVALID, {"reason": "the image has no result that could be unchanged"})
        # With data that did not change, what was found before is what is found now.
        return replace(facts, task=MATCH, tries=0, at=result.at, next=_next_match(facts, now))
    if result.state == FAILED:
        return replace(facts, state=FAILED, task="", tries=0, reason=result.reason[:500], at=result.at)
    return replace(
        facts,
        state=result.state,
        task=MATCH,
        next=_next_match(facts, now),
        tries=0,
        reason=result.reason[:500],
        at=result.at,
        counts=json.dumps(dict(result.counts), separators=(",", ":")),
        exploited=result.exploited,
        content=result.worst,
        size=len(result.worst),
        truncated=result.truncated,
        notes=bounded(result.notes),
        data=bounded([f"{name}={version}" for name, version in sorted(result.data.items())]),
        missing=bounded(sorted(result.missing)),
        extractor=result.extractor,
    )


def _next_match(facts: Facts, now: datetime) -> datetime:
    return now if facts.compare_again else now + MATCH_INTERVAL

"""Scans of images for readers: the result of each, and its SBOM.

    tag, digest ─▶ image ─▶ facts ─▶ state, data, what is missing     always
                              ├────▶ report ─▶ all vulnerabilities    by its digest, so that no other is read instead
                              └────▶ SBOM

The facts are what counts. A report is older than they are where newer data led to the same findings, and is not read
where the last scan failed. Where it was deleted or damaged, the worst findings are those in the facts.
"""

import json
from dataclasses import replace
from datetime import datetime
from typing import Final

from lading.json_values import parse
from lading.registry.change_context import Clock
from lading.registry.content.blobs import Blobs
from lading.registry.content.manifest_contents import Descriptor, is_image, read_contents
from lading.registry.content.manifests import Manifests
from lading.registry.errors import MANIFEST_UNKNOWN, REQUEST_INVALID, SBOM_UNKNOWN, RegistryError
from lading.registry.manifest_trees import ManifestTrees
from lading.registry.scan_summaries import summary_of
from lading.scanning.documents.scan_document import KNOWN_STATES, Count, ScanDocument, Vulnerability, read
from lading_storage.digests import algorithm_of, digest_of
from lading_storage.errors import Corrupt, ObjectNotFound
from lading_storage.protocols import MetadataStore
from lading_storage.records.core import Key, Manifest
from lading_storage.records.scans import BACKLOG, SCAN, Facts

NOT_SCANNED: Final = "not scanned"
"""The state of an image without facts: it was pushed while images were not scanned."""

NOT_AN_IMAGE: Final = "only images are scanned: manifests with the config of an image, and without a subject"

MAX_DOCUMENT: Final = 24 * 2**20
"""Bytes of a report or an SBOM that is read; a client reads responses of 32 MiB."""

NO_REPORT: Final = "its report cannot be read: only the worst vulnerabilities are listed"


class ImageScans:
    """Reads results of scans. Nothing is written, and no pull is recorded."""

    def __init__(self, metadata: MetadataStore, blobs: Blobs, manifests: Manifests, clock: Clock) -> None:
        """Read facts from `metadata`, and documents by `manifests` and `blobs`."""
        self._clock = clock
        self._metadata = metadata
        self._blobs = blobs
        self._manifests = manifests

    def image(self, repository: str, reference: str, platform: str = "", *, only_present: bool = False) -> str:
        """Return the digest of the image that a tag or digest names.

        Args:
            repository: where it is.
            reference: a tag, a digest, or a tag as of a time.
            platform: OS/ARCHITECTURE[/VARIANT], for an index of several images.
            only_present: as of Manifests.find.

        Raises:
            RegistryError: MANIFEST_UNKNOWN; REQUEST_INVALID if it is no image, or an index of several.
        """
        digest = self._manifests.find(repository, reference, only_present=only_present).digest
        trees = ManifestTrees(self._metadata, self._manifests, repository, [digest])
        if digest not in trees.records:
            raise RegistryError(MANIFEST_UNKNOWN, {"reference": reference})
        contents = trees.contents_of(digest)
        if is_image(contents) and not trees.records[digest].subject:
            return digest
        images = [each for each in contents.manifests if is_image(trees.contents_of(each.digest))]
        if not images:
            raise RegistryError(REQUEST_INVALID, {"reason": NOT_AN_IMAGE})
        return _chosen(images, platform).digest

    def document(self, repository: str, digest: str) -> ScanDocument:
        """Return the result of the scan of an image; of one that was not scanned, its state.

        Raises:
            RegistryError: MANIFEST_UNKNOWN.
        """
        facts = self._facts(repository, digest)
        if facts is None:
            return ScanDocument(digest=digest, state=NOT_SCANNED)
        known = ScanDocument(
            digest=digest,
            state=facts.state,
            reason=facts.reason,
            at=facts.at,
            pending=_is_pending(facts, self._clock()),
            counts=_counts(facts),
        )
        if facts.state not in KNOWN_STATES:
            return known
        data = {name: version for name, _, version in (each.partition("=") for each in facts.data)}
        report = self._report(facts)
        if report is not None:
            return replace(
                report, state=facts.state, reason=facts.reason, at=facts.at, pending=known.pending, data=data
            )
        return replace(
            known,
            data=data,
            missing=facts.missing,
            notes=(*facts.notes, NO_REPORT),
            vulnerabilities=_worst(facts),
        )

    def sbom(self, repository: str, digest: str) -> bytes:
        """Return the SBOM of an image, CycloneDX 1.6.

        Raises:
            RegistryError: MANIFEST_UNKNOWN; SBOM_UNKNOWN if there is none.
        """
        facts = self._facts(repository, digest)
        content = self._content(repository, facts.sbom) if facts and facts.sbom else None
        if content is None:
            state = facts.state if facts else NOT_SCANNED
            raise RegistryError(SBOM_UNKNOWN, {"digest": digest, "state": state})
        return content

    def _facts(self, repository: str, digest: str) -> Facts | None:
        manifest, key = Key(Manifest, digest, repository), Key(Facts, digest, repository)
        found = self._metadata.read([manifest, key])
        if found[manifest] is None:
            raise RegistryError(MANIFEST_UNKNOWN, {"reference": digest})
        return found[key]

    def _report(self, facts: Facts) -> ScanDocument | None:
        content = self._content(facts.repository, facts.report) if facts.report else None
        try:
            return None if content is None else read(content)
        except ValueError:
            return None

    def _content(self, repository: str, digest: str) -> bytes | None:
        """Return the document of a referrer; None where it is gone, damaged or too large."""
        key = Key(Manifest, digest, repository)
        manifest = self._metadata.read([key])[key]
        if manifest is None:
            return None
        try:
            layers = read_contents(self._manifests.content(manifest), manifest.media_type).layers
            if len(layers) != 1 or layers[0].size > MAX_DOCUMENT:
                return None
            link = self._blobs.get(repository, layers[0].digest)
            content = b"".join(self._blobs.open(link, 0, min(link.size, MAX_DOCUMENT)))
        except (ObjectNotFound, Corrupt, RegistryError):
            return None
        return content if digest_of(content, algorithm_of(layers[0].digest)) == layers[0].digest else None


def _is_pending(facts: Facts, now: datetime) -> bool:
    """Return whether a better result is due: a scan, or a comparison since data that was missing is there.

    The daily comparison with newer data does not count: for the rest, the result before is right.
    """
    return facts.task in (SCAN, BACKLOG) or bool(facts.missing and (facts.claim or facts.next <= now))


def _chosen(images: list[Descriptor], platform: str) -> Descriptor:
    """Return the image of an index for a platform, or its only one. Raises REQUEST_INVALID."""
    known = ", ".join(each.platform or each.digest for each in images)
    if not platform and len(images) == 1:
        return images[0]
    if not platform:
        raise RegistryError(REQUEST_INVALID, {"reason": f"there are several images, name a platform: {known}"})
    for each in images:
        if each.platform == platform or each.platform.startswith(f"{platform}/"):
            return each
    raise RegistryError(REQUEST_INVALID, {"reason": f"there is no image for {platform[:80]}, but for {known}"})


def _counts(facts: Facts) -> dict[str, Count] | None:
    counts = summary_of(facts).counts
    if counts is None:
        return None
    return {name: Count(fixable=count.fixable, unfixable=count.unfixable) for name, count in counts.items()}


def _worst(facts: Facts) -> tuple[Vulnerability, ...]:
    """Return the findings in the facts; none where another release wrote them."""
    try:
        return tuple(parse(Vulnerability, each) for each in json.loads(facts.content or b"[]"))
    except ValueError:
        return ()

"""Scans: what the layers above use of the scans of a registry."""

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from lading.registry.content.image_facts import WAITING, new_facts
from lading.registry.content.manifest_format import parse_manifest
from lading.registry.errors import MANIFEST_UNKNOWN, REQUEST_INVALID, RegistryError
from lading.registry.pagination import scan_all
from lading.registry.retry import retry_on_conflict
from lading.registry.scans.claims import Claims
from lading.registry.scans.content import Content
from lading.registry.scans.missing import MissingScans
from lading.registry.scans.results import Results
from lading.registry.scans.vulnerability_data import VulnerabilityArtifacts
from lading.scanning.findings import FAILED
from lading_storage.protocols import Create, Replace, Touch
from lading_storage.records.core import Key, Manifest
from lading_storage.records.scans import SCAN, Facts, VulnerabilityData

if TYPE_CHECKING:
    from lading.registry.scans.signed_referrers import SignedReferrers

READ_BATCH: Final = 100
"""Records that are read at once."""

NOT_AN_IMAGE = "only images are scanned: manifests with the config of an image, and without a subject"


class Scans:
    """Scans of one registry."""

    def __init__(self, content: Content, signed: "SignedReferrers | None" = None) -> None:
        """Keep what is known of the images of `content`; `signed` where signed documents count."""
        self._content = content
        self._metadata = content.metadata
        self._clock = content.clock
        self.claims = Claims(content.metadata, content.manifests, content.clock, signed)
        self.missing = MissingScans(content)
        self.results = Results(content.metadata, content.uploads, content.clock)

    def vulnerability_data(self, repository: str) -> VulnerabilityArtifacts:
        """Return the vulnerability data in a repository."""
        return VulnerabilityArtifacts(self._content, repository)

    def data_digests(self) -> set[str]:
        """Return the digests of the artifacts with vulnerability data that are on record, with one query."""
        return {each.digest for each in scan_all(self._metadata, VulnerabilityData) if each.digest}

    def documents_of(self, repository: str, digests: Iterable[str]) -> set[str]:
        """Return the digests of the documents about some images, with a read for each READ_BATCH of them."""
        found, keys = set[str](), [Key(Facts, each, repository) for each in digests]
        for begin in range(0, len(keys), READ_BATCH):
            batch = keys[begin : begin + READ_BATCH]
            read = self._metadata.read(batch, content=False)
            found.update(each for key in batch if (facts := read[key]) for each in (facts.sbom, facts.report) if each)
        return found

    def is_held(self, repository: str, digest: str, nonce: str) -> bool:
        """Return whether the scanner with this nonce holds the claim of an image, with one read."""
        key = Key(Facts, digest, repository)
        facts = self._metadata.read([key], content=False)[key]
        return facts is not None and bool(nonce) and facts.claim == nonce

    def facts(self, repository: str, digest: str) -> Facts | None:
        """Return the facts about an image, with one read; None for what is not scanned.

        Raises:
            RegistryError: MANIFEST_UNKNOWN.
        """
        manifest, key = Key(Manifest, digest, repository), Key(Facts, digest, repository)
        found = self._metadata.read([manifest, key])
        if found[manifest] is None:
            raise RegistryError(MANIFEST_UNKNOWN, {"reference": digest})
        return found[key]

    def again(self, repository: str, digest: str) -> Facts:
        """Make an image due for a scan, whatever was found before, and return its facts.

        The result before stays until the new one is accepted. A scan that is waiting, or that a scanner works on, is
        left alone.

        Raises:
            RegistryError: MANIFEST_UNKNOWN; REQUEST_INVALID if it is no image.
        """
        return retry_on_conflict(lambda: self._try_again(repository, digest))

    def _try_again(self, repository: str, digest: str) -> Facts:
        key, manifest_key = Key(Facts, digest, repository), Key(Manifest, digest, repository)
        found = self._metadata.read([key, manifest_key])
        facts, manifest, now = found[key], found[manifest_key], self._clock(found.read_at)
        if manifest is None:
            raise RegistryError(MANIFEST_UNKNOWN, {"reference": digest})
        if facts is None:
            if not parse_manifest(self._content.manifests.content(manifest), manifest.media_type).is_runnable:
                raise RegistryError(REQUEST_INVALID, {"reason": NOT_AN_IMAGE})
            facts = new_facts(key, now)
            self._metadata.commit([Create(facts), Touch(manifest_key)])
            return facts
        if facts.task == SCAN and bool(facts.claim) == (facts.next > now):
            return facts  # due, or a scanner works on it; not one that is put off, such as while it was deleted
        state = WAITING if facts.state == FAILED else facts.state
        due = replace(facts, state=state, task=SCAN, next=now, tries=0, claim="", reason="", fingerprint="")
        self._metadata.commit([Replace(due), Touch(manifest_key)])
        return due

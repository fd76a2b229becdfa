"""Claim: what a scanner is to do with one image, until when; and ScanResult: what it found."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from lading.registry.content.manifest_contents import Descriptor
from lading.registry.errors import REQUEST_INVALID, RegistryError
from lading.scanning.findings import DONE, FAILED, PARTIAL, SEVERITIES, UNSUPPORTED, WAITING
from lading_storage.protocols import MAX_CONTENT_SIZE
from lading_storage.records.scans import MATCH

MAX_WORST: Final = 200
"""Findings that the facts about an image list, the worst first."""

MAX_NOTES: Final = 200
MAX_NOTE_LENGTH: Final = 500
"""Notes and names that facts keep, and characters of each: an image decides how many there are."""

MAX_WORST_SIZE: Final = 256 * 1024
"""Bytes of the worst findings as JSON."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimedLayer:
    """Layer of an image.

    Attributes:
        digest: of the blob as stored.
        media_type: as the manifest says.
        size: in bytes, as the manifest says.
        packages: the content of its LayerScan, or None if the layer has to be read.
    """

    digest: str
    media_type: str
    size: int
    packages: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedDocument:
    """Verified document about an image: OpenVEX, an SBOM, or the report of another scanner.

    Attributes:
        digest: of the envelope or bundle in which it was signed.
        key: the name of the key of the configuration that signed it.
        predicate_type: says what it is.
        content: the document, as JSON.
    """

    digest: str
    key: str
    predicate_type: str
    content: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """Image that one scanner works on.

    Attributes:
        repository: where the image is.
        digest: of its manifest.
        nonce: proves that a result belongs to this claim.
        task: SCAN or MATCH (lading_storage.records.scans). The same work: a match finds most layers read.
        until: when the image becomes due for other scanners.
        config: the configuration of the image.
        layers: from the lowest to the uppermost; a digest can occur more than once.
        data: the versions of the vulnerability data of the last result, by ecosystem.
        missing: the ecosystems of which there was no data then.
        fingerprint: of the documents that are attached to the image, or "" if some are needed in any case.
        signed: the documents about the image that count.
        notes: about those that may count, and could not be read: the result is partial.
        remarks: about those that do not count.
    """

    repository: str
    digest: str
    nonce: str
    task: str
    until: datetime
    config: Descriptor | None
    layers: Sequence[ClaimedLayer]
    data: Mapping[str, str] = field(default_factory=dict)
    missing: Sequence[str] = ()
    fingerprint: str = ""
    signed: Sequence[SignedDocument] = ()
    notes: Sequence[str] = ()
    remarks: Sequence[str] = ()

    @property
    def is_match(self) -> bool:
        """Whether packages that are known are compared with newer data, rather than read from the layers."""
        return self.task == MATCH

    @property
    def signed_version(self) -> str:
        """What identifies the signed documents, the notes and the remarks; "" where there are none."""
        found = [*(f"{each.digest} {each.key}" for each in self.signed), *self.notes, *self.remarks]
        return hashlib.sha256(json.dumps(sorted(found)).encode()).hexdigest()[:12] if found else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanResult:
    """Result of the work on a claim.

    Attributes:
        state: DONE, PARTIAL, UNSUPPORTED or FAILED, which are final; WAITING if the image is to be tried again.
        at: when the packages were compared with the data, or the work ended.
        reason: why the state is UNSUPPORTED, FAILED or WAITING.
        is_unchanged: whether nothing was compared, since the data is that of the last result. Only when the image was
            looked at is recorded.
        counts: how many findings each severity has, those with a fix and those without.
        exploited: how many findings are known to be exploited, or -1 if that is not known.
        worst: at most MAX_WORST findings, as JSON.
        truncated: the number of the other findings.
        notes: what makes the result partial.
        data: the versions of the data that was used, by ecosystem.
        missing: the ecosystems of which there is no data.
        ecosystems: the ecosystems of OSV whose data the image needs, without releases: they will be downloaded.
        extractor: the version of the extractors.
        layers: the packages of layers that were read, encoded, by digest; also of a scan that did not finish.
        fingerprint: identifies what the documents are based on.
        sbom: a CycloneDX document, or None with `report` if `fingerprint` is that of the claim.
        report: an in-toto statement.
    """

    state: str
    at: datetime
    reason: str = ""
    is_unchanged: bool = False
    counts: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    exploited: int = -1
    worst: bytes = b"[]"
    truncated: int = 0
    notes: Sequence[str] = ()
    data: Mapping[str, str] = field(default_factory=dict)
    missing: Sequence[str] = ()
    ecosystems: Sequence[str] = ()
    extractor: int = 0
    layers: Mapping[str, bytes] = field(default_factory=dict)
    fingerprint: str = ""
    sbom: bytes | None = None
    report: bytes | None = None

    @property
    def is_complete(self) -> bool:
        """Whether the packages are known, as far as the state says."""
        return self.state in (DONE, PARTIAL, UNSUPPORTED)

    def check(self) -> None:
        """Raise REQUEST_INVALID where a record cannot hold the result, or its parts contradict one another."""
        if not (self.is_complete or self.state in (FAILED, WAITING)):
            raise _invalid("an unknown state")
        if len(self.worst) > MAX_WORST_SIZE or not self.counts.keys() <= {*SEVERITIES}:
            raise _invalid("more of the worst findings than facts hold, or an unknown severity")
        if (self.sbom is None) != (self.report is None):
            raise _invalid("an SBOM without a report, or the reverse")

    def kept_layers(self) -> Mapping[str, bytes]:
        """Return the layers that a record can hold; the others are read again each time."""
        return {digest: packages for digest, packages in self.layers.items() if len(packages) <= MAX_CONTENT_SIZE}


def bounded(texts: Sequence[str]) -> tuple[str, ...]:
    """Return texts as facts hold them: the first ones, each cut, and how many are left out."""
    kept = tuple(text if len(text) <= MAX_NOTE_LENGTH else f"{text[: MAX_NOTE_LENGTH - 1]}…" for text in texts)
    return kept if len(kept) <= MAX_NOTES else (*kept[: MAX_NOTES - 1], f"and {len(kept) - MAX_NOTES + 1} more")


def _invalid(reason: str) -> RegistryError:
    return RegistryError(REQUEST_INVALID, {"reason": f"the result of a scan has {reason}"})

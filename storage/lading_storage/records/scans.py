"""Records of scans: what is known of the packages and vulnerabilities of images.

    repositories/{name}
        facts/{digest}            the scan of one image: its state, its results, and when it is due next
    layer_scans/{digest}          the packages that one layer declares, whatever images it is part of
    vulnerability_data/{…}        the data about the vulnerabilities of one ecosystem, and who needs it

Facts are a record of their own, not fields of a manifest, since each push of an image touches its manifest. A push
creates them in its own commit, so that no image is pushed and never scanned; they stay beside a tombstone, so that a
restore needs no write, and the purge of the tombstone deletes them.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar, Final

from lading_storage.records.core import Record, due_entry

SCAN: Final = "scan"
BACKLOG: Final = "backlog"
MATCH: Final = "match"
"""Tasks: to read an image's layers; the same for one that waited before it was requested; to compare its known packages
with newer data."""

DOCUMENTS: Final = "documents"
"""The queue of comparisons in which signed documents had a part: another set of keys makes them due. The queues of the
other facts are their tasks."""

SIGNED: Final = "signed"
"""The name under which `Facts.data` identifies the signed documents about an image."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts(Record):
    """Facts about an image. The id is the digest of its manifest.

    Attributes:
        state: waiting, done, partial, unsupported or failed (lading.scanning.findings): of the last result, not of the
            task.
        task: SCAN, BACKLOG or MATCH, what is to be done next; "" where only a request can cause more.
        next: when the task is due. While a scanner works on it: when its claim ends.
        tries: how often the task was claimed since it was last finished.
        claim: the nonce of the current claim, or "".
        compare_again: whether a comparison is due as soon as the current claim has a result.
        accepted: the nonce of the claim whose result was accepted last, or "", so that a repeated result is recognised.
        reason: why the state is failed or unsupported, or why the last try did not finish; or "".
        created: when the facts were created.
        at: when the packages were last compared with the data, or None.
        counts: the number of findings by severity, as JSON: {"high": [FIXABLE, OTHERS]}; or "".
        exploited: the number of findings that are known to be exploited and count, or -1 if it is not known.
        content: the worst findings, as JSON, or None.
        size: bytes of `content`.
        truncated: the number of findings that `content` omits.
        notes: what makes the result partial.
        data: the versions of the vulnerability data that was used, as ECOSYSTEM=VERSION, sorted.
        missing: the ecosystems of which there was no data.
        extractor: the version of the extractors that read the layers.
        fingerprint: identifies the packages, findings and notes on which `sbom` and `report` are based.
        sbom: the digest of the referrer with the SBOM, or "".
        report: the digest of the referrer with the report, or "".
    """

    KIND: ClassVar[str] = "facts"
    NUMBER: ClassVar[int] = 24
    IN_REPOSITORY: ClassVar[bool] = True
    QUEUES: ClassVar[tuple[str, ...]] = (SCAN, BACKLOG, MATCH, DOCUMENTS)

    state: str
    task: str = ""
    next: datetime
    tries: int = 0
    claim: str = ""
    compare_again: bool = False
    accepted: str = ""
    reason: str = ""
    created: datetime
    at: datetime | None = None
    counts: str = ""
    exploited: int = -1
    content: bytes | None = None
    size: int = 0
    truncated: int = 0
    notes: tuple[str, ...] = ()
    data: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    extractor: int = 0
    fingerprint: str = ""
    sbom: str = ""
    report: str = ""

    @property
    def due(self) -> str:
        """Queue entry, see Record.due."""
        if not self.task:
            return ""
        return due_entry(DOCUMENTS if self.task == MATCH and self.has_documents else self.task, self.next)

    @property
    def has_documents(self) -> bool:
        """Whether documents by others about the image had a part in its result, if only by a remark."""
        return any(each.startswith(f"{SIGNED}=") for each in self.data)

    @property
    def omitted_content_size(self) -> int:
        """See Record.omitted_content_size."""
        return self.size if self.content is None else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerScan(Record):
    """Packages that one layer declares. The id is the digest of its blob, and all repositories share one record.

    The commit that deletes the blob deletes it.

    Attributes:
        content: the packages, as the scanner encodes them.
        size: bytes of `content`.
        extractor: the version of the extractors that read the layer.
        created: when it was read.
    """

    KIND: ClassVar[str] = "layer_scans"
    NUMBER: ClassVar[int] = 25
    NOT_IN_BACKUP: ClassVar[str] = "layers are read again where the packages are missing"

    content: bytes | None = None
    size: int
    extractor: int
    created: datetime

    @property
    def omitted_content_size(self) -> int:
        """See Record.omitted_content_size."""
        return self.size if self.content is None else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class VulnerabilityData(Record):
    """Data about the vulnerabilities of one ecosystem, such as "Debian". The id is its name.

    Attributes:
        seen: when an image first needed it.
        etag: the version of the source that was used, or "".
        digest: the digest of the artifact that holds the data, or "" while there is none.
        updated: when the data last changed, or None.
        checked: when the source was last asked, or None.
        error: why that failed, or "".
    """

    KIND: ClassVar[str] = "vulnerability_data"
    NUMBER: ClassVar[int] = 26

    seen: datetime
    etag: str = ""
    digest: str = ""
    updated: datetime | None = None
    checked: datetime | None = None
    error: str = ""

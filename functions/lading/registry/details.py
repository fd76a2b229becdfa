"""What people see of repositories, tags and manifests: the values, without the reads (registry.inspection)."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class RepositorySummary:
    """Repository, and when its first manifest was pushed."""

    name: str
    created: datetime


@dataclass(frozen=True, slots=True)
class FindingCount:
    """How many vulnerabilities of one severity an image has: those that an update fixes, and the others."""

    fixable: int
    unfixable: int

    @property
    def total(self) -> int:
        """All of them."""
        return self.fixable + self.unfixable


@dataclass(frozen=True, slots=True)
class ScanSummary:
    """Result of the scan of an image, or of the images of an index.

    state    waiting, done, partial, unsupported or failed. Only the counts of `done` are complete, as far as the data
             goes; of an index, if all its images are done
    at       when the packages were compared with the data, or None; of an index, the earliest
    reason   why it failed or is not supported, or ""
    counts   by severity, the worst first, without those of which there are none; of an index, those of its image with
             the worst ones. None where no packages were compared with data
    missing  the ecosystems of which there is no data, so that their packages were not compared
    """

    state: str
    at: datetime | None
    reason: str
    counts: Mapping[str, FindingCount] | None = None
    missing: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SignatureSummary:
    """Whether a signer that a policy names signed a manifest.

    state    signed, unsigned, or unverified: the next pull that needs it verifies it
    signers  the names that policies give those who signed it, the latest first
    """

    state: str
    signers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SignatureDetails:
    """Signature that holds.

    signer    the names that policies give the signer, or the fingerprint of one that no policy names any more
    identity  the subject of a certificate or an ID token, or ""
    issuer    of the ID token, or ""
    format    cosign-bundle, cosign-tag, notation-jws or notation-cose
    digest    of the manifest that holds the signature
    attached  when that was pushed
    expires   when it no longer counts, or None
    """

    signer: str
    identity: str
    issuer: str
    format: str
    digest: str
    attached: datetime
    expires: datetime | None = None


@dataclass(frozen=True, slots=True)
class TagSummary:
    """Tag and the manifest that it names.

    size       in bytes, of the manifest and everything below it, each once; None where a manifest cannot be read
    pushed     when the tag was last set to another manifest
    last_pull  of the manifest, to the hour, or None
    scan       of the manifest, or None where nothing below it was ever scanned
    signed     of the manifest itself, or None where no policy that names the repository names signers
    """

    repository: str
    tag: str
    digest: str
    media_type: str
    size: int | None
    pushed: datetime
    last_pull: datetime | None
    scan: ScanSummary | None = None
    signed: SignatureSummary | None = None


@dataclass(frozen=True, slots=True)
class LayerDetails:
    """Layer of an image, as its manifest describes it.

    damaged  whether its bytes are known to be missing or damaged
    """

    digest: str
    media_type: str
    size: int
    damaged: bool = False


@dataclass(frozen=True, slots=True)
class PlatformDetails:
    """Manifest of an index.

    platform  OS/ARCHITECTURE[/VARIANT], or the type of an attestation, or ""
    size      as TagSummary.size; None where the manifest is not in the repository
    damaged   whether the manifest is in the repository, and its bytes are missing or damaged
    scan      as TagSummary.scan
    """

    platform: str
    digest: str
    media_type: str
    size: int | None
    damaged: bool = False
    scan: ScanSummary | None = None


@dataclass(frozen=True, slots=True)
class ConfigDetails:
    """Configuration of an image.

    The fields from `platform` on are "" or empty where the blob is none of an image, larger than 1 MiB, or cannot be
    read. `created` is what the builder wrote, and `damaged` whether bytes that were to be read are missing or damaged.
    """

    digest: str
    media_type: str
    size: int
    damaged: bool = False
    platform: str = ""
    created: str = ""
    user: str = ""
    working_dir: str = ""
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    environment: tuple[str, ...] = ()
    ports: tuple[str, ...] = ()
    labels: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class ReferrerDetails:
    """Manifest that refers to another one: by its subject, or by a tag such as cosign's, in `tag`."""

    digest: str
    artifact_type: str
    size: int
    created: datetime | None
    tag: str


@dataclass(frozen=True, slots=True)
class ManifestDetails:
    """Manifest, by tag or digest.

    tag            by which it was named, or ""
    size           as TagSummary.size
    manifest_size  of the manifest alone, in bytes
    damaged        whether the manifest's own bytes are missing or damaged; what it says is not known then
    created        when the manifest was first pushed
    pushed         when the tag was last set; of several tags the latest; None where no tag names the manifest
    pushed_by      the principal that set it, or ""
    pushed_action  push, tag, rollback, restore, or ""
    tags           that name it, MAX_LISTED at most
    referrers      the same
    scan           as TagSummary.scan
    signed         as TagSummary.signed
    signatures     that hold; none while it is unverified
    """

    repository: str
    tag: str
    digest: str
    media_type: str
    artifact_type: str
    subject: str
    size: int | None
    manifest_size: int
    damaged: bool
    created: datetime
    pushed: datetime | None
    pushed_by: str
    pushed_action: str
    last_pull: datetime | None
    tags: tuple[str, ...]
    annotations: Mapping[str, str]
    platforms: tuple[PlatformDetails, ...]
    config: ConfigDetails | None
    layers: tuple[LayerDetails, ...]
    referrers: tuple[ReferrerDetails, ...]
    scan: ScanSummary | None = None
    signed: SignatureSummary | None = None
    signatures: tuple[SignatureDetails, ...] = ()


@dataclass(frozen=True, slots=True)
class DeletedSummary:
    """Deleted tag or manifest that can be restored.

    reference  by which `lading undelete` restores it
    kind       "tag" or "manifest"
    digest     of the manifest
    size       of the manifest alone, in bytes
    by         the principal that deleted it, or "" where the credentials named none
    until      when garbage collection may remove it
    """

    reference: str
    kind: str
    digest: str
    size: int
    deleted: datetime
    by: str
    until: datetime

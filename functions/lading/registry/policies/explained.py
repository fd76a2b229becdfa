"""What `lading why` shows: what policies decide about an image, and by which facts."""

from dataclasses import dataclass
from datetime import datetime

from lading.registry.details import ScanSummary


@dataclass(frozen=True, slots=True)
class ExplainedPolicy:
    """What one policy decides about an image.

    policy     its name
    mode       enforce or audit
    outcome    allowed, denied, audited or exempted
    reasons    why the image does not pass
    findings   the worst vulnerabilities because of which it does not
    exemption  why it is exempt, or ""
    """

    policy: str
    mode: str
    outcome: str
    reasons: tuple[str, ...] = ()
    findings: tuple[str, ...] = ()
    exemption: str = ""


@dataclass(frozen=True, slots=True)
class ExplainedSignature:
    """A signature that holds.

    signer  the name of the key, certificate or identity in a policy, or its fingerprint
    format  how it is written
    at      when it was pushed
    digest  of the manifest that holds it
    index   the digest of the index that it is of, which contains the image; "" for one of the image itself
    """

    signer: str
    format: str
    at: datetime
    digest: str
    index: str = ""


@dataclass(frozen=True, slots=True)
class ExplainedImage:
    """What policies decide about one image.

    digest      of its manifest
    outcome     allowed or denied
    policies    the decision of each policy
    signatures  those that hold, of signers that a policy names
    remarks     why other signatures do not count
    scan        what its scan found, or None where it was never scanned
    """

    digest: str
    outcome: str
    policies: tuple[ExplainedPolicy, ...]
    signatures: tuple[ExplainedSignature, ...] = ()
    remarks: tuple[str, ...] = ()
    scan: ScanSummary | None = None


@dataclass(frozen=True, slots=True)
class Explanation:
    """What policies decide about what a reference names.

    repository  its name
    reference   as it was asked for
    digest      of the manifest
    principal   for whom, or "" for an anonymous client
    outcome     allowed, or denied if one of the images is
    note        why nothing is judged, or ""
    images      the manifest, or the images of an index
    """

    repository: str
    reference: str
    digest: str
    principal: str
    outcome: str
    note: str = ""
    images: tuple[ExplainedImage, ...] = ()

"""Signatures of manifests: what is tried, with what, and what came out. Imports no library of cryptography.

Candidate ──verify, with Anchors──▶ VerificationResult: the signatures that hold, and why others do not
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

    from lading.signatures.public_keys import PublicKey

Format = Literal["cosign-bundle", "cosign-tag", "notation-jws", "notation-cose"]

BUNDLE: Final = "application/vnd.dev.sigstore.bundle.v0.3+json"
SIMPLE_SIGNING: Final = "application/vnd.dev.cosign.simplesigning.v1+json"
JWS: Final = "application/jose+json"
COSE: Final = "application/cose"

FORMATS: Final[Mapping[str, Format]] = {
    BUNDLE: "cosign-bundle",
    SIMPLE_SIGNING: "cosign-tag",
    JWS: "notation-jws",
    COSE: "notation-cose",
}
"""Formats of signatures, by the media type of the layer that holds one."""

NOTATION: Final = "application/vnd.cncf.notary.signature"
"""Type of the artifacts that notation attaches to an image, with a layer of type JWS or COSE."""

SIGNATURE_TYPES: Final = frozenset({BUNDLE, NOTATION})
"""Types of artifacts that may be signatures of their subject."""

MAX_SIGNATURE: Final = 256 * 1024
"""Bytes of a candidate that are read. Signatures have at most some 20 KiB, with certificates and entries of a log."""


class NotVerified(Exception):
    """A signature or statement does not count; the message is a clause that says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Signer:
    """A signer that a policy trusts.

    Attributes:
        fingerprint: of the key, the certificate, or the root of identities: Signature.signer.
        kind: what the fingerprint is of.
        name: for people.
    """

    fingerprint: str
    kind: Literal["key", "certificate", "identity"]
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A blob that may be a signature.

    Attributes:
        media_type: of the layer, a key of FORMATS.
        content: at most MAX_SIGNATURE bytes.
        annotations: of the layer; cosign's signatures by tag are in one.
    """

    media_type: str
    content: bytes
    annotations: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """A signature of a manifest that holds.

    Attributes:
        signer: the fingerprint of the key, trust anchor, or root of identities that it was verified with.
        format: how it is written.
        identity: the subject of the signer's certificate (RFC 4514), or of the ID token; of keys "".
        issuer: of the ID token, or "".
        names: further names in the signer's certificate: its common names, and alternative names.
        expires: when it no longer counts: None if it always counts.
    """

    signer: str
    format: Format
    identity: str = ""
    issuer: str = ""
    names: tuple[str, ...] = ()
    expires: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustedRoot:
    """Certificate authorities and logs of Sigstore, which vouch for identities.

    Attributes:
        fingerprint: of the content.
        content: JSON (https://github.com/sigstore/protobuf-specs, TrustedRoot), or None: that of Sigstore's public
            instance, which the package `sigstore` has.
    """

    fingerprint: str
    content: bytes | None = None


def _counts_always(signature: Signature) -> bool:
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Anchors:
    """What signatures are verified with: all that policies name.

    Attributes:
        keys: by fingerprint.
        certificates: trust anchors of notation's signatures, by fingerprint.
        trusted_root: by which any identity is verified; which identities count decides the policy.
        counts: whether a policy names the signer of a signature that holds: those are kept before others.
    """

    keys: Mapping[str, PublicKey] = field(default_factory=dict)
    certificates: Mapping[str, Certificate] = field(default_factory=dict)
    trusted_root: TrustedRoot | None = None
    counts: Callable[[Signature], bool] = field(default=_counts_always, compare=False)

    @property
    def fingerprints(self) -> tuple[str, ...]:
        """Return the fingerprints of all, in order."""
        root = () if self.trusted_root is None else (self.trusted_root.fingerprint,)
        return tuple(sorted({*self.keys, *self.certificates, *root}))


@dataclass(frozen=True, slots=True)
class VerificationResult:
    """What came of a candidate.

    Attributes:
        signatures: those that hold, by different signers.
        reasons: if there are none: clauses that say why.
    """

    signatures: tuple[Signature, ...] = ()
    reasons: tuple[str, ...] = ()

"""Signatures that real cosign and notation made, each with what verifies it: golden/README.md."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from lading.signatures import certificates, public_keys
from lading.signatures.public_keys import PublicKey
from lading.signatures.signature import BUNDLE, COSE, JWS, SIMPLE_SIGNING, Anchors, Candidate

FOLDER: Final = Path(__file__).parent / "golden"
COSIGN: Final = FOLDER / "cosign"
NOTATION: Final = FOLDER / "notation"

NOW: Final = datetime(2026, 12, 1, tzinfo=UTC)
"""All certificates are valid at that time."""

DIGEST: Final = (COSIGN / "digest").read_text()
PRIOR_DIGEST: Final = "sha256:570a4039b0a34d1fe7c5e224d70c69f09facf7fd792a1591ccbf0dab4c707201"
ANOTHER_DIGEST: Final = f"sha256:{'0' * 64}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Golden:
    """A signature, and all that is needed to verify it."""

    candidate: Candidate
    anchors: Anchors
    digest: str

    @property
    def signer(self) -> str:
        (fingerprint,) = self.anchors.fingerprints
        return fingerprint


def anchors_of(*keys: PublicKey) -> Anchors:
    return Anchors(keys={public_keys.fingerprint(each): each for each in keys})


def key_named(name: str) -> Anchors:
    """The key of a file, as the only anchor."""
    return anchors_of(public_keys.load_key((COSIGN / f"{name}.pub").read_bytes()))


def authority_named(name: str) -> Anchors:
    """The certificate of a file, as the only anchor."""
    certificate = certificates.load_certificate((NOTATION / f"{name}.ca.pem").read_bytes())
    return Anchors(certificates={certificates.fingerprint(certificate): certificate})


OTHER: Final = Anchors(
    keys=anchors_of(public_keys.load_key((FOLDER / "other.pub").read_bytes())).keys,
)
"""A key that signed none of them."""


def bundle(name: str) -> Candidate:
    return Candidate(media_type=BUNDLE, content=(COSIGN / f"{name}.json").read_bytes())


def legacy(name: str, layer: int) -> Candidate:
    """A layer of a manifest of cosign 2."""
    manifest = json.loads((COSIGN / f"{name}.sig.manifest.json").read_bytes())
    return Candidate(
        media_type=SIMPLE_SIGNING,
        content=(COSIGN / f"{name}.sig.layer.json").read_bytes(),
        annotations=manifest["layers"][layer]["annotations"],
    )


def notation(name: str, suffix: str) -> Candidate:
    return Candidate(
        media_type={"jws": JWS, "cose": COSE}[suffix], content=(NOTATION / f"{name}.{suffix}").read_bytes()
    )


NOTATION_KINDS: Final = ("ec", "p384", "p521", "rsa2048", "rsa", "rsa4096", "chain", "alone")
KEYS: Final = ("p256", "p384", "p521", "rsa2048", "rsa4096", "ed25519")

SIGNATURES: Final[Mapping[str, Golden]] = {
    **{
        f"bundle-{key}": Golden(candidate=bundle(f"{key}.bundle"), anchors=key_named(key), digest=DIGEST)
        for key in KEYS
    },
    **{
        f"legacy-{key}": Golden(candidate=legacy("legacy", layer), anchors=key_named(key), digest=DIGEST)
        for layer, key in enumerate(KEYS)
    },
    "bundle-prior": Golden(candidate=bundle("prior.bundle"), anchors=key_named("prior"), digest=PRIOR_DIGEST),
    "legacy-prior": Golden(candidate=legacy("prior", 0), anchors=key_named("prior"), digest=PRIOR_DIGEST),
    **{
        f"{suffix}-{name}": Golden(candidate=notation(name, suffix), anchors=authority_named(name), digest=PRIOR_DIGEST)
        for name in NOTATION_KINDS
        for suffix in ("jws", "cose")
    },
}
"""All golden signatures, by name."""

ALL: Final = Anchors(
    keys={name: key for each in SIGNATURES.values() for name, key in each.anchors.keys.items()},
    certificates={name: found for each in SIGNATURES.values() for name, found in each.anchors.certificates.items()},
)
"""What verifies any of them."""

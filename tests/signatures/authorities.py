"""Certificate authorities of the tests, and envelopes of notation that their certificates sign, right or wrong."""

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, Final

import cbor2
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from lading.signatures.certificates import fingerprint
from lading.signatures.notation_cose import ALGORITHMS
from lading.signatures.signature import COSE, JWS, Anchors, Candidate
from tests.signatures.golden_inputs import DIGEST, NOW

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey

SCHEME: Final = "io.cncf.notary.signingScheme"
SIGNING_TIME: Final = "io.cncf.notary.signingTime"
EXPIRY: Final = "io.cncf.notary.expiry"
PAYLOAD_TYPE: Final = "application/vnd.cncf.notary.payload.v1+json"
SIGNED_AT: Final = NOW - timedelta(days=1)

USES: Final = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
    "encipher_only",
    "decipher_only",
)


@cache
def ec_key(name: str, curve: type[ec.EllipticCurve] = ec.SECP256R1) -> ec.EllipticCurvePrivateKey:
    """A key for each name and curve."""
    return ec.generate_private_key(curve())


@cache
def rsa_key(size: int) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, size)


@dataclass(frozen=True, kw_only=True)
class Profile:
    """What a certificate says; by default, what a signer's has to say.

    Attributes:
        name: its common name.
        key: of the subject.
        constraints: whether it is an authority, and its path length; None for no extension.
        critical: whether basic constraints and key usage are.
        usage: of the key; None for no extension.
        extended: usage; None for no extension.
        days: before and after now in which it is valid.
        algorithm: with which the issuer signs it.
        names: alternative ones.
    """

    name: str = "signer"
    key: PrivateKey = field(default_factory=lambda: ec_key("signer"))
    constraints: tuple[bool, int | None] | None = (False, None)
    critical: bool = True
    usage: Sequence[str] | None = ("digital_signature",)
    extended: Sequence[x509.ObjectIdentifier] | None = (ExtendedKeyUsageOID.CODE_SIGNING,)
    days: tuple[int, int] = (-10, 10)
    algorithm: type[hashes.SHA224 | hashes.SHA256 | hashes.SHA384] = hashes.SHA256
    names: Sequence[x509.GeneralName] = ()

    def but(self, **changes: Any) -> "Profile":
        return replace(self, **changes)


SIGNER: Final = Profile()


def authority(name: str, **changes: Any) -> Profile:
    """The profile of an authority."""
    values: dict[str, Any] = {
        "name": name,
        "key": ec_key(name),
        "constraints": (True, None),
        "usage": ("key_cert_sign", "crl_sign"),
        "extended": None,
    }
    return Profile(**(values | changes))


def name_of(profile: Profile) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, profile.name)])


def certificate(profile: Profile, issuer: Profile) -> x509.Certificate:
    """The certificate that an issuer signs."""
    before, after = (NOW + timedelta(days=each) for each in profile.days)
    builder = (
        x509.CertificateBuilder(subject_name=name_of(profile), issuer_name=name_of(issuer))
        .public_key(profile.key.public_key())
        .serial_number(7)
        .not_valid_before(before)
        .not_valid_after(after)
    )
    if profile.constraints is not None:
        builder = builder.add_extension(x509.BasicConstraints(*profile.constraints), profile.critical)
    if profile.usage is not None:
        usage = {use: use in profile.usage for use in USES}
        builder = builder.add_extension(x509.KeyUsage(**usage), profile.critical)
    if profile.extended is not None:
        builder = builder.add_extension(x509.ExtendedKeyUsage(profile.extended), critical=False)
    if profile.names:
        builder = builder.add_extension(x509.SubjectAlternativeName(profile.names), critical=False)
    algorithm = None if isinstance(issuer.key, ed25519.Ed25519PrivateKey) else profile.algorithm()
    return builder.sign(issuer.key, algorithm)


ROOT: Final = authority("root")
INTERMEDIATE: Final = authority("intermediate")


def chain_of(*profiles: Profile) -> tuple[x509.Certificate, ...]:
    """The chain of a signer up to a root that signs itself."""
    issuers = (*profiles[1:], profiles[-1])
    return tuple(certificate(profile, issuer) for profile, issuer in zip(profiles, issuers, strict=True))


CHAIN: Final = chain_of(SIGNER, INTERMEDIATE, ROOT)


def trusting(*certificates: x509.Certificate) -> Anchors:
    return Anchors(certificates={fingerprint(each): each for each in certificates})


def payload_of(digest: str = DIGEST, **fields: Any) -> bytes:
    target = {"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": digest, "size": 428}
    return json.dumps({"targetArtifact": target | fields}).encode()


HEADERS: Final[Mapping[str, Any]] = {
    "alg": "ES256",
    "crit": [SCHEME],
    "cty": PAYLOAD_TYPE,
    SCHEME: "notary.x509",
    SIGNING_TIME: SIGNED_AT,
}
"""Protected headers of either envelope, by the names of JWS."""


def raw_signature(key: PrivateKey, algorithm: str, signed: bytes) -> bytes:
    """The signature of RFC 7518, by the hash of an algorithm."""
    sha = {"256": hashes.SHA256(), "384": hashes.SHA384(), "512": hashes.SHA512()}.get(algorithm[2:], hashes.SHA256())
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(signed, padding.PSS(padding.MGF1(sha), padding.PSS.DIGEST_LENGTH), sha)
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return key.sign(signed)
    size = (key.curve.key_size + 7) // 8
    r, s = decode_dss_signature(key.sign(signed, ec.ECDSA(sha)))
    return r.to_bytes(size, "big") + s.to_bytes(size, "big")


def url64(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def present(headers: Mapping[str, Any]) -> dict[str, Any]:
    return {name: each for name, each in headers.items() if each is not ...}


def jws(
    chain: Sequence[x509.Certificate] = CHAIN,
    key: PrivateKey = SIGNER.key,
    payload: bytes = payload_of(),  # bytes do not change
    **headers: Any,
) -> Candidate:
    """An envelope in JWS; headers replace those of HEADERS, and ... leaves one out."""
    fields = present({**HEADERS, **headers})
    texts = {
        name: f"{each:%Y-%m-%dT%H:%M:%SZ}" if isinstance(each, datetime) else each for name, each in fields.items()
    }
    protected, encoded = url64(json.dumps(texts).encode()), url64(payload)
    signature = raw_signature(key, str(fields.get("alg")), f"{protected}.{encoded}".encode())
    certificates = [base64.b64encode(each.public_bytes(Encoding.DER)).decode() for each in chain]
    envelope = {
        "payload": encoded,
        "protected": protected,
        "header": {"x5c": certificates},
        "signature": url64(signature),
    }
    return Candidate(media_type=JWS, content=json.dumps(envelope).encode())


LABELS: Final[Mapping[str, int]] = {"alg": 1, "crit": 2, "cty": 3}
COSE_ALGORITHMS: Final = {name: number for number, name in ALGORITHMS.items()}


def cose(
    chain: Sequence[x509.Certificate] = CHAIN,
    key: PrivateKey = SIGNER.key,
    payload: bytes = payload_of(),  # bytes do not change
    **headers: Any,
) -> Candidate:
    """An envelope in COSE; headers replace those of HEADERS, and ... leaves one out."""
    fields = present({**HEADERS, **headers})
    algorithm = str(fields.get("alg"))
    values = {
        LABELS.get(name, name): cbor2.CBORTag(1, int(each.astimezone(UTC).timestamp()))
        if isinstance(each, datetime)
        else each
        for name, each in fields.items()
    }
    if algorithm in COSE_ALGORITHMS:
        values[1] = COSE_ALGORITHMS[algorithm]
    protected = cbor2.dumps(values)
    signature = raw_signature(key, algorithm, cbor2.dumps(["Signature1", protected, b"", payload]))
    certificates = [each.public_bytes(Encoding.DER) for each in chain]
    envelope = cbor2.CBORTag(18, [protected, {33: certificates}, payload, signature])
    return Candidate(media_type=COSE, content=cbor2.dumps(envelope))

"""Signatures of notation: what its two envelopes, JWS and COSE, have in common.

    envelope ──read──▶ NotationEnvelope ──certificates, then signature──▶ payload, parsed only now ──▶ digest

The signing scheme is `notary.x509`. That of signing authorities and verification plugins are not known, and what a
signature says to be critical has to be. Time stamps are not read: a signature counts until its certificates expire.
https://github.com/notaryproject/specifications, specs/signature-specification.md
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.x509 import Certificate

from lading.signatures.certificates import names_of, verify_chain
from lading.signatures.signature import Anchors, NotVerified, Signature
from lading.signatures.strict_json import parse_object

SCHEME: Final = "io.cncf.notary.signingScheme"
SIGNING_TIME: Final = "io.cncf.notary.signingTime"
AUTHENTIC_SIGNING_TIME: Final = "io.cncf.notary.authenticSigningTime"
EXPIRY: Final = "io.cncf.notary.expiry"
PLUGIN: Final = "io.cncf.notary.verificationPlugin"
"""Protected headers; PLUGIN begins two of them."""

X509: Final = "notary.x509"
PAYLOAD_TYPE: Final = "application/vnd.cncf.notary.payload.v1+json"

Algorithm = Literal["PS256", "PS384", "PS512", "ES256", "ES384", "ES512"]

RSA_ALGORITHMS: Final[Mapping[int, Algorithm]] = {2048: "PS256", 3072: "PS384", 4096: "PS512"}
EC_ALGORITHMS: Final[Mapping[str, Algorithm]] = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}
"""The one algorithm of each key, by the size of the key, and by its curve."""

HASHES: Final[Mapping[str, hashes.HashAlgorithm]] = {
    "256": hashes.SHA256(),
    "384": hashes.SHA384(),
    "512": hashes.SHA512(),
}
"""By the end of the algorithm's name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NotationEnvelope:
    """A signature, none of which is verified.

    Attributes:
        algorithm: that the protected headers name.
        content_type: of the payload.
        critical: names of headers that a verifier has to know.
        headers: the protected ones by name, of any type, but for times.
        times: those of them that are times.
        payload: what it is about.
        signed: what the signature is of.
        signature: of RSA, or both integers of ECDSA.
        chain: certificates as DER, the signer's first.
    """

    algorithm: object
    content_type: object
    critical: object
    headers: Mapping[object, object]
    times: Mapping[str, datetime]
    payload: bytes
    signed: bytes
    signature: bytes
    chain: Sequence[bytes]


def verify(
    envelope: NotationEnvelope,
    format: Literal["notation-jws", "notation-cose"],
    anchors: Anchors,
    digest: str,
    now: datetime,
) -> tuple[Signature, ...]:
    """Return the signature that an envelope is, by each trust anchor in its chain.

    Args:
        envelope: as it was read.
        format: which it was read from.
        anchors: of which the certificates count.
        digest: of the manifest that is to be signed.
        now: when certificates have to be valid, and the signature not expired.

    Raises:
        NotVerified: it is none.
    """
    chain = verify_chain(envelope.chain, anchors.certificates, now)
    _check_signature(envelope, chain.signer)
    expiry = _check_headers(envelope, now)
    if _digest_in(envelope.payload) != digest:
        raise NotVerified("it signs another digest")
    identity, names = names_of(chain.signer)
    expires = chain.expires if expiry is None else min(expiry, chain.expires)
    return tuple(
        Signature(signer=each, format=format, identity=identity, names=names, expires=expires) for each in chain.anchors
    )


def _check_signature(envelope: NotationEnvelope, certificate: Certificate) -> None:
    """Check that the key of a certificate made a signature, by the one algorithm that fits it. Raises NotVerified."""
    key = certificate.public_key()
    fitting: Algorithm | None = None
    if isinstance(key, rsa.RSAPublicKey):
        fitting = RSA_ALGORITHMS.get(key.key_size)
    elif isinstance(key, ec.EllipticCurvePublicKey):
        fitting = EC_ALGORITHMS.get(key.curve.name)
    if fitting is None or envelope.algorithm != fitting:
        raise NotVerified("its algorithm is not the one that fits the signer's key")
    sha = HASHES[fitting[2:]]
    try:
        if isinstance(key, rsa.RSAPublicKey):
            pss = padding.PSS(padding.MGF1(sha), padding.PSS.DIGEST_LENGTH)
            key.verify(envelope.signature, envelope.signed, pss, sha)
        elif isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(_der_of(envelope.signature, key), envelope.signed, ec.ECDSA(sha))
    except InvalidSignature:
        raise NotVerified("the signer's key did not sign it") from None


def _der_of(signature: bytes, key: ec.EllipticCurvePublicKey) -> bytes:
    """Return as DER a signature of ECDSA that is two integers of the curve's size (RFC 7518, section 3.4)."""
    size = (key.curve.key_size + 7) // 8
    if len(signature) != 2 * size:
        raise NotVerified("the signature does not have the size of its curve")
    return encode_dss_signature(int.from_bytes(signature[:size], "big"), int.from_bytes(signature[size:], "big"))


def _check_headers(envelope: NotationEnvelope, now: datetime) -> datetime | None:
    """Check the protected headers, whose signature holds; return when the signature expires. Raises NotVerified."""
    headers, times = envelope.headers, envelope.times
    if envelope.content_type != PAYLOAD_TYPE:
        raise NotVerified("its payload is not one of notation")
    if headers.get(SCHEME) != X509 or AUTHENTIC_SIGNING_TIME in headers:
        raise NotVerified(f"its signing scheme is not {X509}")
    if any(isinstance(each, str) and each.startswith(PLUGIN) for each in headers):
        raise NotVerified("it asks for a verification plugin")
    has_to = {SCHEME} | ({EXPIRY} & headers.keys())
    critical = envelope.critical
    if not isinstance(critical, (list, tuple)) or sorted(critical, key=str) != sorted(has_to):
        raise NotVerified("its critical headers are not the ones that are known")
    signed_at, expiry = times.get(SIGNING_TIME), times.get(EXPIRY)
    if signed_at is None or (EXPIRY in headers and expiry is None):
        raise NotVerified("it has no time of signing, or a malformed time")
    if expiry is not None and (expiry <= signed_at or expiry <= now):
        raise NotVerified("it has expired")
    return expiry


def _digest_in(payload: bytes) -> str:
    match parse_object(payload, "payload"):
        case {"targetArtifact": {"mediaType": str(), "size": int(), "digest": str(digest)}}:
            return digest
    raise NotVerified("its payload is not one of notation")

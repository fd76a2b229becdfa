"""Certificates of notation's signers: chains, and the trust anchors of policies.

    chain: signer ◀─issued by─ … ◀─issued by─ root, self-signed
             ▲ for signing code        ▲ one of them is a trust anchor of a policy

The rules are those of Notary Project, and one more: a signer's certificate has to say that it is for signing code.
Revocation is not checked: it takes a network, and the answer changes.
https://github.com/notaryproject/specifications/blob/main/specs/signature-specification.md#certificate-requirements
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Final, TypeVar

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import (
    BasicConstraints,
    Certificate,
    DNSName,
    ExtendedKeyUsage,
    Extension,
    ExtensionNotFound,
    ExtensionType,
    KeyUsage,
    RFC822Name,
    SubjectAlternativeName,
    UniformResourceIdentifier,
    load_der_x509_certificate,
    load_pem_x509_certificates,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from lading.signatures.public_keys import CURVES, MIN_RSA, KeyInvalid
from lading.signatures.signature import NotVerified

T = TypeVar("T", bound=ExtensionType)

MAX_CHAIN: Final = 8
MAX_CERTIFICATE: Final = 16 * 1024
"""Certificates of a chain, and bytes of each."""

MAX_NAMES: Final = 20
MAX_NAME: Final = 1_000
"""Names of a signer, and characters of each."""

HASHES: Final = (hashes.SHA256, hashes.SHA384, hashes.SHA512)
"""Of signatures of certificates."""

OTHER_USES: Final = frozenset(
    {
        ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,
        ExtendedKeyUsageOID.SERVER_AUTH,
        ExtendedKeyUsageOID.CLIENT_AUTH,
        ExtendedKeyUsageOID.EMAIL_PROTECTION,
        ExtendedKeyUsageOID.TIME_STAMPING,
        ExtendedKeyUsageOID.OCSP_SIGNING,
    }
)
"""Extended key usages that a signer's certificate must not have beside code signing."""


@dataclass(frozen=True, slots=True)
class Chain:
    """A chain of certificates that holds.

    Attributes:
        anchors: fingerprints of the certificates in it that policies trust.
        signer: the first certificate.
        expires: when the first of them expires.
    """

    anchors: tuple[str, ...]
    signer: Certificate
    expires: datetime


def load_certificate(pem: bytes) -> Certificate:
    """Return the one certificate of a file of the configuration. Raises KeyInvalid; the time is not checked."""
    try:
        certificates = load_pem_x509_certificates(pem)
    except ValueError:
        raise KeyInvalid("it is not a certificate as PEM") from None
    if len(certificates) != 1:
        raise KeyInvalid(f"it has {len(certificates)} certificates, not one")
    try:
        _check_strength(certificates[0])
    except NotVerified as error:
        raise KeyInvalid(str(error)) from None
    return certificates[0]


def fingerprint(certificate: Certificate) -> str:
    """Return the digest of a certificate as DER, as sha256:…."""
    return _digest(certificate.public_bytes(Encoding.DER))


def _digest(der: bytes) -> str:
    return f"sha256:{sha256(der).hexdigest()}"


def verify_chain(chain: Sequence[bytes], anchors: Mapping[str, Certificate], now: datetime) -> Chain:
    """Return the chain of certificates.

    It is verified from the root down, and only if an anchor is in it: no key is computed with that no trusted issuer
    signed, such as one of 16,384 bits.

    Args:
        chain: certificates as DER, the signer's first and the root last.
        anchors: certificates of policies, by fingerprint: the root, or any other in the chain.
        now: when all have to be valid.

    Raises:
        NotVerified: no anchor is in it, or it does not hold.
    """
    if not 1 <= len(chain) <= MAX_CHAIN or max(map(len, chain)) > MAX_CERTIFICATE:
        raise NotVerified(f"it has no chain of at most {MAX_CHAIN} certificates of {MAX_CERTIFICATE >> 10} KiB")
    found = tuple(each for each in map(_digest, chain) if each in anchors)
    if not found:
        raise NotVerified("no trust anchor of a policy is in its chain of certificates")
    try:
        certificates = [load_der_x509_certificate(each) for each in chain]
        _check_chain(certificates, now)
    except ValueError:
        # Of what is no certificate, and of extensions that are malformed or there twice.
        raise NotVerified("a certificate of its chain is malformed") from None
    return Chain(found, certificates[0], min(each.not_valid_after_utc for each in certificates))


def _check_chain(certificates: Sequence[Certificate], now: datetime) -> None:
    """Check each certificate of a chain, the root first. Raises NotVerified."""
    issuer = certificates[-1]
    for below, certificate in reversed([*enumerate(certificates)]):
        _check_issuer(certificate, issuer)
        _check_strength(certificate)
        if not certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc:
            raise NotVerified(f"the certificate of {_name(certificate)} has expired, or is not valid yet")
        if below:
            _check_authority(certificate, below - 1)
        else:
            _check_signer(certificate)
        issuer = certificate


def _check_issuer(certificate: Certificate, issuer: Certificate) -> None:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (InvalidSignature, TypeError, ValueError):
        raise NotVerified(f"the certificate of {_name(certificate)} is not issued by the next one") from None


def _check_strength(certificate: Certificate) -> None:
    """Check the algorithms of a certificate. Raises NotVerified."""
    if not isinstance(certificate.signature_hash_algorithm, HASHES):
        raise NotVerified(f"the certificate of {_name(certificate)} is not signed with SHA-256, SHA-384 or SHA-512")
    match certificate.public_key():
        case rsa.RSAPublicKey() as key if key.key_size >= MIN_RSA:
            return
        case ec.EllipticCurvePublicKey() as key if key.curve.name in CURVES:
            return
    raise NotVerified(f"the key of {_name(certificate)} is neither RSA of {MIN_RSA} bits nor of a curve of NIST")


def _extension(certificate: Certificate, kind: type[T]) -> Extension[T] | None:
    try:
        return certificate.extensions.get_extension_for_class(kind)
    except ExtensionNotFound:
        return None


def _check_authority(certificate: Certificate, between: int) -> None:
    """Check that a certificate may issue others, with a number of authorities between. Raises NotVerified."""
    constraints, usage = _extension(certificate, BasicConstraints), _extension(certificate, KeyUsage)
    if constraints is None or not constraints.critical or not constraints.value.ca:
        raise NotVerified(f"{_name(certificate)} is no certificate authority")
    if (maximum := constraints.value.path_length) is not None and maximum < between:
        raise NotVerified(f"the chain below {_name(certificate)} is longer than it allows")
    if usage is None or not usage.critical or not usage.value.key_cert_sign:
        raise NotVerified(f"the key of {_name(certificate)} may not sign certificates")


def _check_signer(certificate: Certificate) -> None:
    """Check that a certificate is for signing code, and for nothing else. Raises NotVerified."""
    constraints, usage = _extension(certificate, BasicConstraints), _extension(certificate, KeyUsage)
    if constraints is not None and constraints.value.ca:
        raise NotVerified("the signer's certificate is that of an authority")
    if usage is None or not usage.critical or not usage.value.digital_signature or _other_usage(usage.value):
        raise NotVerified("the signer's certificate is not for digital signatures alone")
    extended = _extension(certificate, ExtendedKeyUsage)
    if extended is None or ExtendedKeyUsageOID.CODE_SIGNING not in extended.value:
        raise NotVerified("the signer's certificate is not for signing code")
    if not OTHER_USES.isdisjoint(extended.value):
        raise NotVerified("the signer's certificate is for other uses beside signing code")


def _other_usage(usage: KeyUsage) -> bool:
    uses = (usage.key_encipherment, usage.data_encipherment, usage.key_agreement, usage.key_cert_sign, usage.crl_sign)
    return any(uses) or (usage.key_agreement and (usage.encipher_only or usage.decipher_only))


def _name(certificate: Certificate) -> str:
    """Return a certificate's subject for a reason: short and printable."""
    return ascii(certificate.subject.rfc4514_string()[:100])


def names_of(certificate: Certificate) -> tuple[str, tuple[str, ...]]:
    """Return the subject of a signer as RFC 4514 writes it, and its other names. Raises NotVerified."""
    subject = certificate.subject.rfc4514_string()
    names = [str(each.value) for each in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    alternative = _extension(certificate, SubjectAlternativeName)
    if alternative is not None:
        for kind in (DNSName, RFC822Name, UniformResourceIdentifier):
            names += alternative.value.get_values_for_type(kind)
    if len(names) > MAX_NAMES or any(len(each) > MAX_NAME for each in (subject, *names)):
        raise NotVerified(f"the signer has more than {MAX_NAMES} names, or one of more than {MAX_NAME} characters")
    return subject, tuple(names)

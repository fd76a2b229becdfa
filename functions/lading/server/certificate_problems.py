"""Why a certificate and its key cannot be served, as one line that names the file and the next step."""

import contextlib
import warnings
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_private_key,
    load_pem_private_key,
)

RSA_SIZES: Final = range(2048, 4097)
CURVES: Final = ("secp256r1", "secp384r1")
"""Bits of the RSA keys, and the curves, that the server's TLS accepts."""

KEYS: Final = "use RSA of 2048 to 4096 bits, P-256, P-384 or Ed25519, and a new certificate"

ENCRYPTED: Final = (b"-----BEGIN ENCRYPTED PRIVATE KEY-----", b"Proc-Type: 4,ENCRYPTED")

OTHER_REASON: Final = (
    "this server cannot use them; use a key of RSA (2048 to 4096 bits), P-256, P-384 or Ed25519, and a certificate of"
    " version 3 (X.509v3, as `openssl req -x509` makes it) without critical extensions of your own"
)


class _Problem(Exception):
    """What is wrong with one of the files, and the next step."""


def problem(cert: Path, key: Path, cert_content: bytes, key_content: bytes) -> str:
    """Return why the server rejects a certificate and its key.

    Args:
        cert: the path of the certificate.
        key: the path of the key.
        cert_content: the content of the certificate's file.
        key_content: the content of the key's file.
    """
    option, path = "--tls-cert", cert
    try:
        chain = _chain(cert_content)
        option, path = "--tls-key", key
        private = _private_key(key_content)
        public = private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        if public not in map(_public_key, chain):
            raise _Problem(f"is not the key of the certificate in {cert}; name the key that it was made with")
        option, path = "--tls-cert", cert
        _check_leaf(chain, public)
    except _Problem as reason:
        return f"{option} {path}: {reason}"
    return f"--tls-cert {cert}, --tls-key {key}: {OTHER_REASON}"


def expiry(content: bytes) -> str:
    """Return a warning where the certificate of a file is not valid now, or ""."""
    with contextlib.suppress(ValueError), warnings.catch_warnings(action="ignore"):
        leaf, now = x509.load_pem_x509_certificates(content)[0], datetime.now(UTC)
        if leaf.not_valid_after_utc < now:
            return f"expired on {leaf.not_valid_after_utc:%Y-%m-%d}, so clients refuse it; renew it"
        if leaf.not_valid_before_utc > now:
            return f"is not valid before {leaf.not_valid_before_utc:%Y-%m-%d %H:%M} UTC; check this machine's clock"
    return ""


def _chain(content: bytes) -> list[x509.Certificate]:
    """Return the certificates of a file. Raises _Problem."""
    _refuse_byte_order_mark(content)
    if b"-----BEGIN CERTIFICATE-----" not in content:
        if b"PRIVATE KEY-----" in content:
            raise _Problem("has a private key and no certificate; name the certificate's file, in PEM")
        if b"CERTIFICATE REQUEST-----" in content:
            raise _Problem("has a request for a certificate; name the certificate that was issued for it, in PEM")
        with contextlib.suppress(ValueError):
            x509.load_der_x509_certificate(content)
            raise _Problem("is DER; convert it to PEM: openssl x509 -inform der -in CERTIFICATE -out NEW")
        raise _not_pem(content, "certificate")
    try:
        with warnings.catch_warnings(action="ignore"):
            return x509.load_pem_x509_certificates(content)
    except ValueError:
        raise _Problem("has a certificate that is damaged; write the file again") from None


def _private_key(content: bytes) -> PrivateKeyTypes:
    """Return the key of a file, of a kind that the server accepts. Raises _Problem."""
    _refuse_byte_order_mark(content)
    if any(mark in content for mark in ENCRYPTED):
        raise _Problem("is encrypted with a password; decrypt it: openssl pkey -in KEY -out NEW")
    if b"PRIVATE KEY-----" not in content:
        if b"-----BEGIN CERTIFICATE-----" in content:
            raise _Problem("has a certificate and no private key; name the key's file, in PEM")
        with contextlib.suppress(ValueError, TypeError, UnsupportedAlgorithm):
            load_der_private_key(content, None)
            raise _Problem("is DER; convert it to PEM: openssl pkey -inform der -in KEY -out NEW")
        raise _not_pem(content, "private key")
    try:
        key = load_pem_private_key(content, None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise _Problem("has a private key that is damaged, or of another kind; write the file again") from None
    match key:
        case rsa.RSAPrivateKey() if key.key_size not in RSA_SIZES:
            raise _Problem(f"has an RSA key of {key.key_size} bits; {KEYS}")
        case ec.EllipticCurvePrivateKey() if key.curve.name not in CURVES:
            raise _Problem(f"has a key of the curve {key.curve.name}; {KEYS}")
        case rsa.RSAPrivateKey() | ec.EllipticCurvePrivateKey() | ed25519.Ed25519PrivateKey():
            return key
    raise _Problem(f"has a key of another kind than servers use; {KEYS}")


def _check_leaf(chain: list[x509.Certificate], public_key: bytes) -> None:
    """Check the certificate that is served to clients, the first one. Raises _Problem."""
    if _public_key(chain[0]) != public_key:
        raise _Problem("begins with another certificate than the key's; write the server's first, then its issuers")
    if chain[0].version is x509.Version.v1:
        raise _Problem("is a certificate of version 1; make one of version 3, as `openssl req -x509` does")


def _public_key(certificate: x509.Certificate) -> bytes:
    """Return a certificate's public key in a form to compare, or b"" where its kind is unknown."""
    with contextlib.suppress(ValueError, UnsupportedAlgorithm):
        return certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return b""


def _refuse_byte_order_mark(content: bytes) -> None:
    """Raise _Problem for a file as editors on Windows write it."""
    if content.startswith((BOM_UTF8, BOM_UTF16_LE, BOM_UTF16_BE)):
        raise _Problem("begins with a byte order mark; save it as ASCII, or as UTF-8 without a BOM")


def _not_pem(content: bytes, wanted: str) -> _Problem:
    return _Problem(f"{'is not PEM' if content.strip() else 'is empty'}; name a file with the {wanted} in PEM")

"""Public keys that sign: ECDSA, Ed25519 and RSA."""

import hashlib
from collections.abc import Sequence
from typing import Any, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

MIN_RSA: Final = 2048
"""Bits of a key."""

CURVES: Final = ("secp256r1", "secp384r1", "secp521r1")

PublicKey = ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | rsa.RSAPublicKey


class KeyInvalid(ValueError):
    """A key of the configuration cannot be used; the message is a clause that says why."""


def load_key(pem: bytes) -> PublicKey:
    """Return a public key: ECDSA, Ed25519 or RSA. Raises KeyInvalid."""
    try:
        key = load_pem_public_key(pem)
    except Exception:
        # cryptography raises several types for what is not PEM, or holds another kind of key.
        raise KeyInvalid("it is not a public key as PEM") from None
    if isinstance(key, rsa.RSAPublicKey) and key.key_size < MIN_RSA:
        raise KeyInvalid(f"it has {key.key_size} bits, fewer than {MIN_RSA}")
    if isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name not in CURVES:
        raise KeyInvalid(f"its curve is {key.curve.name}, none of P-256, P-384 and P-521")
    if not isinstance(key, PublicKey):
        raise KeyInvalid("it is neither ECDSA, Ed25519 nor RSA")
    return key


def fingerprint(key: PublicKey) -> str:
    """Return the digest of a key's SubjectPublicKeyInfo as DER, as sha256:…."""
    return f"sha256:{hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()}"


class Message:
    """Bytes that may be signed: up to 8 MiB, hashed once for all keys and signatures, which may be several hundred."""

    def __init__(self, content: bytes) -> None:
        """Hash nothing yet."""
        self.content = content
        self._digests = dict[str, bytes]()

    def digest(self, algorithm: hashes.HashAlgorithm) -> bytes:
        """Return the digest."""
        if algorithm.name not in self._digests:
            self._digests[algorithm.name] = hashlib.new(algorithm.name, self.content).digest()
        return self._digests[algorithm.name]


def is_valid(key: PublicKey, signature: bytes, message: Message) -> bool:
    """Return whether a key made a signature.

    cosign 1 and 2 sign with SHA-256, whatever the curve; cosign 3 and others with the curve's hash. With Ed25519,
    cosign 3 signs a hash (Ed25519ph, RFC 8032), others the whole.
    """
    if isinstance(key, ed25519.Ed25519PublicKey):
        return _is_valid(key, signature, message.content) or _is_valid_prehashed(key, signature, message.content)
    if isinstance(key, ec.EllipticCurvePublicKey):
        return any(
            _is_valid(key, signature, message.digest(each), ec.ECDSA(Prehashed(each))) for each in _hashes_of(key)
        )
    sha = hashes.SHA256()
    schemes = (padding.PKCS1v15(), padding.PSS(padding.MGF1(sha), padding.PSS.AUTO))
    return any(_is_valid(key, signature, message.digest(sha), each, Prehashed(sha)) for each in schemes)


def _is_valid(key: Any, signature: bytes, signed: bytes, *scheme: Any) -> bool:
    try:
        key.verify(signature, signed, *scheme)
    except InvalidSignature:
        return False
    return True


def _is_valid_prehashed(key: ed25519.Ed25519PublicKey, signature: bytes, signed: bytes) -> bool:
    """Return whether a key made a signature by Ed25519ph, which `cryptography` does not have."""
    from nacl import bindings
    from nacl.exceptions import BadSignatureError

    if len(signature) != bindings.crypto_sign_BYTES:
        return False
    state = bindings.crypto_sign_ed25519ph_state()
    bindings.crypto_sign_ed25519ph_update(state, signed)
    try:
        return bindings.crypto_sign_ed25519ph_final_verify(state, signature, key.public_bytes_raw())
    except BadSignatureError:
        return False


def _hashes_of(key: ec.EllipticCurvePublicKey) -> Sequence[hashes.HashAlgorithm]:
    """Return the hashes that a key signs with: that of its curve, and SHA-256."""
    if key.curve.key_size > 384:
        return hashes.SHA512(), hashes.SHA256()
    return (hashes.SHA384(), hashes.SHA256()) if key.curve.key_size > 256 else (hashes.SHA256(),)

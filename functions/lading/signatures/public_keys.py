"""Public keys that sign: ECDSA, Ed25519 and RSA."""

from collections.abc import Sequence
from hashlib import sha256
from typing import Any, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
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
    return f"sha256:{sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()}"


def is_valid(key: PublicKey, signature: bytes, signed: bytes) -> bool:
    """Return whether a key made a signature.

    cosign 1 and 2 sign with SHA-256, whatever the curve; cosign 3 and others with the curve's hash. With Ed25519,
    cosign 3 signs a hash (Ed25519ph, RFC 8032), others the whole.
    """
    match key:
        case ec.EllipticCurvePublicKey():
            schemes: Sequence[tuple[Any, ...]] = [(ec.ECDSA(each()),) for each in _hashes_of(key)]
        case rsa.RSAPublicKey():
            sha = hashes.SHA256()
            schemes = [(padding.PKCS1v15(), sha), (padding.PSS(padding.MGF1(sha), padding.PSS.AUTO), sha)]
        case _:
            schemes = [()]
    for scheme in schemes:
        try:
            key.verify(signature, signed, *scheme)
        except InvalidSignature:
            continue
        return True
    return isinstance(key, ed25519.Ed25519PublicKey) and _is_valid_prehashed(key, signature, signed)


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


def _hashes_of(key: ec.EllipticCurvePublicKey) -> Sequence[type[hashes.HashAlgorithm]]:
    """Return the hashes that a key signs with: that of its curve, and SHA-256."""
    if key.curve.key_size > 384:
        return (hashes.SHA512, hashes.SHA256)
    return (hashes.SHA384, hashes.SHA256) if key.curve.key_size > 256 else (hashes.SHA256,)

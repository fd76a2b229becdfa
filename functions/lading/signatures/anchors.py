"""Anchors of the keys and certificates that policies name."""

from functools import lru_cache

from lading.signatures import certificates, public_keys
from lading.signatures.signature import Anchors, TrustedRoot


@lru_cache(maxsize=128)
def load_anchors(
    keys: tuple[str, ...], certificates_of_signers: tuple[str, ...], trusted_root: TrustedRoot | None = None
) -> Anchors:
    """Return what signatures are verified with.

    Args:
        keys: public keys as PEM.
        certificates_of_signers: trust anchors as PEM.
        trusted_root: of identities, as `keyless.load_trusted_root` returns it; None if no policy names an identity.

    Raises:
        KeyInvalid: one cannot be used; none counts then.
    """
    loaded = [public_keys.load_key(each.encode()) for each in keys]
    found = [certificates.load_certificate(each.encode()) for each in certificates_of_signers]
    return Anchors(
        keys={public_keys.fingerprint(each): each for each in loaded},
        certificates={certificates.fingerprint(each): each for each in found},
        trusted_root=trusted_root,
    )

"""Anchors of policies: all keys, certificates and roots that they name. One verification tries them all."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Final

from lading.policies.policy import Policy, SignatureRequirement

if TYPE_CHECKING:
    from lading.signatures.signature import Anchors, Signature, TrustedRoot

MAX_CACHED: Final = 100
"""Sets of policies whose anchors are cached: those of a repository are the same for each pull."""


def needs_signatures(policy: Policy) -> bool:
    """Return whether a policy has a requirement of signatures."""
    return any(True for _ in policy.signature_requirements())


def counts(policies: tuple[Policy, ...], signature: "Signature") -> bool:
    """Return whether a signature that holds is one of a signer of some policies."""
    return any(signer.signed(signature) for each in _requirements(policies) for signer in each.signers)


@lru_cache(MAX_CACHED)
def fingerprints_of(policies: tuple[Policy, ...]) -> frozenset[str]:
    """Return the fingerprints of all signers. No library of cryptography is imported unless one is an identity."""
    required = list(_requirements(policies))
    own = {key.fingerprint for each in required for key in each.keys}
    own |= {anchor.fingerprint for each in required for anchor in each.certificates}
    root = _trusted_root() if any(each.identities for each in required) else None
    return frozenset(own | ({root.fingerprint} if root else set()))


@lru_cache(MAX_CACHED)
def anchors_of(policies: tuple[Policy, ...]) -> "Anchors":
    """Return the anchors with which signatures are verified. Raises ValueError if one cannot be used."""
    from lading.signatures.anchors import load_anchors

    required = list(_requirements(policies))
    keys = dict.fromkeys(key.pem for each in required for key in each.keys)
    certificates = dict.fromkeys(anchor.pem for each in required for anchor in each.certificates)
    root = _trusted_root() if any(each.identities for each in required) else None
    return replace(load_anchors(tuple(keys), tuple(certificates), root), counts=partial(counts, policies))


def _requirements(policies: Sequence[Policy]) -> Iterator[SignatureRequirement]:
    return (requirement for policy in policies for requirement in policy.signature_requirements())


def _trusted_root() -> "TrustedRoot | None":
    """Return the root of identities, or None where the extra `sigstore` is not installed: no identity counts then."""
    from lading.signatures.keyless import load_trusted_root
    from lading.signatures.public_keys import KeyInvalid

    try:
        return load_trusted_root(None)
    except KeyInvalid:
        return None

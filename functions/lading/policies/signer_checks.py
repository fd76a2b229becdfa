"""Checks of the keys and certificates that policies name, where policies are applied: it imports cryptography.

A pull computes a fingerprint from the PEM alone (policy_fields.fingerprint_of), so the stored PEM is what cryptography
writes: another encoding of the same key would have another fingerprint, and no signature of it would count.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from lading.policies.field_kinds import PolicyError
from lading.policies.policy import Policy
from lading.signatures.certificates import load_certificate
from lading.signatures.public_keys import load_key

SOON: Final = timedelta(days=30)
"""How long before it ends a warning says so."""


def with_checked_signers(values: Sequence[Any]) -> list[Any]:
    """Return policies with each key and certificate as cryptography writes it.

    Raises:
        PolicyError: one cannot be used: it is malformed, of another kind, or too weak.
    """
    return [_checked(each, f"policies[{index}]") for index, each in enumerate(values)]


def _checked(value: Any, place: str) -> Any:
    """Return a table of a policy with its keys and certificates checked, wherever in it they are."""
    if isinstance(value, list):
        return [_checked(each, f"{place}[{index}]") for index, each in enumerate(value)]
    if not isinstance(value, dict):
        return value
    checked = {key: _checked(each, f"{place}.{key}") for key, each in value.items()}
    if isinstance(checked.get("pem"), str):
        checked["pem"] = _canonical(checked["pem"], f"{place}.pem")
    return checked


def _canonical(pem: str, place: str) -> str:
    text = pem.strip().encode()
    if b"PRIVATE KEY-----" in text:
        raise PolicyError(
            f"{place} is a private key: replace it, since it is no longer secret, and name the public one"
        )
    try:
        if b"-----BEGIN CERTIFICATE-----" in text:
            return load_certificate(text).public_bytes(Encoding.PEM).decode()
        return load_key(text).public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    except ValueError as error:
        raise PolicyError(f"{place}: {error}") from None


def expired_certificates(policies: Sequence[Policy], now: datetime) -> Iterator[str]:
    """Yield a sentence for each certificate that is not valid now."""
    for name, anchor, begin, end in _validities(policies):
        if now >= end:
            yield f"policy {name}: the certificate {anchor} expired at {end.isoformat()}"
        elif now < begin:
            yield f"policy {name}: the certificate {anchor} is not valid before {begin.isoformat()}"


def expiring_certificates(policies: Sequence[Policy], now: datetime) -> Iterator[str]:
    """Yield a sentence for each certificate that expires soon."""
    for name, anchor, _, end in _validities(policies):
        if now < end < now + SOON:
            yield f"policy {name}: the certificate {anchor} expires at {end.isoformat()}"


def _validities(policies: Sequence[Policy]) -> Iterator[tuple[str, str, datetime, datetime]]:
    for policy in policies:
        for requirement in policy.signature_requirements():
            for anchor in requirement.certificates:
                found = load_certificate(anchor.pem.encode())
                yield policy.name, anchor.name, found.not_valid_before_utc, found.not_valid_after_utc

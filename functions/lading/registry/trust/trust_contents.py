"""Contents of a record of trust: what a gate and a listing read. Imports no library of cryptography."""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from lading.policies.evidence import OpenedException
from lading.signatures.signature import Signature
from lading_storage.records.trust import Trust

VERIFIER: Final = 2
"""Number of the code that verifies: a release that verifies otherwise raises it, and verifies all trust again."""

RETRY: Final = timedelta(minutes=5)
"""Until signatures are tried again whose bytes could not be read."""

MAX_SIGNATURES: Final = 50
MAX_CONTENT: Final = 32 * 1024
"""Signatures of a manifest that are kept, and their characters as JSON."""

MAX_HOLDERS: Final = 10
"""Manifests with signatures that are read before all others."""


@dataclass(frozen=True, slots=True)
class KeptSignature:
    """A signature that holds, as trust keeps it.

    Attributes:
        signature: what was verified.
        digest: of the manifest that holds it.
        at: when that was pushed.
    """

    signature: Signature
    digest: str
    at: datetime


def is_current(trust: Trust | None, fingerprints: Iterable[str], now: datetime) -> bool:
    """Return whether nothing needs to be verified for a decision: the trust is not stale, and covers all of these.

    Args:
        trust: the record, or None if there is none.
        fingerprints: of all keys, certificates and roots that count (Anchors.fingerprints).
        now: the time.
    """
    if trust is None or trust.verified is None or trust.verifier < VERIFIER:
        return False
    return (trust.retry is None or now < trust.retry) and {*trust.verified_with}.issuperset(fingerprints)


def signatures_of(trust: Trust | None, now: datetime) -> tuple[KeptSignature, ...]:
    """Return the signatures that hold and have not expired, the newest first. Those of stale trust do not count."""
    if trust is None or trust.verified is None or not trust.signatures:
        return ()
    kept = [_signature(each) for each in json.loads(trust.signatures)]
    return tuple(each for each in kept if each.signature.expires is None or now < each.signature.expires)


def chosen_signatures(
    signatures: Sequence[KeptSignature], counts: Callable[[Signature], bool]
) -> tuple[Sequence[KeptSignature], int]:
    """Return the signatures that are kept, the newest first, each signer and identity once; and the number of others.

    Any client can have Sigstore vouch for identities, and an authority has more signers than a policy names: such
    signatures hold as well, and never take the place of those that count.

    Args:
        signatures: those that hold, the newest first.
        counts: whether a policy names the signer of one.
    """
    distinct = {each.signature: each for each in reversed(signatures)}
    newest = [each for each in signatures if distinct[each.signature] is each]
    chosen = sorted(newest, key=lambda each: not counts(each.signature))[:MAX_SIGNATURES]
    while len(encoded_signatures(chosen)) > MAX_CONTENT:
        chosen.pop()
    return sorted(chosen, key=lambda each: each.at, reverse=True), len(newest) - len(chosen)


def holders_of(
    chosen: Sequence[KeptSignature], counts: Callable[[Signature], bool], before: Sequence[str]
) -> tuple[str, ...]:
    """Return the digests of the manifests that hold the signatures that count, the newest first: Trust.holders.

    Those from before follow: their signers may be of a policy that did not matter to the caller this time.
    """
    holders = [each.digest for each in chosen if counts(each.signature)]
    return tuple(dict.fromkeys([*holders, *before]))[:MAX_HOLDERS]


def encoded_signatures(signatures: Sequence[KeptSignature]) -> str:
    """Return signatures as JSON, or "" for none."""
    return _compact([*map(_fields, signatures)]) if signatures else ""


def exceptions_of(trust: Trust | None, now: datetime) -> tuple[OpenedException, ...]:
    """Return the exceptions that have not ended. They do not depend on signatures, so that stale trust has them too."""
    if trust is None or not trust.exceptions:
        return ()
    all_of_them = [
        OpenedException(
            policy=each["policy"],
            until=datetime.fromisoformat(each["until"]),
            reason=each["reason"],
            by=each["by"],
        )
        for each in json.loads(trust.exceptions)
    ]
    return tuple(each for each in all_of_them if now < each.until)


def encoded_exceptions(exceptions: Iterable[OpenedException]) -> str:
    """Return exceptions as JSON, or "" for none."""
    fields = [
        {"policy": each.policy, "until": each.until.isoformat(), "reason": each.reason, "by": each.by}
        for each in exceptions
    ]
    return _compact(fields) if fields else ""


def _fields(kept: KeptSignature) -> dict[str, Any]:
    """Return a signature without the fields that are empty."""
    signature = kept.signature
    fields: dict[str, Any] = {
        "signer": signature.signer,
        "format": signature.format,
        "identity": signature.identity,
        "issuer": signature.issuer,
        "names": list(signature.names),
        "digest": kept.digest,
        "at": kept.at.isoformat(),
        "expires": signature.expires.isoformat() if signature.expires else "",
    }
    return {name: value for name, value in fields.items() if value}


def _signature(fields: dict[str, Any]) -> KeptSignature:
    expires = fields.get("expires", "")
    signature = Signature(
        signer=fields["signer"],
        format=fields["format"],
        identity=fields.get("identity", ""),
        issuer=fields.get("issuer", ""),
        names=tuple(fields.get("names", ())),
        expires=datetime.fromisoformat(expires) if expires else None,
    )
    return KeptSignature(signature, fields["digest"], datetime.fromisoformat(fields["at"]))


def _compact(value: object) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)

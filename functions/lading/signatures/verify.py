"""Verification of a signature: by its format, with the keys and certificates that the caller gives.

Candidate ──by media type──▶ cosign_bundle | cosign_legacy | notation_jws | notation_cose ──▶ VerificationResult
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Final

from lading.signatures import cosign_bundle, cosign_legacy, notation, notation_cose, notation_jws
from lading.signatures.signature import (
    BUNDLE,
    COSE,
    JWS,
    MAX_SIGNATURE,
    SIMPLE_SIGNING,
    Anchors,
    Candidate,
    NotVerified,
    Signature,
    VerificationResult,
)

MAX_REASON: Final = 300
"""Characters of a reason."""


def verify(candidate: Candidate, anchors: Anchors, digest: str, now: datetime) -> VerificationResult:
    """Return the signatures of a manifest that a candidate is, or why it is none.

    Whatever a candidate holds, this returns: what cannot be read is not verified.

    Args:
        candidate: a blob, which any client that may push can have pushed.
        anchors: what counts.
        digest: of the manifest that is served; nothing else says what a signature is about.
        now: the time, in UTC.
    """
    try:
        return VerificationResult(_signatures(candidate, anchors, digest, now))
    except NotVerified as error:
        return VerificationResult(reasons=(str(error)[:MAX_REASON],))
    except BaseException as error:
        # Fail closed: libraries raise what they do not document for inputs that they never saw. Those in Rust panic
        # with what is no Exception, and one signature must not end each pull of its image.
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        return VerificationResult(reasons=(f"it cannot be read ({type(error).__name__})",))


def _signatures(candidate: Candidate, anchors: Anchors, digest: str, now: datetime) -> tuple[Signature, ...]:
    if len(candidate.content) > MAX_SIGNATURE:
        raise NotVerified(f"it has more than {MAX_SIGNATURE >> 10} KiB")
    check = _VERIFIERS.get(candidate.media_type)
    if check is None:
        raise NotVerified(f"signatures of type {candidate.media_type[:100]!a} are not known")
    return check(candidate, anchors, digest, now)


_VERIFIERS: Final[Mapping[str, Callable[[Candidate, Anchors, str, datetime], tuple[Signature, ...]]]] = {
    BUNDLE: lambda candidate, anchors, digest, _: (cosign_bundle.verify(candidate.content, anchors, digest),),
    SIMPLE_SIGNING: lambda candidate, anchors, digest, _: (
        cosign_legacy.verify(candidate.content, candidate.annotations, anchors, digest),
    ),
    JWS: lambda candidate, anchors, digest, now: notation.verify(
        notation_jws.read(candidate.content), "notation-jws", anchors, digest, now
    ),
    COSE: lambda candidate, anchors, digest, now: notation.verify(
        notation_cose.read(candidate.content), "notation-cose", anchors, digest, now
    ),
}

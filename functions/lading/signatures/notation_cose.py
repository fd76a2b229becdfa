"""Envelopes of notation in COSE: COSE_Sign1 with its tag, RFC 9052, section 4.2.

    18([protected: bytes of a map, {33: certificates, …}: not signed, payload, signature])

Only the preferred serialization of RFC 8949 is read: what is read is written again, and has to be the same bytes. So
nothing can follow it, or be in it, that another reader would understand in another way.
https://github.com/notaryproject/specifications/blob/main/specs/signature-envelope-cose.md
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, NoReturn

from lading.signatures.notation import EXPIRY, SIGNING_TIME, Algorithm, NotationEnvelope
from lading.signatures.signature import NotVerified

MAX_DEPTH: Final = 6
"""Nesting: a tag, an array, a map, and an array of certificates take four."""

MAX_ENVELOPE: Final = 64 * 1024
"""Bytes of an envelope; one with three certificates and a time stamp has 10 KiB."""

EPOCH: Final = 1
"""Tag of times; 18 is that of a signature with one signer."""

ALGORITHM: Final = 1
CRITICAL: Final = 2
CONTENT_TYPE: Final = 3
CERTIFICATES: Final = 33
"""Labels of headers."""

ALGORITHMS: Final[Mapping[int, Algorithm]] = {
    -37: "PS256",
    -38: "PS384",
    -39: "PS512",
    -7: "ES256",
    -35: "ES384",
    -36: "ES512",
}

KNOWN_TAGS: Final = (0, 2, 3, 4, 5, 25, 28, 29, 30, 35, 36, 37, 52, 54, 100, 256, 258, 260, 261, 1004, 43000, 55799)
"""Tags that cbor2 makes objects of: regular expressions, shared references, sets and others. None is read."""


def read(content: bytes) -> NotationEnvelope:
    """Return the envelope in a content. Raises NotVerified if there is none."""
    if len(content) > MAX_ENVELOPE:
        raise NotVerified(f"the envelope has more than {MAX_ENVELOPE >> 10} KiB")
    from cbor2 import CBORTag, dumps

    match _parse(content):
        case CBORTag(tag=18, value=[bytes(protected), Mapping() as unprotected, bytes(payload), bytes(signature)]):
            headers = _parse(protected)
        case _:
            raise NotVerified("the envelope is no COSE_Sign1")
    certificates = unprotected.get(CERTIFICATES)
    if not isinstance(headers, dict) or not isinstance(certificates, (list, tuple)):
        raise NotVerified("it has no headers, or no chain of certificates")
    algorithm = headers.get(ALGORITHM)
    return NotationEnvelope(
        algorithm=ALGORITHMS.get(algorithm) if isinstance(algorithm, int) else None,
        content_type=headers.get(CONTENT_TYPE),
        critical=headers.get(CRITICAL),
        headers=headers,
        times={name: time for name in (SIGNING_TIME, EXPIRY) if (time := _time(headers.get(name))) is not None},
        payload=payload,
        signed=dumps(["Signature1", protected, b"", payload]),
        signature=signature,
        chain=[each if isinstance(each, bytes) else b"" for each in certificates],
    )


def _parse(content: bytes) -> Any:
    """Return the value of CBOR. Raises NotVerified if it is none, or not in preferred serialization."""
    from cbor2 import CBORTag, dumps, loads

    decoders: dict[int, Any] = {**dict.fromkeys(KNOWN_TAGS, _refuse), EPOCH: lambda value, _: CBORTag(EPOCH, value)}
    try:
        value = loads(
            content,
            semantic_decoders=decoders,
            max_depth=MAX_DEPTH,
            allow_indefinite=False,
            allow_duplicate_keys=False,
        )
        same = dumps(value) == content
    except Exception:
        # cbor2 raises several types, for what is not CBOR and for what it does not write.
        same = False
    if not same:
        raise NotVerified("the envelope is no CBOR in preferred serialization")
    return value


def _refuse(value: object, _: bool) -> NoReturn:
    raise ValueError("a tag that no envelope has")


def _time(value: object) -> datetime | None:
    """Return a time with its tag, in seconds since 1970, or None."""
    from cbor2 import CBORTag

    match value:
        case CBORTag(tag=1, value=int(seconds)) if not isinstance(seconds, bool):
            try:
                return datetime.fromtimestamp(seconds, UTC)
            except (ValueError, OverflowError, OSError):
                return None
    return None

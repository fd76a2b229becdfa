"""DSSE: envelopes of signed statements.

    envelope ──a signature of a key of the configuration──▶ payload ──parsed only now──▶ Statement about one digest

https://github.com/secure-systems-lab/dsse/blob/master/protocol.md, https://github.com/in-toto/attestation
"""

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from lading.signatures.public_keys import Message, PublicKey, is_valid
from lading.signatures.signature import NotVerified

MAX_ENVELOPE: Final = 8 * 1024 * 1024
"""Bytes of an envelope that are read."""

MAX_SIGNATURES: Final = 10
"""Signatures of an envelope that are tried, each with each key."""

PAYLOAD_TYPE: Final = "application/vnd.in-toto+json"
STATEMENTS: Final = ("https://in-toto.io/Statement/v0.1", "https://in-toto.io/Statement/v1")


@dataclass(frozen=True, slots=True)
class Statement:
    """Verified statement about an image.

    Attributes:
        key: the name of the key that signed it.
        predicate_type: URI.
        predicate: what it says.
    """

    key: str
    predicate_type: str
    predicate: Mapping[str, Any]


def verify(content: bytes, keys: Mapping[str, PublicKey], digest: str) -> Statement:
    """Return the statement of an envelope, or of a bundle of Sigstore that holds one, if it is about a digest.

    Nothing in the payload is read before a signature is valid.

    Args:
        content: JSON.
        keys: those of the configuration, by name; a key that the envelope brings along never counts.
        digest: of the image's manifest.

    Raises:
        NotVerified: no key signed it, or it is about something else.
    """
    try:
        payload, key = _payload(_envelope(content), keys)
        statement = json.loads(payload)
        subjects = [each["digest"] for each in statement["subject"]]
        algorithm, _, value = digest.partition(":")
        if statement["_type"] not in STATEMENTS or not any(each.get(algorithm) == value for each in subjects):
            raise NotVerified("it is about something else")
        return Statement(key, str(statement["predicateType"]), dict(statement["predicate"]))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise NotVerified("it is not a signed statement") from None


def _envelope(content: bytes) -> Mapping[str, Any]:
    if len(content) > MAX_ENVELOPE:
        raise NotVerified(f"it has more than {MAX_ENVELOPE} bytes")
    value: Mapping[str, Any] = json.loads(content)
    envelope: Mapping[str, Any] = value.get("dsseEnvelope", value)
    return envelope


def _payload(envelope: Mapping[str, Any], keys: Mapping[str, PublicKey]) -> tuple[bytes, str]:
    """Return the payload, and the name of the key that signed it."""
    if envelope["payloadType"] != PAYLOAD_TYPE:
        raise NotVerified("its payload is not a statement of in-toto")
    payload = _decoded(envelope["payload"])
    signed = Message(pre_authentication(PAYLOAD_TYPE, payload))
    signatures: Sequence[Mapping[str, Any]] = envelope["signatures"][:MAX_SIGNATURES]
    for signature in signatures:
        for name, key in keys.items():
            if is_valid(key, _decoded(signature["sig"]), signed):
                return payload, name
    raise NotVerified("no key of the configuration signed it")


def pre_authentication(payload_type: str, payload: bytes) -> bytes:
    """Return the bytes that are signed (PAE)."""
    return b"DSSEv1 %d %s %d %s" % (len(payload_type), payload_type.encode(), len(payload), payload)


def _decoded(text: str) -> bytes:
    """Return the bytes of base64, of either alphabet."""
    return base64.b64decode(text.replace("-", "+").replace("_", "/"), validate=True)

"""Envelopes of notation in JWS, flattened JSON: RFC 7515, section 7.2.2.

    {"protected", "payload", "signature": base64url, "header": not signed; has the certificates}

https://github.com/notaryproject/specifications/blob/main/specs/signature-envelope-jws.md
"""

from datetime import UTC, datetime
from typing import Any, Final

from lading.signatures.notation import EXPIRY, SIGNING_TIME, NotationEnvelope
from lading.signatures.signature import NotVerified
from lading.signatures.strict_json import decode_base64, decode_base64url, parse_object

FIELDS: Final = frozenset({"protected", "payload", "signature", "header"})
REGISTERED: Final = ("alg", "cty", "crit")


def read(content: bytes) -> NotationEnvelope:
    """Return the envelope in a content. Raises NotVerified if there is none."""
    fields = parse_object(content, "envelope")
    if fields.keys() != FIELDS or not isinstance(fields["header"], dict):
        raise NotVerified("the envelope is no flattened JWS")
    protected = parse_object(decode_base64url(fields["protected"], "protected header"), "protected header")
    certificates = fields["header"].get("x5c")
    if not isinstance(certificates, list):
        raise NotVerified("it has no chain of certificates")
    return NotationEnvelope(
        algorithm=protected.get("alg"),
        content_type=protected.get("cty"),
        critical=protected.get("crit"),
        headers={name: each for name, each in protected.items() if name not in REGISTERED},
        times=_times(protected),
        payload=decode_base64url(fields["payload"], "payload"),
        signed=f"{fields['protected']}.{fields['payload']}".encode("ascii"),
        signature=decode_base64url(fields["signature"], "signature"),
        chain=[decode_base64(each, "certificate") for each in certificates],
    )


def _times(protected: dict[str, Any]) -> dict[str, datetime]:
    """Return the headers that are times as RFC 3339 has them."""
    times = {}
    for name in (SIGNING_TIME, EXPIRY):
        try:
            if isinstance(text := protected.get(name), str):
                time = datetime.fromisoformat(text)
                if time.tzinfo is not None:
                    times[name] = time.astimezone(UTC)
        except (ValueError, OverflowError):
            continue
    return times

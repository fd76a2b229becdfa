"""Checks signed URLs as Cloud Storage does, which no emulator does: written from its documentation alone.

https://cloud.google.com/storage/docs/authentication/canonical-requests
https://cloud.google.com/storage/docs/authentication/signatures
"""

import binascii
import hashlib
import hmac
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qsl, quote, urlsplit

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256

REQUIRED_FIELDS = ["X-Goog-Algorithm", "X-Goog-Credential", "X-Goog-Date", "X-Goog-Expires", "X-Goog-SignedHeaders"]
MAX_LIFETIME = 604_800


class SignatureRefused(Exception):
    """Cloud Storage would not take the URL; the message says why."""


@dataclass
class Verifier:
    """What Cloud Storage knows: the secrets of HMAC keys by access id, and the keys of service accounts by address."""

    secrets: dict[str, str]
    accounts: dict[str, RSAPublicKey]

    def check(self, method: str, url: str, host: str, now: datetime | None = None) -> None:
        """Raises Refused unless this method, URL and Host header are signed by any key, and not expired."""
        parts = urlsplit(url)
        given = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=True)
        fields = dict(given)
        if len(fields) != len(given) or not set(REQUIRED_FIELDS) | {"X-Goog-Signature"} <= set(fields):
            raise SignatureRefused(f"parameters {sorted(name for name, _ in given)}")
        signature = binascii.unhexlify(fields.pop("X-Goog-Signature"))
        check_time(fields, now or datetime.now(UTC))
        signer, _, scope = fields["X-Goog-Credential"].partition("/")
        if (
            scope != f"{fields['X-Goog-Date'][:8]}/auto/storage/goog4_request"
            or fields["X-Goog-SignedHeaders"] != "host"
        ):
            raise SignatureRefused(f"scope {scope}, headers {fields['X-Goog-SignedHeaders']}")
        # Names and values percent-encoded, sorted by name, joined with &.
        encoded = sorted((quote(name, safe="~"), quote(value, safe="~")) for name, value in fields.items())
        canonical = [
            method,
            parts.path,
            "&".join(f"{name}={value}" for name, value in encoded),
            f"host:{host.lower()}",
            "",
            "host",
            "UNSIGNED-PAYLOAD",
        ]
        hashed = hashlib.sha256("\n".join(canonical).encode()).hexdigest()
        text = "\n".join([fields["X-Goog-Algorithm"], fields["X-Goog-Date"], scope, hashed])
        if not self._signed(fields["X-Goog-Algorithm"], signer, scope, text, signature):
            raise SignatureRefused("SignatureDoesNotMatch")

    def _signed(self, algorithm: str, signer: str, scope: str, text: str, signature: bytes) -> bool:
        if algorithm == "GOOG4-HMAC-SHA256" and signer in self.secrets:
            key = b"GOOG4" + self.secrets[signer].encode()
            for step in scope.split("/"):
                key = hmac.new(key, step.encode(), hashlib.sha256).digest()
            return hmac.new(key, text.encode(), hashlib.sha256).digest() == signature
        if algorithm == "GOOG4-RSA-SHA256" and signer in self.accounts:
            try:
                self.accounts[signer].verify(signature, text.encode(), PKCS1v15(), SHA256())
            except InvalidSignature:
                return False
            return True
        raise SignatureRefused(f"nobody knows {signer} with {algorithm}")


def check_time(fields: dict[str, str], now: datetime) -> None:
    """Raises Refused outside of the time for which a URL is signed, a week at most; clocks may differ by 15 minutes."""
    begin = datetime.strptime(fields["X-Goog-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    seconds = int(fields["X-Goog-Expires"])
    if not (0 < seconds <= MAX_LIFETIME and begin - timedelta(minutes=15) <= now <= begin + timedelta(seconds=seconds)):
        raise SignatureRefused("ExpiredToken")

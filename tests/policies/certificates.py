"""Certificates of signers."""

from datetime import UTC, datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

NOW: Final = datetime.now(UTC)


def certificate(begin: timedelta, end: timedelta) -> str:
    """Return a certificate that is valid from and until some time from now."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "signer")])
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, NOW + begin, NOW + end)
    usage = x509.KeyUsage(True, False, False, False, False, False, False, False, False)
    extended = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING])
    builder = builder.add_extension(usage, critical=True).add_extension(extended, critical=False)
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM).decode()

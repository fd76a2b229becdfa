"""Certificates for tests."""

from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


def self_signed(
    folder: Path,
    curve: ec.EllipticCurve = ec.SECP256R1(),  # noqa: B008  # it has no state
    critical: x509.ExtensionType | None = None,
    age: timedelta = timedelta(minutes=5),
) -> tuple[Path, Path]:
    """Write a certificate for localhost and 127.0.0.1 that signs itself, and its key; return their paths.

    Args:
        folder: of the files.
        curve: of the key.
        critical: one more extension, which is critical.
        age: how long ago its day began.
    """
    key = ec.generate_private_key(curve)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    names = x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(IPv4Address("127.0.0.1"))])
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - age)
        .not_valid_after(now - age + timedelta(days=1, minutes=5))
        .add_extension(names, critical=False)
    )
    if critical is not None:
        builder = builder.add_extension(critical, critical=True)
    certificate = builder.sign(key, hashes.SHA256())
    (folder / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    plain = serialization.NoEncryption()
    encoded = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    (folder / "key.pem").write_bytes(encoded)
    return folder / "cert.pem", folder / "key.pem"

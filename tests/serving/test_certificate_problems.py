"""What cannot be served is one line, which names the file, what is wrong with it, and what to do."""

import logging
from codecs import BOM_UTF8
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Final

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, rsa
from cryptography.x509.oid import NameOID

from lading import settings
from lading.server.certificate import Certificate
from tests.support.certificates import self_signed

DER: Final = serialization.Encoding.DER
PEM: Final = serialization.Encoding.PEM
PKCS8: Final = serialization.PrivateFormat.PKCS8
PLAIN: Final = serialization.NoEncryption()
NAME: Final = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "other")])


def other_key(folder: Path) -> bytes:
    return ec.generate_private_key(ec.SECP256R1()).private_bytes(PEM, PKCS8, PLAIN)


def key_of(folder: Path) -> ec.EllipticCurvePrivateKey:
    key = serialization.load_pem_private_key((folder / "key.pem").read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return key


def encrypted(folder: Path) -> bytes:
    return key_of(folder).private_bytes(PEM, PKCS8, serialization.BestAvailableEncryption(b"secret"))


def encrypted_as_before(folder: Path) -> bytes:
    traditional = serialization.PrivateFormat.TraditionalOpenSSL
    return key_of(folder).private_bytes(PEM, traditional, serialization.BestAvailableEncryption(b"secret"))


def rsa_key(size: int) -> Callable[[Path], bytes]:
    return lambda folder: rsa.generate_private_key(65537, size).private_bytes(PEM, PKCS8, PLAIN)


def request(folder: Path) -> bytes:
    return x509.CertificateSigningRequestBuilder(NAME).sign(key_of(folder), hashes.SHA256()).public_bytes(PEM)


def another_first(folder: Path) -> bytes:
    (folder / "other").mkdir()
    other, _ = self_signed(folder / "other")
    return other.read_bytes() + (folder / "cert.pem").read_bytes()


def damaged(name: str) -> Callable[[Path], bytes]:
    return lambda folder: (folder / name).read_bytes().replace(b"M", b"A", 3)


CERTS: Final[dict[str, Callable[[Path], bytes]]] = {
    "is empty": lambda folder: b"\n",
    "is not PEM": lambda folder: b"nonsense",
    "is DER; convert it to PEM: openssl x509": lambda folder: x509.load_pem_x509_certificate(
        (folder / "cert.pem").read_bytes()
    ).public_bytes(DER),
    "has a private key and no certificate": lambda folder: (folder / "key.pem").read_bytes(),
    "has a request for a certificate": request,
    "has a certificate that is damaged": damaged("cert.pem"),
    "begins with a byte order mark; save it": lambda folder: BOM_UTF8 + (folder / "cert.pem").read_bytes(),
    "begins with a byte order mark": lambda folder: (folder / "cert.pem").read_text().encode("utf-16"),
    "begins with another certificate than the key's": another_first,
}
KEYS: Final[dict[str, Callable[[Path], bytes]]] = {
    "is empty": lambda folder: b"",
    "is not PEM": lambda folder: b"nonsense",
    "is DER; convert it to PEM: openssl pkey": lambda folder: key_of(folder).private_bytes(DER, PKCS8, PLAIN),
    "has a certificate and no private key": lambda folder: (folder / "cert.pem").read_bytes(),
    "is encrypted with a password": encrypted,
    "is encrypted with a password; decrypt": encrypted_as_before,
    "has a private key that is damaged": damaged("key.pem"),
    "begins with a byte order mark; save it": lambda folder: BOM_UTF8 + (folder / "key.pem").read_bytes(),
    "has an RSA key of 1024 bits": rsa_key(1024),
    "is not the key of the certificate in": other_key,
    "is not the key of the certificate": rsa_key(2048),
    "has a key of the curve secp521r1": lambda folder: ec.generate_private_key(ec.SECP521R1()).private_bytes(
        PEM, PKCS8, PLAIN
    ),
    "has a key of another kind": lambda folder: ed448.Ed448PrivateKey.generate().private_bytes(PEM, PKCS8, PLAIN),
}


def refusal(folder: Path) -> str:
    """Return the error of the files in a folder."""
    variables = {"LADING_TLS_CERT": str(folder / "cert.pem"), "LADING_TLS_KEY": str(folder / "key.pem")}
    with pytest.raises(settings.SettingsError) as error:
        Certificate(settings.load_settings(variables))
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("said", CERTS)
def test_a_certificate_that_cannot_be_served_is_named(said: str, tmp_path: Path) -> None:
    cert, _ = self_signed(tmp_path)
    cert.write_bytes(CERTS[said](tmp_path))
    assert refusal(tmp_path).startswith(f"--tls-cert {cert}: {said}")
    assert ";" in refusal(tmp_path)


@pytest.mark.parametrize("said", KEYS)
def test_a_key_that_cannot_be_served_is_named(said: str, tmp_path: Path) -> None:
    _, key = self_signed(tmp_path)
    key.write_bytes(KEYS[said](tmp_path))
    assert refusal(tmp_path).startswith(f"--tls-key {key}: {said}")
    assert ";" in refusal(tmp_path)


@pytest.mark.parametrize("name", ["cert", "key"])
def test_a_folder_is_named(name: str, tmp_path: Path) -> None:
    self_signed(tmp_path)
    path = tmp_path / f"{name}.pem"
    path.unlink()
    path.mkdir()
    assert refusal(tmp_path) == f"--tls-{name} {path}: Is a directory; name a file in PEM that this user may read"


@pytest.mark.parametrize(
    ("age", "said"), [(timedelta(days=2), "expired on"), (timedelta(days=-2), "is not valid before"), (timedelta(), "")]
)
def test_a_certificate_that_is_not_valid_now_is_served_with_a_warning(
    age: timedelta, said: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A clock that is wrong after a power failure must not keep the registry from starting."""
    cert, key = self_signed(tmp_path, age=age)
    with caplog.at_level(logging.WARNING, "lading"):
        Certificate(settings.load_settings({"LADING_TLS_CERT": str(cert), "LADING_TLS_KEY": str(key)}))
    assert [record.message.startswith(f"--tls-cert {cert}: {said}") for record in caplog.records] == [True] * bool(said)

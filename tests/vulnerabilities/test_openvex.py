"""OpenVEX: only statements that a key of the configuration signed, about this image, suppress findings."""

import base64
import json
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, x25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from packageurl import PackageURL

from lading.scanning.findings import Finding
from lading.scanning.packages import Package
from lading.signatures import dsse
from lading.signatures.dsse import pre_authentication, verify
from lading.signatures.public_keys import KeyInvalid, PublicKey, load_key
from lading.signatures.signature import NotVerified
from lading.vulnerabilities import openvex
from lading.vulnerabilities.openvex import VexError, suppress

DIGEST: Final = "sha256:" + "a" * 64
OTHER: Final = "sha256:" + "b" * 64
P256: Final = ec.generate_private_key(ec.SECP256R1())
P384: Final = ec.generate_private_key(ec.SECP384R1())
RSA: Final = rsa.generate_private_key(65537, 2048)
EDWARDS: Final = ed25519.Ed25519PrivateKey.generate()
SHA: Final = hashes.SHA256()

OPENSSL: Final = Package(
    type="deb", namespace="debian", name="libssl3", version="3.0.1-1", arch="amd64", source="openssl"
)


def document(*statements: Mapping[str, Any], **fields: Any) -> dict[str, Any]:
    return {
        "@context": "https://openvex.dev/ns/v0.2.0",
        "timestamp": "2026-01-01T00:00:00Z",
        "statements": statements,
    } | fields


def statement(id: str = "CVE-1", status: str = "not_affected", product: Any = None, **fields: Any) -> dict[str, Any]:
    product = product or {"@id": f"pkg:oci/app@{DIGEST}"}
    return {"vulnerability": {"name": id}, "status": status, "products": [product], **fields}


def envelope(sign: Any, predicate: Mapping[str, Any] | None = None, subject: str = DIGEST, **changed: Any) -> bytes:
    """Return an envelope; `sign` makes the signature of bytes."""
    algorithm, _, value = subject.partition(":")
    about = {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": "x", "digest": {algorithm: value}}],
        "predicateType": "https://openvex.dev/ns/v0.2.0",
        "predicate": predicate or document(statement()),
    }
    payload = json.dumps(about).encode()
    signature = sign(pre_authentication(dsse.PAYLOAD_TYPE, payload))
    return json.dumps(
        {
            "payloadType": dsse.PAYLOAD_TYPE,
            "payload": base64.b64encode(payload).decode(),
            "signatures": [{"sig": base64.b64encode(signature).decode()}],
            **changed,
        }
    ).encode()


def p256(content: bytes) -> bytes:
    return P256.sign(content, ec.ECDSA(SHA))


def key_of(private: Any) -> PublicKey:
    return load_key(private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))


KEYS: Final = {"vex": key_of(P256)}


def test_a_long_document_is_parsed_once_for_all_findings(monkeypatch: pytest.MonkeyPatch) -> None:
    """A vendor names thousands of products in one statement, and an image has a package in hundreds of places."""
    parse, parsed = PackageURL.from_string, Counter[str]()

    def counted(purl: str) -> PackageURL:
        parsed[purl] += 1
        return parse(purl)

    monkeypatch.setattr(PackageURL, "from_string", counted)
    products = [{"@id": f"pkg:npm/not-here-{number}@1"} for number in range(50)]
    about_all = statement() | {"products": products}
    others = [statement(f"CVE-{number}") | {"products": [{"@id": f"pkg:npm/of-{number}"}]} for number in range(2, 50)]
    found = [
        Finding(id="CVE-1", package=Package(type="npm", name="a", version="1", path=str(number)), ecosystem="npm")
        for number in range(50)
    ]

    suppressed = suppress(found, openvex.parse(document(about_all, *others)), DIGEST)

    assert not any(each.suppressed for each in suppressed)
    assert {*parsed.values()} == {1}
    assert len(parsed) == 50, "statements about other vulnerabilities are not looked at"


@pytest.mark.parametrize(
    ("private", "sign"),
    [
        (P256, p256),
        (P384, lambda content: P384.sign(content, ec.ECDSA(hashes.SHA384()))),
        (P384, lambda content: P384.sign(content, ec.ECDSA(SHA))),
        (RSA, lambda content: RSA.sign(content, padding.PKCS1v15(), SHA)),
        (RSA, lambda content: RSA.sign(content, padding.PSS(padding.MGF1(SHA), 32), SHA)),
        (EDWARDS, EDWARDS.sign),
    ],
    ids=["p256", "p384-sha384", "p384-sha256", "rsa-pkcs1", "rsa-pss", "ed25519"],
)
def test_signatures_of_each_kind_of_key(private: Any, sign: Any) -> None:
    found = verify(
        envelope(sign), {"other": key_of(ec.generate_private_key(ec.SECP256R1())), "vex": key_of(private)}, DIGEST
    )

    assert (found.key, found.predicate_type) == ("vex", "https://openvex.dev/ns/v0.2.0")
    assert found.predicate["statements"] == [statement()]


def test_a_bundle_of_sigstore() -> None:
    """As cosign 3.1 writes it: an envelope in a bundle, a signature without a keyid."""
    bundle = json.dumps({"verificationMaterial": {}, "dsseEnvelope": json.loads(envelope(p256))}).encode()

    assert verify(bundle, KEYS, DIGEST).key == "vex"


REAL_DIGEST: Final = "sha256:570a4039b0a34d1fe7c5e224d70c69f09facf7fd792a1591ccbf0dab4c707201"
REAL_PAYLOAD: Final = (
    '{"_type":"https://in-toto.io/Statement/v1","subject":[{"digest":{"sha256":"DIGEST"},"annotations":{"team":"infra"}}],'
    '"predicateType":"https://sigstore.dev/cosign/sign/v1","predicate":{}}'
).replace("DIGEST", REAL_DIGEST.removeprefix("sha256:"))
REAL_SIGNATURE: Final = (
    "MEUCIQDCc0k3f6dLCHF74Ol2OoRmDeg1zHn7Mj/sTVikp6lHDwIgL3vVc6PYi7Ap4ezTN3T6lB5lQTYdJaSJBkGgrzTspl4="
)
REAL: Final = json.dumps(
    {
        "payload": base64.b64encode(REAL_PAYLOAD.encode()).decode(),
        "payloadType": "application/vnd.in-toto+json",
        "signatures": [{"sig": REAL_SIGNATURE}],
    }
).encode()
"""The envelope of a signature that cosign 3.1.3 made."""

REAL_KEY: Final = b"""-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE6WC9dAWQUFDDL6grLL2z/g3QypON
Sx0BRxyCQ+FCDQgEKLZ7udiZRAlJVOmnph6qSDzQp56t+QqKguR2x1xtvg==
-----END PUBLIC KEY-----
"""


def test_what_cosign_signed() -> None:
    found = verify(REAL, {"cosign": load_key(REAL_KEY)}, REAL_DIGEST)

    # It says nothing about vulnerabilities.
    assert (found.key, found.predicate_type) == ("cosign", "https://sigstore.dev/cosign/sign/v1")
    with pytest.raises(NotVerified, match="no key of the configuration"):
        verify(REAL, KEYS, REAL_DIGEST)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (envelope(lambda _: b"x" * 70), "no key"),
        (envelope(p256, subject=OTHER), "something else"),
        (envelope(p256, payloadType="text/plain"), "not a statement of in-toto"),
        (envelope(p256, payload=base64.b64encode(b"{}").decode()), "no key"),
        (envelope(p256, payload="%%%"), "not a signed statement"),
        (envelope(p256, signatures=[]), "no key"),
        (envelope(p256, signatures=[{"keyid": "x"}]), "not a signed statement"),
        (envelope(p256, signatures=None), "not a signed statement"),
        (b"[]", "not a signed statement"),
        (b"{", "not a signed statement"),
        (b"[" * 100_000, "not a signed statement"),
        (b" " * (dsse.MAX_ENVELOPE + 1), "more than"),
    ],
    ids=range(12),
)
def test_what_is_not_verified(content: bytes, reason: str) -> None:
    with pytest.raises(NotVerified, match=reason):
        verify(content, KEYS, DIGEST)


def test_each_changed_byte_is_noticed() -> None:
    whole = envelope(p256)
    value = json.loads(whole)
    payload = base64.b64decode(value["payload"])
    for at in range(len(payload)):
        changed = payload[:at] + bytes([payload[at] ^ 1]) + payload[at + 1 :]
        content = json.dumps(value | {"payload": base64.b64encode(changed).decode()}).encode()
        with pytest.raises(NotVerified):
            verify(content, KEYS, DIGEST)


@pytest.mark.parametrize(
    "pem",
    [
        b"",
        b"no key",
        x25519.X25519PrivateKey.generate().public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        rsa.generate_private_key(65537, 1024)
        .public_key()
        .public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
    ],
    ids=["empty", "text", "x25519", "rsa-1024"],
)
def test_keys_that_are_refused(pem: bytes) -> None:
    with pytest.raises(KeyInvalid):
        load_key(pem)


def finding(id: str = "DEBIAN-CVE-1", *aliases: str, package: Package = OPENSSL, **fields: Any) -> Finding:
    return Finding(id=id, aliases=aliases or ("CVE-1",), package=package, ecosystem="Debian:12", **fields)


def reasons(*findings: Finding, statements: list[dict[str, Any]], **fields: Any) -> list[str]:
    parsed = openvex.parse(document(*statements, **fields))
    return [each.suppressed for each in suppress(findings, parsed, DIGEST)]


def test_the_reason_is_kept() -> None:
    why = {"justification": "vulnerable_code_not_present"}

    assert reasons(finding(), finding("X", "CVE-2"), statements=[statement(**why)]) == [
        "not_affected: vulnerable_code_not_present",
        "",
    ]
    assert reasons(finding(), statements=[statement(status="fixed")]) == ["fixed"]


@pytest.mark.parametrize("status", ["affected", "under_investigation"])
def test_the_latest_statement_counts(status: str) -> None:
    old = statement(timestamp="2025-01-01T00:00:00Z")
    new = statement(status=status, timestamp="2026-01-01T00:00:00+01:00")

    assert reasons(finding(), statements=[old, new]) == reasons(finding(), statements=[new, old]) == [""]
    assert reasons(finding(), statements=[new, statement(timestamp="2026-06-01T00:00:00")]) == ["not_affected"]


@pytest.mark.parametrize(
    ("product", "about"),
    [
        (f"pkg:oci/app@{DIGEST}", True),
        (f"pkg:oci/app@{DIGEST.replace(':', '%3A')}?repository_url=example.com/app", True),
        (f"example.com/app@{DIGEST}", True),
        ("pkg:oci/app?repository_url=example.com/app", True),
        (f"pkg:oci/app@{OTHER}", False),
        ({"@id": "https://example.com/app", "hashes": {"sha-256": DIGEST[7:]}}, True),
        ({"@id": "https://example.com/app", "hashes": {"sha-256": OTHER[7:]}}, False),
        ({"identifiers": {"purl": f"pkg:oci/app@{DIGEST}"}}, True),
        (
            {"@id": f"pkg:oci/app@{DIGEST}", "subcomponents": [{"@id": "pkg:deb/debian/libssl3@3.0.1-1?arch=amd64"}]},
            True,
        ),
        ({"@id": f"pkg:oci/app@{DIGEST}", "subcomponents": [{"@id": "pkg:deb/debian/libssl3"}]}, True),
        ({"@id": f"pkg:oci/app@{DIGEST}", "subcomponents": ["pkg:deb/debian/libssl3@3.0.2-1"]}, False),
        ({"@id": f"pkg:oci/app@{DIGEST}", "subcomponents": ["pkg:deb/debian/libssl3?arch=arm64"]}, False),
        ({"@id": f"pkg:oci/app@{DIGEST}", "subcomponents": ["pkg:deb/debian/curl"]}, False),
        ({"@id": f"pkg:oci/app@{DIGEST}", "subcomponents": ["damaged"]}, False),
        ({"@id": f"pkg:oci/app@{OTHER}", "subcomponents": ["pkg:deb/debian/libssl3"]}, False),
        ("pkg:deb/debian/libssl3@3.0.1-1", True),
        ("pkg:deb/debian/libssl3@3.0.1-2", False),
        ("pkg:rpm/debian/libssl3@3.0.1-1", False),
        # The digest of a package's file is not known.
        ({"@id": "pkg:deb/debian/libssl3", "hashes": {"sha-256": OTHER[7:]}}, False),
    ],
)
def test_what_a_product_is(product: Any, about: bool) -> None:
    assert reasons(finding(), statements=[statement(product=product)]) == (["not_affected"] if about else [""])


@pytest.mark.parametrize(
    ("purl", "package"),
    [
        ("pkg:pypi/zope-interface@1.0", Package(type="pypi", name="Zope_Interface", version="1.0")),
        ("pkg:golang/github.com/docker/docker", Package(type="golang", name="github.com/docker/docker")),
        ("pkg:npm/%40types/node", Package(type="npm", namespace="@types", name="node")),
        ("pkg:maven/org.a/b@1", Package(type="maven", namespace="org.a", name="b", version="1")),
    ],
)
def test_packages_of_languages(purl: str, package: Package) -> None:
    assert reasons(finding(package=package), statements=[statement(product=purl)]) == ["not_affected"]


def test_the_form_of_version_0_0_1() -> None:
    """Strings, and the subcomponents beside the products."""
    old = {
        "vulnerability": "CVE-1",
        "products": [f"pkg:oci/app@{DIGEST}"],
        "subcomponents": ["pkg:deb/debian/libssl3"],
        "status": "not_affected",
    }

    assert reasons(finding(), statements=[old]) == ["not_affected"]
    assert reasons(finding(), statements=[old | {"subcomponents": ["pkg:deb/debian/curl"]}]) == [""]


def test_an_advisory_counts_until_nothing_of_it_does() -> None:
    advisory = finding("RLSA-1", "none", covers=("CVE-1", "CVE-2"))

    assert reasons(advisory, statements=[statement("CVE-1")]) == [""]
    assert reasons(advisory, statements=[statement("CVE-1"), statement("CVE-2", "fixed")]) == ["not_affected"]
    assert reasons(advisory, statements=[statement("RLSA-1")]) == ["not_affected"]


def test_times_of_a_document_are_those_of_its_statements() -> None:
    (own,) = openvex.parse(document(statement()))
    (later,) = openvex.parse(document(statement(), last_updated="2026-02-01T00:00:00Z"))

    assert (own.at, later.at) == (datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC))


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"statements": 3},
        document(3),  # type: ignore[arg-type]
        document(statement(status="harmless")),
        document(statement(id=None)),  # type: ignore[arg-type]
        document(statement(timestamp="soon")),
        document(statement() | {"products": [3]}),
        document(*[statement()] * (openvex.MAX_STATEMENTS + 1)),
    ],
    ids=range(8),
)
def test_what_is_not_openvex_is_refused(value: Any) -> None:
    with pytest.raises(VexError):
        openvex.parse(value)

"""Signatures by identities: which certificates and proofs count, offline, by a Sigstore of the tests."""

import base64
import json
import os
import random
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from lading.signatures import keyless
from lading.signatures.keyless import load_trusted_root
from lading.signatures.public_keys import KeyInvalid
from lading.signatures.signature import Anchors, Candidate, Signature
from lading.signatures.verify import verify
from tests.signatures.authorities import ec_key
from tests.signatures.fake_sigstore import SIGNED_AT, SUBJECT, TOKEN_ISSUER, FakeSigstore
from tests.signatures.golden_inputs import ALL, ANOTHER_DIGEST, DIGEST, FOLDER, NOW, bundle

SIGSTORE: Final = FakeSigstore()
ROOT: Final = load_trusted_root(SIGSTORE.trusted_root)
ANCHORS: Final = Anchors(trusted_root=ROOT)

ROUNDS: Final = 5_000 if os.environ.get("LADING_NIGHTLY") == "1" else 200

Change = Callable[[dict[str, Any]], object]


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def why(candidate: Candidate, anchors: Anchors = ANCHORS) -> str:
    result = verify(candidate, anchors, DIGEST, NOW)
    assert result.signatures == ()
    return result.reasons[0]


def test_an_identity_is_what_its_certificate_says() -> None:
    email = SIGSTORE.certificate([x509.RFC822Name("release@example.com")], "https://accounts.google.com")
    for certificate, identity, issuer in (
        (SIGSTORE.certificate(), SUBJECT, TOKEN_ISSUER),
        (SIGSTORE.certificate(old_issuer=True), SUBJECT, TOKEN_ISSUER),
        (email, "release@example.com", "https://accounts.google.com"),
    ):
        (signature,) = verify(SIGSTORE.bundle(certificate), ANCHORS, DIGEST, NOW).signatures
        assert signature == Signature(signer=ROOT.fingerprint, format="cosign-bundle", identity=identity, issuer=issuer)


def test_a_signature_does_not_expire_with_its_certificate() -> None:
    """It was made while the certificate was valid, as the log says."""
    assert verify(SIGSTORE.bundle(), ANCHORS, DIGEST, NOW + timedelta(days=3650)).signatures


def test_the_root_decides() -> None:
    other = FakeSigstore(name="other")

    assert "Sigstore does not verify it" in why(other.bundle())
    assert why(SIGSTORE.bundle(), ALL) == "an identity signed it, and no policy trusts identities"
    assert why(SIGSTORE.bundle(), Anchors(trusted_root=load_trusted_root(other.trusted_root)))
    assert why(SIGSTORE.bundle(), Anchors(trusted_root=load_trusted_root(None)))


BUNDLES: dict[str, tuple[Callable[[], Candidate], str]] = {
    "of another digest": (lambda: SIGSTORE.bundle(digest=ANOTHER_DIGEST), "it signs another digest"),
    "of another type": (
        lambda: SIGSTORE.bundle(payload_type="text/plain"),
        "its payload is not a statement of in-toto",
    ),
    "of an SBOM": (lambda: SIGSTORE.bundle(predicate_type="https://spdx.dev/Document"), "it is no signature, but"),
    "without an SCT": (lambda: SIGSTORE.bundle(SIGSTORE.certificate(sct=False)), "does not contain a signed cert"),
    "with an SCT of another log": (
        lambda: FakeSigstore(ct_key=ec_key("other")).bundle(),
        "failed to verify SCT on signing certificate",
    ),
    "in another log": (lambda: FakeSigstore(log_key=ec_key("other")).bundle(), "invalid log entry: checkpoint"),
    "for servers": (
        lambda: SIGSTORE.bundle(SIGSTORE.certificate(use=ExtendedKeyUsageOID.SERVER_AUTH)),
        "Extended usage does not contain `code signing`",
    ),
    "without an issuer": (lambda: SIGSTORE.bundle(SIGSTORE.certificate(issuer=None)), "names no issuer"),
    "with an empty issuer": (lambda: SIGSTORE.bundle(SIGSTORE.certificate(issuer="")), "identity or issuer of more"),
    "with a long issuer": (lambda: SIGSTORE.bundle(SIGSTORE.certificate(issuer="x" * 1001)), "more than 1000 char"),
    "of two subjects": (
        lambda: SIGSTORE.bundle(SIGSTORE.certificate([x509.RFC822Name("a@b.c"), x509.RFC822Name("d@e.f")])),
        "does not have one email address or URI",
    ),
    "of a host": (
        lambda: SIGSTORE.bundle(SIGSTORE.certificate([x509.DNSName("example.com")])),
        "does not have one email address or URI",
    ),
    "before its certificate": (
        lambda: SIGSTORE.bundle(logged_at=SIGNED_AT - timedelta(seconds=1)),
        "cert is not valid",
    ),
    "after its certificate": (
        lambda: SIGSTORE.bundle(logged_at=SIGNED_AT + timedelta(minutes=11)),
        "cert is not valid",
    ),
}


@pytest.mark.parametrize(("candidate", "reason"), BUNDLES.values(), ids=BUNDLES.keys())
def test_a_bundle_is_no_signature(candidate: Callable[[], Candidate], reason: str) -> None:
    assert reason in why(candidate())


def entry_of(value: dict[str, Any]) -> dict[str, Any]:
    entry: dict[str, Any] = value["verificationMaterial"]["tlogEntries"][0]
    return entry


OTHER: Final = json.loads(SIGSTORE.bundle(digest=ANOTHER_DIGEST).content)
ZERO: Final = base64.b64encode(bytes(32)).decode()

CHANGES: dict[str, tuple[Change, str]] = {
    "no entry": (lambda each: each["verificationMaterial"].update(tlogEntries=[]), "exactly one log entry"),
    "two entries": (
        lambda each: each["verificationMaterial"].update(tlogEntries=[entry_of(each)] * 2),
        "exactly one log entry",
    ),
    "the entry of another": (
        lambda each: each["verificationMaterial"].update(tlogEntries=[entry_of(OTHER)]),
        "log entry payload hash does not match bundle",
    ),
    "the envelope of another": (
        lambda each: each.update(dsseEnvelope=OTHER["dsseEnvelope"]),
        "log entry payload hash does not match bundle",
    ),
    "the signature of another": (
        lambda each: each["dsseEnvelope"].update(signatures=OTHER["dsseEnvelope"]["signatures"]),
        "DSSE: invalid signature",
    ),
    "no promise": (lambda each: entry_of(each).pop("inclusionPromise"), "inclusion promise or signed timestamp"),
    "a wrong promise": (
        lambda each: entry_of(each).update(inclusionPromise=entry_of(OTHER)["inclusionPromise"]),
        "invalid inclusion promise",
    ),
    "another time": (
        lambda each: entry_of(each).update(integratedTime=str(int(SIGNED_AT.timestamp()) + 6)),
        "invalid inclusion promise",
    ),
    "no proof": (lambda each: entry_of(each).pop("inclusionProof"), "failed to load bundle"),
    "another root hash": (lambda each: entry_of(each)["inclusionProof"].update(rootHash=ZERO), "invalid log entry"),
    "another sibling": (lambda each: entry_of(each)["inclusionProof"].update(hashes=[ZERO]), "invalid log entry"),
    "no checkpoint": (lambda each: entry_of(each)["inclusionProof"].pop("checkpoint"), "with checkpoint"),
    "the checkpoint of another": (
        lambda each: entry_of(each)["inclusionProof"].update(
            checkpoint=entry_of(OTHER)["inclusionProof"]["checkpoint"]
        ),
        "invalid log entry",
    ),
    "a message signature": (
        lambda each: each.update(messageSignature={"signature": ZERO}, dsseEnvelope=None),
        "without a DSSE envelope",
    ),
    "a chain": (
        lambda each: each["verificationMaterial"].update(
            certificate=None, x509CertificateChain={"certificates": [each["verificationMaterial"]["certificate"]]}
        ),
        "expected certificate in bundle",
    ),
    "garbage": (lambda each: each["verificationMaterial"].update(certificate={"rawBytes": "AAAA"}), ""),
}


@pytest.mark.parametrize(("change", "reason"), CHANGES.values(), ids=CHANGES.keys())
def test_each_part_of_the_proof_counts(change: Change, reason: str) -> None:
    assert reason in why(SIGSTORE.bundle(change=change))


def signed_parts(candidate: Candidate) -> tuple[bytes, ...]:
    fields = json.loads(candidate.content)
    envelope, material = fields["dsseEnvelope"], fields["verificationMaterial"]
    parts = (envelope["payload"], envelope["signatures"][0]["sig"], material["certificate"]["rawBytes"])
    return tuple(base64.b64decode(each) for each in parts)


def test_no_damaged_bundle_counts_unless_what_is_signed_is_whole() -> None:
    rng, candidate = random.Random(22), SIGSTORE.bundle()
    refused = 0
    for _ in range(ROUNDS):
        content = bytearray(candidate.content)
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        damaged = replace(candidate, content=bytes(content))
        found = verify(damaged, ANCHORS, DIGEST, NOW)
        refused += not found.signatures
        for signature in found.signatures:
            assert (signature.identity, signature.issuer) == (SUBJECT, TOKEN_ISSUER)
            assert signed_parts(damaged) == signed_parts(candidate)
    assert refused > ROUNDS * 0.9


def test_the_public_root_verifies_what_the_public_sigstore_signed() -> None:
    """A real attestation by an identity: its certificate, entry and signature hold, and it is no signature still."""
    content = (FOLDER / "sigstore" / "attestation.json").read_bytes()
    root = load_trusted_root(None)

    signature, _ = keyless.verify(content, root)
    assert (signature.identity, signature.issuer) == ("cody@soyland.com", "https://github.com/login/oauth")
    candidate = replace(bundle("p256.bundle"), content=content)
    assert "an attestation of type 'https://cosign.sigstore.dev/attestation/v1'" in why(
        candidate, Anchors(trusted_root=root)
    )
    assert "Sigstore does not verify it" in why(candidate)


def test_a_root_is_known_by_its_content() -> None:
    public = load_trusted_root(None)
    assert public.fingerprint.startswith("sigstore:public@")
    assert len({public.fingerprint, ROOT.fingerprint, load_trusted_root(SIGSTORE.trusted_root + b" ").fingerprint}) == 3
    for wrong in (b"", b"{}", b"[]", b"x", SIGSTORE.trusted_root.replace(b"version=0.1", b"version=9")):
        with pytest.raises(KeyInvalid, match="it is no trusted root of Sigstore"):
            load_trusted_root(wrong)
    with pytest.raises(KeyInvalid, match="more than 1 MiB"):
        load_trusted_root(b" " * (keyless.MAX_ROOT + 1))


def test_without_the_package_the_reason_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    keyless._verifier.cache_clear()
    for name in [each for each in sys.modules if each == "sigstore" or each.startswith("sigstore.")]:
        monkeypatch.setitem(sys.modules, name, None)

    assert why(SIGSTORE.bundle()) == "identities need the extra sigstore: pip install 'lading-registry[sigstore]'"
    with pytest.raises(KeyInvalid, match="identities need the extra sigstore"):
        load_trusted_root(SIGSTORE.trusted_root)


def test_heavy_packages_are_imported_at_their_first_use() -> None:
    heavy = "{'sigstore', 'cbor2', 'nacl', 'pydantic', 'tuf'} & {each.partition('.')[0] for each in sys.modules}"
    code = (
        "import sys, lading.signatures.signature; assert 'cryptography' not in sys.modules;"
        f"import lading.signatures.verify, lading.signatures.attachments, lading.signatures.keyless; print({heavy})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"

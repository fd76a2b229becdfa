"""Bundles and layers of cosign that are nearly signatures: each is refused, with the reason."""

import base64
import hashlib
import json
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, Final

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding

from lading.signatures import public_keys
from lading.signatures.cosign_bundle import PREDICATE
from lading.signatures.cosign_legacy import ANNOTATION, TYPE
from lading.signatures.dsse import PAYLOAD_TYPE, pre_authentication
from lading.signatures.public_keys import KeyInvalid, Message, PublicKey, is_valid, load_key
from lading.signatures.signature import BUNDLE, MAX_SIGNATURE, SIMPLE_SIGNING, Anchors, Candidate, TrustedRoot
from lading.signatures.verify import verify
from tests.signatures.authorities import ec_key, rsa_key
from tests.signatures.golden_inputs import ANOTHER_DIGEST, DIGEST, NOW, anchors_of
from tests.support.vex_documents import public_pem

KEY: Final = ec_key("cosign")
ANCHORS: Final = anchors_of(KEY.public_key())

STATEMENT: Final[Mapping[str, Any]] = {
    "_type": "https://in-toto.io/Statement/v1",
    "subject": [{"digest": {"sha256": DIGEST[7:]}}],
    "predicateType": PREDICATE,
    "predicate": {},
}
PAYLOAD: Final[Mapping[str, Any]] = {
    "critical": {
        "identity": {"docker-reference": "registry.example.com/team/app"},
        "image": {"docker-manifest-digest": DIGEST},
        "type": TYPE,
    },
    "optional": None,
}


def sign(content: bytes) -> str:
    return base64.b64encode(KEY.sign(content, ec.ECDSA(hashes.SHA256()))).decode()


def envelope(payload: bytes, payload_type: str = PAYLOAD_TYPE) -> dict[str, Any]:
    signature = sign(pre_authentication(payload_type, payload))
    encoded = base64.b64encode(payload).decode()
    return {"payloadType": payload_type, "payload": encoded, "signatures": [{"sig": signature}]}


def bundle(envelope: object, **fields: Any) -> Candidate:
    material = {"publicKey": {"hint": "x"}}
    content = {"mediaType": BUNDLE, "verificationMaterial": material, "dsseEnvelope": envelope} | fields
    return Candidate(media_type=BUNDLE, content=json.dumps(content).encode())


def statement(**fields: Any) -> Candidate:
    return bundle(envelope(json.dumps({**STATEMENT, **fields}).encode()))


def layer(payload: bytes, signature: str | None = None, annotation: str = ANNOTATION) -> Candidate:
    annotations = {annotation: sign(payload) if signature is None else signature}
    return Candidate(media_type=SIMPLE_SIGNING, content=payload, annotations=annotations)


def payload(**critical: Any) -> bytes:
    return json.dumps({**PAYLOAD, "critical": {**PAYLOAD["critical"], **critical}}).encode()


def why(candidate: Candidate, anchors: Anchors = ANCHORS) -> str:
    result = verify(candidate, anchors, DIGEST, NOW)
    assert result.signatures == ()
    return result.reasons[0]


def test_what_the_tests_below_change_is_a_signature() -> None:
    for candidate in (statement(), layer(payload())):
        assert verify(candidate, ANCHORS, DIGEST, NOW).signatures


def test_what_is_signed_beside_does_not_matter() -> None:
    """Further subjects, digests, annotations and names are the signer's affair."""
    subjects = [{"name": "x", "digest": {"sha256": "0" * 64}}, {"digest": {"sha1": "0", "sha256": DIGEST[7:]}}]
    for candidate in (
        statement(subject=subjects),
        statement(predicate={"x": [1]}),
        layer(payload(identity={"docker-reference": "elsewhere.example.com/other"})),
        layer(payload(identity={})),
        layer(json.dumps({**PAYLOAD, "optional": {"team": "infra"}}).encode()),
    ):
        assert verify(candidate, ANCHORS, DIGEST, NOW).signatures


GOOD = envelope(json.dumps(STATEMENT).encode())
SIGNED = GOOD["signatures"][0]
TWICE = json.dumps(STATEMENT)[:-1] + f', "predicateType": "{PREDICATE}"}}'

BUNDLES: dict[str, tuple[Candidate, str]] = {
    "of version 0.2": (bundle(GOOD, mediaType="application/vnd.dev.sigstore.bundle+json;version=0.2"), "version 0.3"),
    "of no version": (bundle(GOOD, mediaType=None), "version 0.3"),
    "without material": (bundle(GOOD, verificationMaterial=None), "no verification material"),
    "with neither key nor certificate": (bundle(GOOD, verificationMaterial={}), "neither a key nor a certificate"),
    "with a chain": (bundle(GOOD, verificationMaterial={"x509CertificateChain": {}}), "neither a key nor a cert"),
    "with a certificate": (bundle(GOOD, verificationMaterial={"certificate": {}}), "no policy trusts identities"),
    "without an envelope": (bundle(None), "no envelope with one signature"),
    "with a list for an envelope": (bundle([GOOD]), "no envelope with one signature"),
    "without signatures": (bundle(GOOD | {"signatures": []}), "no envelope with one signature"),
    "with two signatures": (bundle(GOOD | {"signatures": [SIGNED, SIGNED]}), "no envelope with one signature"),
    "of another payload": (bundle(GOOD | {"payload": "e30="}), "no key of a policy signed it"),
    "of another type of payload": (bundle(envelope(b"{}", "text/plain")), "not a statement of in-toto"),
    "with its type changed": (bundle(GOOD | {"payloadType": "text/plain"}), "not a statement of in-toto"),
    "in the other alphabet": (bundle(GOOD | {"payload": "_-8="}), "the payload is not base64"),
    "without padding": (bundle(GOOD | {"payload": "e30"}), "the payload is not base64"),
    "with unused bits": (bundle(GOOD | {"payload": "e31="}), "the payload is not base64"),
    "with a space": (bundle(GOOD | {"payload": "e30= "}), "the payload is not base64"),
    "with no text": (bundle(GOOD | {"payload": 1}), "the payload is not base64"),
    "with an empty signature": (bundle(GOOD | {"signatures": [{"sig": ""}]}), "no key of a policy signed it"),
    "that is an array": (Candidate(media_type=BUNDLE, content=b"[]"), "the bundle is no JSON object"),
    "that is empty": (Candidate(media_type=BUNDLE, content=b""), "the bundle is no JSON"),
    "in UTF-16": (Candidate(media_type=BUNDLE, content=statement().content.decode().encode("utf-16")), "is no JSON"),
    "with a mark": (Candidate(media_type=BUNDLE, content=b"\xef\xbb\xbf" + statement().content), "is no JSON"),
    "with more after it": (Candidate(media_type=BUNDLE, content=statement().content + b"{}"), "is no JSON"),
    "with a key twice": (
        Candidate(media_type=BUNDLE, content=statement().content[:-1] + b',"dsseEnvelope":{}}'),
        "has a key twice",
    ),
    "of another digest": (statement(subject=[{"digest": {"sha256": ANOTHER_DIGEST[7:]}}]), "it signs another digest"),
    "of the digest by another hash": (statement(subject=[{"digest": {"sha512": DIGEST[7:]}}]), "another digest"),
    "of a name": (statement(subject=[{"name": DIGEST, "digest": {}}]), "it signs another digest"),
    "of nothing": (statement(subject=[]), "it signs another digest"),
    "of a text": (statement(subject=DIGEST), "no subjects"),
    "of texts": (statement(subject=[DIGEST]), "has no digest"),
    "of too many": (statement(subject=STATEMENT["subject"] * 101), "more than 100"),
    "of another predicate": (statement(predicateType="https://spdx.dev/Document"), "but an attestation of type"),
    "of a longer predicate": (statement(predicateType=PREDICATE + "/"), "but an attestation of type"),
    "of a predicate in capitals": (statement(predicateType=PREDICATE.upper()), "but an attestation of type"),
    "of no predicate": (statement(predicateType=None), "but an attestation of type 'None'"),
    "of another statement": (statement(_type="https://in-toto.io/Link/v1"), "no statement of in-toto"),
    "of a statement with a key twice": (bundle(envelope(TWICE.encode())), "has a key twice"),
    "of a number that is none": (bundle(envelope(b'{"_type": NaN}')), "the statement is no JSON"),
    "of no JSON": (bundle(envelope(b"x")), "the statement is no JSON"),
}


@pytest.mark.parametrize(("candidate", "reason"), BUNDLES.values(), ids=BUNDLES.keys())
def test_a_bundle_is_no_signature(candidate: Candidate, reason: str) -> None:
    assert reason in why(candidate)


LAYERS: dict[str, tuple[Candidate, str]] = {
    "of another digest": (layer(payload(image={"docker-manifest-digest": ANOTHER_DIGEST})), "another digest"),
    "of a list": (layer(payload(image=[DIGEST])), "no simple signing"),
    "of another type": (layer(payload(type="atomic container signature")), "no simple signing"),
    "of no type": (layer(payload(type=None)), "no simple signing"),
    "of no JSON": (layer(b"x"), "the payload is no JSON"),
    "of a key twice": (layer(json.dumps(PAYLOAD)[:-1].encode() + b', "critical": {}}'), "has a key twice"),
    "without a signature": (layer(payload(), annotation="other"), f"the layer has no annotation {ANNOTATION}"),
    "with an empty signature": (layer(payload(), ""), "no key of a policy signed it"),
    "with garbage": (layer(payload(), "%"), "the signature is not base64"),
    "with a space": (layer(payload(), sign(payload()) + "\n"), "the signature is not base64"),
    "with the signature of another": (layer(payload(), sign(b"x")), "no key of a policy signed it"),
}


@pytest.mark.parametrize(("candidate", "reason"), LAYERS.values(), ids=LAYERS.keys())
def test_a_layer_is_no_signature(candidate: Candidate, reason: str) -> None:
    assert reason in why(candidate)


def test_limits_come_before_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    huge = b" " * (MAX_SIGNATURE + 1)
    for media_type in (BUNDLE, SIMPLE_SIGNING):
        assert why(Candidate(media_type=media_type, content=huge)) == "it has more than 256 KiB"
    deep = b'{"a":' * 600 + b"1" + b"}" * 600
    monkeypatch.setattr(json, "loads", None)
    assert why(Candidate(media_type=BUNDLE, content=deep)) == "the bundle has more than 500 objects and arrays"
    assert why(layer(deep)) == "the payload has more than 500 objects and arrays"


def test_the_payload_is_not_read_before_its_signature_holds() -> None:
    """Garbage of another signer has the same reason as what another signed rightly."""
    garbage = envelope(b"\xff")
    assert why(bundle(garbage), anchors_of(ec_key("another").public_key())) == "no key of a policy signed it"
    assert why(layer(b"\xff", sign(b"x"))) == "no key of a policy signed it"


def test_what_a_library_raises_is_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lading.signatures.cosign_bundle.is_valid", lambda *_: 1 / 0)

    assert why(statement()) == "it cannot be read (ZeroDivisionError)"

    class PanicException(BaseException):
        """What libraries in Rust raise."""

    def panic(*_: object) -> None:
        raise raised

    monkeypatch.setattr("lading.signatures.cosign_bundle.is_valid", panic)
    raised: BaseException = PanicException()
    assert why(statement()) == "it cannot be read (PanicException)"
    raised = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        verify(statement(), ANCHORS, DIGEST, NOW)


def test_a_bundle_of_an_identity_is_not_tried_with_keys() -> None:
    """And no key stands for an identity: the root decides alone, here one that is none."""
    root = TrustedRoot(fingerprint="sigstore:0", content=b"{}")
    candidate = bundle(GOOD, verificationMaterial={"certificate": {"rawBytes": ""}})

    assert not verify(candidate, Anchors(keys=ANCHORS.keys, trusted_root=root), DIGEST, NOW).signatures


PRIVATE = ed25519.Ed25519PrivateKey.generate()


@pytest.mark.parametrize(
    ("key", "signature", "expected"),
    [
        (ec_key("k").public_key(), ec_key("k").sign(b"x", ec.ECDSA(hashes.SHA256())), True),
        (ec_key("k").public_key(), ec_key("k").sign(b"x", ec.ECDSA(hashes.SHA384())), False),
        (ec_key("k").public_key(), ec_key("k").sign(b"x", ec.ECDSA(hashes.SHA224())), False),
        (rsa_key(2048).public_key(), rsa_key(2048).sign(b"x", padding.PKCS1v15(), hashes.SHA256()), True),
        (rsa_key(2048).public_key(), rsa_key(2048).sign(b"x", padding.PKCS1v15(), hashes.SHA224()), False),
        (rsa_key(2048).public_key(), rsa_key(2048).sign(b"x", padding.PKCS1v15(), hashes.SHA512()), False),
        (PRIVATE.public_key(), PRIVATE.sign(b"x"), True),
        (PRIVATE.public_key(), PRIVATE.sign(b"y"), False),
        (PRIVATE.public_key(), PRIVATE.sign(b"x")[:-1], False),
        (PRIVATE.public_key(), b"", False),
    ],
)
def test_the_hash_is_one_that_fits_the_key(key: PublicKey, signature: bytes, expected: bool) -> None:
    assert is_valid(key, signature, Message(b"x")) is expected


def test_a_message_is_hashed_once_for_all_keys_and_signatures(monkeypatch: pytest.MonkeyPatch) -> None:
    names: list[str] = []

    def new(name: str, content: bytes) -> Any:
        names.append(name)
        return hashlib.new(name, content)

    monkeypatch.setattr(public_keys, "hashlib", SimpleNamespace(new=new))
    message = Message(b"x")
    curves = (ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1())
    keys: list[PublicKey] = [*(ec.generate_private_key(each).public_key() for each in curves)]
    for key in (*keys, rsa_key(2048).public_key()):
        for signature in (b"", b"x" * 70, ec_key("k").sign(b"x", ec.ECDSA(hashes.SHA256()))):
            assert not is_valid(key, signature, message)

    assert sorted(names) == ["sha256", "sha384", "sha512"]


def test_the_signature_of_a_hash_is_verified_as_the_standard_has_it() -> None:
    """Ed25519ph of "abc": RFC 8032, section 7.3."""
    public = bytes.fromhex("ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf")
    signature = bytes.fromhex(
        "98a70222f0b8121aa9d30f813d683f809e462b469c7ff87639499bb94e6dae41"
        "31f85042463c2a355a2003d062adf5aaa10b8c61e636062aaad11c2a26083406"
    )
    key = ed25519.Ed25519PublicKey.from_public_bytes(public)

    assert is_valid(key, signature, Message(b"abc"))
    assert not is_valid(key, signature, Message(b"abd"))


def test_keys_of_weak_curves_are_refused() -> None:
    for curve in (ec.SECP224R1, ec.SECP256K1, ec.BrainpoolP256R1):
        with pytest.raises(KeyInvalid, match="none of P-256, P-384 and P-521"):
            load_key(public_pem(ec_key("weak", curve)))

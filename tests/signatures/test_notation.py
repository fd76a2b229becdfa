"""Signatures of notation: which chains of certificates, headers and payloads count, in JWS and in COSE."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from lading.signatures.certificates import fingerprint
from lading.signatures.signature import Anchors, Candidate
from lading.signatures.verify import verify
from tests.signatures.authorities import (
    CHAIN,
    EXPIRY,
    INTERMEDIATE,
    ROOT,
    SCHEME,
    SIGNED_AT,
    SIGNER,
    SIGNING_TIME,
    chain_of,
    cose,
    ec_key,
    jws,
    payload_of,
    rsa_key,
    trusting,
)
from tests.signatures.golden_inputs import ANOTHER_DIGEST, DIGEST, NOW

Envelope = Callable[..., Candidate]

in_each_envelope = pytest.mark.parametrize("envelope", [jws, cose], ids=["jws", "cose"])

TRUSTED = trusting(CHAIN[-1])


def why(candidate: Candidate, anchors: Anchors = TRUSTED) -> str:
    result = verify(candidate, anchors, DIGEST, NOW)
    assert result.signatures == ()
    return result.reasons[0]


@in_each_envelope
def test_each_anchor_in_the_chain_is_a_signer(envelope: Envelope) -> None:
    """A policy may trust the root, one authority, or one signer: each sees the signature as its own."""
    found = verify(envelope(), trusting(*CHAIN), DIGEST, NOW).signatures
    assert [each.signer for each in found] == [fingerprint(each) for each in CHAIN]
    for each in CHAIN:
        (signature,) = verify(envelope(), trusting(each), DIGEST, NOW).signatures
        assert (signature.signer, signature.identity) == (fingerprint(each), "CN=signer")
        assert signature.expires == NOW + timedelta(days=10)


@in_each_envelope
def test_a_certificate_that_signed_itself_is_a_chain(envelope: Envelope) -> None:
    chain = chain_of(SIGNER)

    assert verify(envelope(chain), trusting(*chain), DIGEST, NOW).signatures
    assert why(envelope(chain)) == "no trust anchor of a policy is in its chain of certificates"


@in_each_envelope
@pytest.mark.parametrize(
    ("key", "algorithm"),
    [
        (rsa_key(2048), "PS256"),
        (rsa_key(3072), "PS384"),
        (rsa_key(4096), "PS512"),
        (ec_key("x", ec.SECP256R1), "ES256"),
        (ec_key("x", ec.SECP384R1), "ES384"),
        (ec_key("x", ec.SECP521R1), "ES512"),
    ],
    ids=["rsa2048", "rsa3072", "rsa4096", "p256", "p384", "p521"],
)
def test_each_key_has_one_algorithm(envelope: Envelope, key: Any, algorithm: str) -> None:
    chain = chain_of(SIGNER.but(key=key), ROOT)
    anchors = trusting(chain[-1])

    assert verify(envelope(chain, key, alg=algorithm), anchors, DIGEST, NOW).signatures
    for other in {"PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "RS256", "HS256", "none", ""} - {algorithm}:
        assert (
            why(envelope(chain, key, alg=other), anchors) == "its algorithm is not the one that fits the signer's key"
        )


@in_each_envelope
def test_names_of_the_signer_are_those_of_its_certificate(envelope: Envelope) -> None:
    names = [
        x509.DNSName("build.example.com"),
        x509.RFC822Name("release@example.com"),
        x509.UniformResourceIdentifier("spiffe://example.com/build"),
    ]
    chain = chain_of(SIGNER.but(names=names), ROOT)

    (signature,) = verify(envelope(chain), trusting(chain[-1]), DIGEST, NOW).signatures
    assert signature.names == ("signer", "build.example.com", "release@example.com", "spiffe://example.com/build")
    many = chain_of(SIGNER.but(names=[x509.DNSName(f"{number}.example.com") for number in range(20)]), ROOT)
    assert why(envelope(many), trusting(many[-1])).startswith("the signer has more than 20 names")


LATER, EARLIER = SIGNED_AT + timedelta(days=5), SIGNED_AT - timedelta(days=5)

HEADERS: dict[str, tuple[dict[str, Any], str]] = {
    "payload of another type": ({"cty": "application/json"}, "its payload is not one of notation"),
    "no type of payload": ({"cty": ...}, "its payload is not one of notation"),
    "no scheme": ({SCHEME: ..., "crit": []}, "its signing scheme is not notary.x509"),
    "scheme of authorities": ({SCHEME: "notary.x509.signingAuthority"}, "its signing scheme is not notary.x509"),
    "time by an authority": ({"io.cncf.notary.authenticSigningTime": SIGNED_AT}, "its signing scheme is not"),
    "no crit": ({"crit": ...}, "critical"),
    "empty crit": ({"crit": []}, "critical"),
    "crit of a text": ({"crit": SCHEME}, "critical"),
    "crit without the scheme": ({"crit": ["cty"]}, "critical"),
    "unknown crit": ({"crit": [SCHEME, "com.example"], "com.example": 1}, "critical"),
    "crit of what is not there": ({"crit": [SCHEME, EXPIRY]}, "critical"),
    "scheme twice in crit": ({"crit": [SCHEME, SCHEME]}, "critical"),
    "crit of other types": ({"crit": [SCHEME, 1, None, [1]]}, "critical"),
    "expiry that is not critical": ({EXPIRY: LATER}, "critical"),
    "expired": ({EXPIRY: NOW, "crit": [SCHEME, EXPIRY]}, "it has expired"),
    "expired before it was signed": ({EXPIRY: EARLIER, "crit": [SCHEME, EXPIRY]}, "it has expired"),
    "expires before a later time of signing": (
        {EXPIRY: LATER, SIGNING_TIME: LATER, "crit": [SCHEME, EXPIRY]},
        "it has expired",
    ),
    "malformed expiry": ({EXPIRY: "tomorrow", "crit": [SCHEME, EXPIRY]}, "malformed time"),
    "expiry as a number": ({EXPIRY: 4_000_000_000, "crit": [SCHEME, EXPIRY]}, "malformed time"),
    "expiry that is null": ({EXPIRY: None, "crit": [SCHEME, EXPIRY]}, "malformed time"),
    "not signed at any time": ({SIGNING_TIME: ...}, "it has no time of signing"),
    "signed at a malformed time": ({SIGNING_TIME: "2026"}, "it has no time of signing"),
    "plugin": ({"io.cncf.notary.verificationPlugin": "x"}, "it asks for a verification plugin"),
    "version of a plugin": ({"io.cncf.notary.verificationPluginMinVersion": "1"}, "it asks for a verification plugin"),
}


@in_each_envelope
@pytest.mark.parametrize(("headers", "reason"), HEADERS.values(), ids=HEADERS.keys())
def test_what_headers_say_has_to_be_known(envelope: Envelope, headers: dict[str, Any], reason: str) -> None:
    assert reason in why(envelope(**headers))


@in_each_envelope
def test_other_headers_are_not_read(envelope: Envelope) -> None:
    assert verify(envelope(**{"com.example": "x"}), TRUSTED, DIGEST, NOW).signatures


@in_each_envelope
def test_a_signature_counts_until_it_expires(envelope: Envelope) -> None:
    candidate = envelope(**{EXPIRY: LATER, "crit": [SCHEME, EXPIRY]})

    (signature,) = verify(candidate, TRUSTED, DIGEST, NOW).signatures
    assert signature.expires == LATER
    assert verify(candidate, TRUSTED, DIGEST, LATER).reasons == ("it has expired",)


PAYLOADS = {
    "another digest": (payload_of(ANOTHER_DIGEST), "it signs another digest"),
    "not JSON": (b"x", "the payload is no JSON"),
    "empty": (b"", "the payload is no JSON"),
    "an array": (b"[]", "the payload is no JSON object"),
    "no target": (b"{}", "its payload is not one of notation"),
    "no size": (payload_of(size=None), "its payload is not one of notation"),
    "no media type": (payload_of(mediaType=None), "its payload is not one of notation"),
    "two digests": (payload_of(ANOTHER_DIGEST)[:-2] + f', "digest": "{DIGEST}"}}}}'.encode(), "has a key twice"),
    "deep": (b'{"a":' * 400 + b"1" + b"}" * 400, "its payload is not one of notation"),
    "deeper": (b'{"a":' * 600 + b"1" + b"}" * 600, "more than 500 objects and arrays"),
}


@in_each_envelope
@pytest.mark.parametrize(("payload", "reason"), PAYLOADS.values(), ids=PAYLOADS.keys())
def test_a_payload_is_about_the_digest(envelope: Envelope, payload: bytes, reason: str) -> None:
    assert reason in why(envelope(payload=payload))


@in_each_envelope
def test_another_key_than_that_of_the_certificate_signed_it(envelope: Envelope) -> None:
    assert why(envelope(key=ec_key("another"))) == "the signer's key did not sign it"
    assert why(envelope(key=INTERMEDIATE.key)) == "the signer's key did not sign it"
    assert why(envelope(key=rsa_key(2048))) == "the signature does not have the size of its curve"

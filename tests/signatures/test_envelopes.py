"""Envelopes of notation that are written wrongly: each is refused before anything is computed with it."""

import json
from typing import Any

import cbor2
import pytest

from lading.signatures import notation_cose
from lading.signatures.signature import COSE, JWS, Candidate
from lading.signatures.verify import verify
from tests.signatures.authorities import CHAIN, HEADERS, SIGNING_TIME, cose, jws, trusting, url64
from tests.signatures.golden_inputs import DIGEST, NOW

ANCHORS = trusting(*CHAIN)

COSE_CONTENT = cose().content
PROTECTED, UNPROTECTED, PAYLOAD, SIGNATURE = cbor2.loads(COSE_CONTENT).value
ENVELOPE = json.loads(jws().content)
PREFERRED = "the envelope is no CBOR in preferred serialization"
SHAPE = "the envelope is no COSE_Sign1"


def why(content: bytes, media_type: str) -> str:
    result = verify(Candidate(media_type=media_type, content=content), ANCHORS, DIGEST, NOW)
    assert result.signatures == ()
    return result.reasons[0]


def sign1(*parts: Any, tag: int = 18) -> bytes:
    return cbor2.dumps(cbor2.CBORTag(tag, list(parts)))


def with_unprotected(encoded: bytes) -> bytes:
    """An envelope whose headers that are not signed are these bytes of CBOR."""
    return b"\xd2\x84" + cbor2.dumps(PROTECTED) + encoded + cbor2.dumps(PAYLOAD) + cbor2.dumps(SIGNATURE)


def test_what_the_tests_below_change_is_a_signature() -> None:
    assert with_unprotected(cbor2.dumps(UNPROTECTED)) == COSE_CONTENT
    for candidate in (cose(), jws()):
        assert verify(candidate, ANCHORS, DIGEST, NOW).signatures


CBOR: dict[str, tuple[bytes, str]] = {
    "empty": (b"", PREFERRED),
    "no array": (cbor2.dumps(1), SHAPE),
    "no tag": (COSE_CONTENT[1:], SHAPE),
    "another tag": (sign1(PROTECTED, UNPROTECTED, PAYLOAD, SIGNATURE, tag=98), SHAPE),
    "tag of an array only": (sign1(), SHAPE),
    "three parts": (sign1(PROTECTED, UNPROTECTED, PAYLOAD), SHAPE),
    "five parts": (sign1(PROTECTED, UNPROTECTED, PAYLOAD, SIGNATURE, b""), SHAPE),
    "detached payload": (sign1(PROTECTED, UNPROTECTED, None, SIGNATURE), SHAPE),
    "payload as text": (sign1(PROTECTED, UNPROTECTED, "x", SIGNATURE), SHAPE),
    "headers that are not bytes": (sign1({1: -7}, UNPROTECTED, PAYLOAD, SIGNATURE), SHAPE),
    "headers that are no map": (sign1(cbor2.dumps([1]), UNPROTECTED, PAYLOAD, SIGNATURE), "it has no headers"),
    "headers that are empty": (sign1(b"", UNPROTECTED, PAYLOAD, SIGNATURE), PREFERRED),
    "headers with more after them": (sign1(PROTECTED + b"\0", UNPROTECTED, PAYLOAD, SIGNATURE), PREFERRED),
    "no certificates": (sign1(PROTECTED, {}, PAYLOAD, SIGNATURE), "no chain of certificates"),
    "certificates as bytes": (sign1(PROTECTED, {33: b"x"}, PAYLOAD, SIGNATURE), "no chain of certificates"),
    "certificates as texts": (sign1(PROTECTED, {33: ["x"]}, PAYLOAD, SIGNATURE), "no trust anchor"),
    "no certificate": (sign1(PROTECTED, {33: []}, PAYLOAD, SIGNATURE), "it has no chain"),
    "more after it": (COSE_CONTENT + b"\0", PREFERRED),
    "cut off": (COSE_CONTENT[:-1], PREFERRED),
    "long form of the tag": (b"\xd8\x12" + COSE_CONTENT[1:], PREFERRED),
    "long form of a length": (b"\xd2\x98\x04" + COSE_CONTENT[2:], PREFERRED),
    "indefinite length": (b"\xd2\x9f" + COSE_CONTENT[2:] + b"\xff", PREFERRED),
    "key twice": (with_unprotected(b"\xa2\x18\x21\x80\x18\x21\x80"), PREFERRED),
    "deep": (with_unprotected(b"\xa1\x01" + b"\x81" * 20 + b"\x01"), PREFERRED),
    "very deep": (b"\xd2" * 60_000 + b"\x01", PREFERRED),
    "claims a huge array": (b"\xd2\x9b" + b"\xff" * 8, PREFERRED),
    "claims huge bytes": (b"\xd2\x84\x5b\x7f" + b"\xff" * 7, PREFERRED),
    "a regular expression": (with_unprotected(b"\xa1\x01\xd8\x23\x65(a+)+"), PREFERRED),
    "a reference to itself": (with_unprotected(b"\xa1\x01\xd8\x1c\x81\xd8\x1d\x00"), PREFERRED),
    "a set": (with_unprotected(b"\xa1\x01\xd9\x01\x02\x80"), PREFERRED),
    "a huge number": (with_unprotected(b"\xa1\x01\xc4\x82\x1a\x7f\xff\xff\xff\x01"), PREFERRED),
    "an address": (with_unprotected(b"\xa1\x01\xd8\x34\x44\x7f\0\0\1"), PREFERRED),
    "more than is read": (COSE_CONTENT + b"\0" * notation_cose.MAX_ENVELOPE, "the envelope has more than 64 KiB"),
}


@pytest.mark.parametrize(("content", "reason"), CBOR.values(), ids=CBOR.keys())
def test_an_envelope_is_no_cose(content: bytes, reason: str) -> None:
    assert reason in why(content, COSE)


def test_each_tag_that_the_library_knows_is_refused() -> None:
    """A version that makes objects of further tags shows here."""
    for tag in set(range(70_000)) - {1, *notation_cose.KNOWN_TAGS}:
        for value in (b"x", "x", 1, [1, 2]):
            assert isinstance(cbor2.loads(cbor2.dumps(cbor2.CBORTag(tag, value))), cbor2.CBORTag), tag
    for tag in notation_cose.KNOWN_TAGS:
        assert why(with_unprotected(b"\xa1\x01" + cbor2.dumps(cbor2.CBORTag(tag, b"x"))), COSE) == PREFERRED


def test_times_are_whole_seconds_with_their_tag() -> None:
    seconds = int(HEADERS[SIGNING_TIME].timestamp())
    numbers: tuple[Any, ...] = (
        seconds + 0.5,
        float(seconds),
        2**62,
        -(2**62),
        2**70,
        True,
        None,
        "2026-11-30T00:00:00Z",
    )
    for value in (*(cbor2.CBORTag(1, each) for each in numbers), seconds, "2026-11-30T00:00:00Z", None):
        headers: dict[str, Any] = {SIGNING_TIME: value}
        assert why(cose(**headers).content, COSE) in ("it has no time of signing, or a malformed time", PREFERRED)


def _jws(**fields: Any) -> bytes:
    return json.dumps({name: each for name, each in {**ENVELOPE, **fields}.items() if each is not ...}).encode()


JSON: dict[str, tuple[bytes, str]] = {
    "compact": (b"a.b.c", "the envelope is no JSON"),
    "general": (_jws(signatures=[]), "no flattened JWS"),
    "without a header": (_jws(header=...), "no flattened JWS"),
    "with a text as header": (_jws(header="x"), "no flattened JWS"),
    "without certificates": (_jws(header={}), "no chain of certificates"),
    "with certificates as a text": (_jws(header={"x5c": "x"}), "no chain of certificates"),
    "with certificates in the other alphabet": (_jws(header={"x5c": ["_-8="]}), "the certificate is not base64"),
    "with certificates that are numbers": (_jws(header={"x5c": [1]}), "the certificate is not base64"),
    "with padding": (_jws(payload="e30="), "the payload is not base64url"),
    "in the other alphabet": (_jws(signature="+/8"), "the signature is not base64url"),
    "with unused bits": (_jws(payload="e31"), "the payload is not base64url"),
    "with a rest of one character": (_jws(payload="e"), "the payload is not base64url"),
    "with a line": (_jws(payload=ENVELOPE["payload"] + "\n"), "the payload is not base64url"),
    "with other digits": (_jws(payload="e3\u0660"), "the payload is not base64url"),
    "with numbers": (_jws(payload=1), "the payload is not base64url"),
    "with headers that are no JSON": (_jws(protected=url64(b"x")), "the protected header is no JSON"),
    "with headers that are an array": (_jws(protected=url64(b"[]")), "the protected header is no JSON object"),
    "with a header twice": (_jws(protected=url64(b'{"alg":"ES256","alg":"none"}')), "has a key twice"),
    "without a signature": (_jws(signature=""), "the signature does not have the size of its curve"),
    "with a long signature": (_jws(signature="A" * 88), "the signature does not have the size of its curve"),
    "with zeros": (_jws(signature=url64(bytes(64))), "the signer's key did not sign it"),
}


@pytest.mark.parametrize(("content", "reason"), JSON.values(), ids=JSON.keys())
def test_an_envelope_is_no_jws(content: bytes, reason: str) -> None:
    assert reason in why(content, JWS)


def test_the_time_of_signing_has_an_offset() -> None:
    for wrong in ("2026-11-30", "2026-11-30T00:00:00", "0001-01-01T00:00:00+23:59", 1, ["2026-11-30T00:00:00Z"]):
        headers: dict[str, Any] = {SIGNING_TIME: wrong}
        assert "it has no time of signing" in why(jws(**headers).content, JWS)
    for right in ("2026-11-30T00:00:00.5Z", "2026-11-30T01:00:00+01:00", "2020-01-01T00:00:00Z"):
        headers = {SIGNING_TIME: right}
        assert verify(jws(**headers), ANCHORS, DIGEST, NOW).signatures

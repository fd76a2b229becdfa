"""Signatures that were changed, or put together of parts of others: none counts unless all that is signed is its own.

Signed, or read as the certificate of the signer, are the parts that `signed_parts` returns. All others may change; the
last test names them.
"""

import json
import os
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import cbor2
import pytest

from lading.signatures.cosign_legacy import ANNOTATION
from lading.signatures.signature import BUNDLE, COSE, JWS, SIMPLE_SIGNING, Candidate
from lading.signatures.verify import verify
from tests.signatures.golden_inputs import ALL, DIGEST, NOW, PRIOR_DIGEST, SIGNATURES

ROUNDS: Final = 50_000 if os.environ.get("LADING_NIGHTLY") == "1" else 3_000
"""Mutations of all signatures together."""

GOLDEN: Final = tuple(SIGNATURES.values())


def signed_parts(candidate: Candidate) -> tuple[object, ...]:
    """The parts of a signature that no other client can change."""
    content = candidate.content
    match candidate.media_type:
        case "application/vnd.dev.cosign.simplesigning.v1+json":
            return content, candidate.annotations[ANNOTATION]
        case "application/cose":
            protected, unprotected, payload, signature = cbor2.loads(content).value
            return protected, payload, signature, tuple(unprotected[33])
    fields = json.loads(content)
    if candidate.media_type == JWS:
        return fields["protected"], fields["payload"], fields["signature"], tuple(fields["header"]["x5c"])
    envelope = fields["dsseEnvelope"]
    return fields["mediaType"], envelope["payloadType"], envelope["payload"], envelope["signatures"][0]["sig"]


OWN: Final = {(each.digest, each.candidate.media_type, *signed_parts(each.candidate)) for each in GOLDEN}


def check(candidate: Candidate) -> int:
    """Return of how many digests a candidate is a signature, all of which have to be its own."""
    accepted = [each for each in (DIGEST, PRIOR_DIGEST) if verify(candidate, ALL, each, NOW).signatures]
    for digest in accepted:
        assert (digest, candidate.media_type, *signed_parts(candidate)) in OWN, candidate
    return len(accepted)


def damaged(content: bytes, rng: random.Random) -> bytes:
    """Return bytes of which some were flipped, replaced, left out, inserted, repeated or cut off."""
    at = rng.randrange(len(content))
    end = min(len(content), at + rng.choice((1, 1, 2, 8, 64)))
    changed = (
        content[:at] + bytes([content[at] ^ (1 << rng.randrange(8))]) + content[at + 1 :],
        content[:at] + rng.randbytes(end - at) + content[end:],
        content[:at] + content[end:],
        content[:at] + rng.choice((b"0", b"=", b" ", b'"', b"A", rng.randbytes(1))) + content[at:],
        content[:end] + content[at:],
        content[:at],
        content + rng.choice((b"\0", b" x", b"{}", content)),
    )
    return rng.choice(changed)


def places_in(value: Any) -> Iterator[tuple[Any, Any]]:
    """Yield each object or array in a value with each of its keys or indexes."""
    if isinstance(value, Mapping | Sequence) and not isinstance(value, str | bytes):
        for key in list(value) if isinstance(value, Mapping) else range(len(value)):
            yield value, key
            yield from places_in(value[key])


def plain(value: Any) -> Any:
    """Return objects and arrays of CBOR, which are immutable in a tag, as those of JSON."""
    if isinstance(value, Mapping):
        return {key: plain(each) for key, each in value.items()}
    return [plain(each) for each in value] if isinstance(value, list | tuple) else value


def read(candidate: Candidate) -> Any:
    content = candidate.content
    return plain(cbor2.loads(content).value) if candidate.media_type == COSE else json.loads(content)


def write(candidate: Candidate, value: Any) -> Candidate:
    is_cose = candidate.media_type == COSE
    content = cbor2.dumps(cbor2.CBORTag(18, value)) if is_cose else json.dumps(value, separators=(",", ":")).encode()
    return replace(candidate, content=content)


ODD: Final[Sequence[Any]] = ("", "x", None, True, 0, -1, [], [[]], {}, {"": ""}, "A" * 100)


def exchanged(candidate: Candidate, other: Candidate, rng: random.Random) -> Candidate:
    """Return a signature in which a value is odd, or that of another place or of another signature."""
    value, donor = read(candidate), read(other)
    container, key = rng.choice([*places_in(value)])
    if rng.random() < 0.3:
        container[key] = rng.choice(ODD)
        return write(candidate, value)
    source, origin = rng.choice([*places_in(donor if rng.random() < 0.7 else value)])
    same = [(place, name) for place, name in places_in(donor) if name == key]
    if same and rng.random() < 0.7:
        source, origin = rng.choice(same)
    container[key] = plain(source[origin])
    try:
        return write(candidate, value)
    except (TypeError, ValueError):
        return candidate  # bytes of CBOR in JSON, or an array in itself


def mutations(rng: random.Random) -> Iterator[Candidate]:
    """Yield changed signatures, of all golden ones in turn."""
    for number in range(ROUNDS):
        candidate = GOLDEN[number % len(GOLDEN)].candidate
        other = rng.choice(GOLDEN).candidate
        if candidate.media_type == SIMPLE_SIGNING and rng.random() < 0.5:
            signature = candidate.annotations[ANNOTATION].encode()
            changed = rng.choice((damaged(signature, rng), other.annotations.get(ANNOTATION, "").encode()))
            yield replace(candidate, annotations={ANNOTATION: changed.decode("latin-1")})
        elif rng.random() < 0.5:
            yield replace(candidate, content=damaged(candidate.content, rng))
        else:
            yield exchanged(candidate, other, rng)


def test_no_changed_signature_counts_unless_its_signed_parts_are_its_own() -> None:
    rng = random.Random(22)
    unchanged = sum(check(candidate) for candidate in mutations(rng))

    assert unchanged < ROUNDS / 5, "most mutations change what is signed"


def test_what_is_not_changed_is_a_signature_of_one_digest() -> None:
    assert [check(each.candidate) for each in GOLDEN] == [1] * len(GOLDEN)


def test_no_signature_counts_with_the_parts_of_another() -> None:
    """Each part of each signature, in each other one of its kind."""
    spliced = 0
    for golden in GOLDEN:
        if golden.candidate.media_type == SIMPLE_SIGNING:
            continue
        for donor in GOLDEN:
            if donor.candidate.media_type != golden.candidate.media_type or donor is golden:
                continue
            for position in range(len([*places_in(read(golden.candidate))])):
                value = read(golden.candidate)
                container, key = [*places_in(value)][position]
                others = [(place, name) for place, name in places_in(read(donor.candidate)) if name == key]
                for place, name in others:
                    container[key] = place[name]
                    check(write(golden.candidate, value))
                    spliced += 1
    assert spliced > 300


@pytest.mark.parametrize(
    ("name", "unsigned"),
    [
        ("bundle-p256", (b"hint", b"oKbXTLOoX2b4C5abseMpzXAsuEyBV+Wvqus9TvjrBwg=")),
        ("legacy-p256", ()),
        ("jws-ec", (b"io.cncf.notary.signingAgent", b"lading-golden")),
        ("cose-ec", (b"io.cncf.notary.signingAgent", b"lading-golden")),
    ],
)
def test_each_byte_matters_but_those_that_are_not_signed(name: str, unsigned: Sequence[bytes]) -> None:
    golden = SIGNATURES[name]
    content = golden.candidate.content
    accepted = set()
    for at in range(len(content)):
        flipped = content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]
        if verify(replace(golden.candidate, content=flipped), golden.anchors, golden.digest, NOW).signatures:
            accepted.add(at)

    places = [(content.index(each), len(each)) for each in unsigned]
    assert accepted == {at for start, length in places for at in range(start, start + length)}


def _bundle(change: Callable[[dict[str, Any]], object]) -> Candidate:
    value = read(SIGNATURES["bundle-p256"].candidate)
    change(value)
    return write(SIGNATURES["bundle-p256"].candidate, value)


def _notation(name: str, change: Callable[[dict[Any, Any]], object]) -> Candidate:
    candidate = SIGNATURES[name].candidate
    value = read(candidate)
    change(value["header"] if candidate.media_type == JWS else value[1])
    return write(candidate, value)


UNSIGNED: Final[Mapping[str, Candidate]] = {
    "hint of a bundle": _bundle(lambda each: each["verificationMaterial"]["publicKey"].update(hint="x")),
    "entries of a log beside a key": _bundle(lambda each: each["verificationMaterial"].update(tlogEntries=[{}])),
    "time stamps beside a key": _bundle(
        lambda each: each["verificationMaterial"].update(timestampVerificationData={"rfc3161Timestamps": []})
    ),
    "id of the key": _bundle(lambda each: each["dsseEnvelope"]["signatures"][0].update(keyid="x")),
    "fields of a bundle that are not known": _bundle(lambda each: each.update(other=1)),
    "annotations of a layer": replace(
        SIGNATURES["legacy-p256"].candidate,
        annotations={**SIGNATURES["legacy-p256"].candidate.annotations, "dev.sigstore.cosign/bundle": "x"},
    ),
    **{
        f"{header} in {name}": _notation(name, lambda each, header=header: each.update({header: "x"}))  # type: ignore[misc]
        for name in ("jws-ec", "cose-rsa")
        for header in ("io.cncf.notary.signingAgent", "io.cncf.notary.timestampSignature", "other")
    },
}


@pytest.mark.parametrize("candidate", UNSIGNED.values(), ids=UNSIGNED.keys())
def test_what_is_not_signed_may_change(candidate: Candidate) -> None:
    assert candidate.content not in {each.candidate.content for each in GOLDEN} or candidate.annotations
    assert check(candidate) == 1


def test_the_kinds_of_signatures_are_all_there() -> None:
    assert {each.candidate.media_type for each in GOLDEN} == {BUNDLE, SIMPLE_SIGNING, JWS, COSE}

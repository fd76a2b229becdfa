"""What real cosign and notation signed: verified by its signer, and by nothing else."""

import json
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from typing import TypeVar

import pytest

from lading.signatures.signature import BUNDLE, COSE, FORMATS, JWS, SIMPLE_SIGNING, Anchors, Candidate
from lading.signatures.verify import verify
from tests.signatures.golden_inputs import (
    ALL,
    ANOTHER_DIGEST,
    COSIGN,
    DIGEST,
    NOW,
    OTHER,
    PRIOR_DIGEST,
    SIGNATURES,
    Golden,
    authority_named,
    bundle,
    key_named,
    notation,
)

V = TypeVar("V")

each_signature = pytest.mark.parametrize("golden", SIGNATURES.values(), ids=SIGNATURES.keys())


def why(candidate: Candidate, anchors: Anchors, digest: str = DIGEST, now: datetime = NOW) -> str:
    """The reason for which a candidate is not verified."""
    result = verify(candidate, anchors, digest, now)
    assert result.signatures == ()
    (reason,) = result.reasons
    return reason


def without(anchors: Anchors, signer: str) -> Anchors:
    def others(values: Iterable[tuple[str, V]]) -> dict[str, V]:
        return {name: each for name, each in values if name != signer}

    return Anchors(keys=others(anchors.keys.items()), certificates=others(anchors.certificates.items()))


@each_signature
def test_a_signature_is_verified_by_its_signer_among_all(golden: Golden) -> None:
    result = verify(golden.candidate, ALL, golden.digest, NOW)

    (signature,) = result.signatures
    assert signature.signer == golden.signer
    assert signature.format == FORMATS[golden.candidate.media_type]
    assert result.reasons == ()


@each_signature
def test_no_other_signer_verifies_it(golden: Golden) -> None:
    others = without(ALL, golden.signer)
    assert others.fingerprints

    assert "no" in why(golden.candidate, others, golden.digest)
    assert "no" in why(golden.candidate, OTHER, golden.digest)
    assert "no" in why(golden.candidate, Anchors(), golden.digest)


@each_signature
def test_it_is_a_signature_of_no_other_digest(golden: Golden) -> None:
    algorithm, _, value = golden.digest.partition(":")
    others = (ANOTHER_DIGEST, f"sha512:{value}", value, "", ":", f"{algorithm}:", golden.digest[:-1])
    for digest in (*others, golden.digest.upper(), f"{golden.digest} "):
        assert why(golden.candidate, ALL, digest) == "it signs another digest"


@each_signature
def test_its_media_type_decides_how_it_is_read(golden: Golden) -> None:
    for media_type in {BUNDLE, SIMPLE_SIGNING, JWS, COSE, "", "application/json"} - {golden.candidate.media_type}:
        assert why(replace(golden.candidate, media_type=media_type), ALL, golden.digest)


def test_signers_of_notation_have_names_and_an_end() -> None:
    golden = SIGNATURES["jws-ec"]

    (signature,) = verify(golden.candidate, golden.anchors, golden.digest, NOW).signatures

    assert (signature.identity, signature.names) == ("CN=signer,O=Lading,C=CH", ("signer",))
    assert signature.expires == datetime(2055, 11, 28, 5, 43, 1, tzinfo=UTC)
    assert "has expired" in why(golden.candidate, golden.anchors, golden.digest, datetime(2055, 11, 29, tzinfo=UTC))
    assert "not valid yet" in why(golden.candidate, golden.anchors, golden.digest, datetime(2026, 1, 1, tzinfo=UTC))


@pytest.mark.parametrize("suffix", ["jws", "cose"])
def test_an_expiry_ends_a_signature_before_its_certificates(suffix: str) -> None:
    golden = SIGNATURES[f"{suffix}-chain"]

    (signature,) = verify(golden.candidate, golden.anchors, golden.digest, NOW).signatures
    assert signature.expires
    assert signature.expires.year == 2046
    assert why(golden.candidate, golden.anchors, golden.digest, signature.expires) == "it has expired"


@pytest.mark.parametrize("suffix", ["jws", "cose"])
def test_signing_authorities_are_not_known(suffix: str) -> None:
    anchors = authority_named("authority")

    assert why(notation("authority", suffix), anchors, PRIOR_DIGEST) == "its signing scheme is not notary.x509"


def test_an_attestation_by_the_right_key_is_no_signature() -> None:
    """Who attests an SBOM, or signs a file, approves no image."""
    key = key_named("p256")

    reason = why(bundle("p256.attestation"), key)
    assert reason == "it is no signature, but an attestation of type 'https://spdx.dev/Document'"
    assert why(bundle("blob.bundle"), key) == "the bundle holds no envelope with one signature"
    layer = (COSIGN / "legacy.att.layer.json").read_bytes()
    assert "the bundle is not of version" in why(Candidate(media_type=BUNDLE, content=layer), key)
    annotations = json.loads((COSIGN / "legacy.att.manifest.json").read_bytes())["layers"][0]["annotations"]
    attestation = Candidate(media_type=SIMPLE_SIGNING, content=layer, annotations=annotations)
    assert why(attestation, key) == "no key of a policy signed it"


def test_the_name_of_the_image_in_a_payload_is_not_compared() -> None:
    """As cosign verifies it: the payload names the registry that the image was signed in."""
    golden = SIGNATURES["legacy-prior"]

    assert b'"docker-reference":"127.0.0.1:30429/team/app"' in golden.candidate.content
    assert verify(golden.candidate, golden.anchors, PRIOR_DIGEST, NOW).signatures


def test_keys_and_certificates_do_not_stand_for_each_other() -> None:
    """A trust anchor of notation verifies no signature of cosign, even with the same fingerprint."""
    golden, authority = SIGNATURES["bundle-p256"], authority_named("ec")

    (certificate,) = authority.certificates.values()
    assert why(golden.candidate, Anchors(certificates={golden.signer: certificate})) == (
        "a key signed it, and no policy trusts keys"
    )

"""The verifier, on both pairs of stores: what counts, what does not and why, and when it is verified again."""

import json
from datetime import timedelta
from typing import Any, Final

import pytest

from lading.registry.errors import MANIFEST_UNKNOWN, RegistryError
from lading.registry.registry import Registry
from lading.registry.trust import signature_referrers, trust_contents, verifier
from lading.registry.trust.trust_contents import (
    RETRY,
    KeptSignature,
    chosen_signatures,
    encoded_signatures,
    is_current,
    signatures_of,
)
from lading.registry.trust.verifier import READ_ONLY_TTL, Verifier
from lading.registry.trust_records import SIGNATURE_TYPES
from lading.signatures import signature
from lading.signatures.signature import BUNDLE, Anchors, Signature
from lading.signatures.verify import verify
from lading_storage.records.core import Key, Manifest
from lading_storage.records.trust import Trust
from lading_storage.stores import Stores
from tests.support import images
from tests.support.fake_clock import FakeClock
from tests.support.registry_pushes import push_blob, push_image, push_manifest
from tests.support.signatures import FORGER, OTHER, RELEASE, anchors, name_of, require_signatures, sign, sign_by_tag
from tests.support.store_hooks import RecordedMetadata
from tests.support.vex_documents import attach, bundle, envelope

A: Final = "team/app"
ABSENT: Final = "sha256:" + "0" * 64


@pytest.fixture
def image(registry: Registry) -> Manifest:
    return push_image(registry, A, "v1")


def stored(registry: Registry, image: Manifest) -> Trust | None:
    key = Key(Trust, image.digest, image.repository)
    return registry.metadata.read([key])[key]


def signers(registry: Registry, image: Manifest, by: Anchors | None = None) -> list[str]:
    trust = registry.verifier.trust_of(A, image.digest, by or anchors(RELEASE, OTHER))
    return [each.signature.signer for each in signatures_of(trust, registry._clock())]


def remarks(registry: Registry, image: Manifest) -> tuple[str, ...]:
    return registry.verifier.trust_of(A, image.digest, anchors(RELEASE, OTHER)).remarks


def test_signatures_of_all_forms_count(registry: Registry, image: Manifest) -> None:
    assert signers(registry, image) == []

    bundled = sign(registry, image)
    assert signers(registry, image) == [name_of(RELEASE)]
    tagged = sign_by_tag(registry, image, OTHER)
    assert signers(registry, image) == [name_of(OTHER), name_of(RELEASE)]

    kept = signatures_of(stored(registry, image), registry._clock())
    assert [(each.digest, each.signature.format) for each in kept] == [
        (tagged.digest, "cosign-tag"),
        (bundled.digest, "cosign-bundle"),
    ]
    assert kept[0].at > kept[1].at


def test_what_no_anchor_signed_does_not_count_and_is_remarked(registry: Registry, image: Manifest) -> None:
    sign(registry, image, FORGER)
    sign(registry, image, RELEASE, digest=ABSENT)
    attach(registry, image, b"[", BUNDLE, annotations={})

    assert signers(registry, image) == []
    assert len(remarks(registry, image)) == 3
    assert all(each.startswith("1 signature does not count: ") for each in remarks(registry, image))


def test_an_attestation_by_the_right_key_is_no_signature(registry: Registry, image: Manifest) -> None:
    signed = envelope({}, image.digest, RELEASE, "https://slsa.dev/provenance/v1")
    attach(registry, image, bundle(signed), BUNDLE, annotations={})

    assert signers(registry, image) == []


def test_trust_is_read_until_something_changes(stores: Stores, clock: FakeClock) -> None:
    metadata = RecordedMetadata(stores.metadata)
    registry = Registry(stores.blobs, metadata, clock=clock)
    image = push_image(registry, A, "v1")
    sign(registry, image)
    signers(registry, image)

    metadata.calls.clear()
    assert signers(registry, image) == [name_of(RELEASE)]
    assert metadata.calls == ["read"]
    # A policy that has fewer keys needs no verification.
    assert signers(registry, image, anchors(OTHER)) == [name_of(RELEASE)]
    assert metadata.calls == ["read", "read"]


def test_a_new_anchor_is_verified_at_the_next_decision(registry: Registry, image: Manifest) -> None:
    sign(registry, image, RELEASE)
    sign(registry, image, OTHER)
    assert signers(registry, image, anchors(RELEASE)) == [name_of(RELEASE)]
    trust, now = stored(registry, image), registry._clock()
    assert is_current(trust, [name_of(RELEASE)], now)
    assert not is_current(trust, [name_of(OTHER)], now)

    assert signers(registry, image) == [name_of(OTHER), name_of(RELEASE)]


def test_a_later_verifier_verifies_again(registry: Registry, image: Manifest, monkeypatch: pytest.MonkeyPatch) -> None:
    signers(registry, image)
    monkeypatch.setattr(trust_contents, "VERIFIER", trust_contents.VERIFIER + 1)

    assert not is_current(stored(registry, image), [], registry._clock())


def test_without_anchors_no_signature_is_read(stores: Stores, clock: FakeClock) -> None:
    metadata = RecordedMetadata(stores.metadata)
    registry = Registry(stores.blobs, metadata, clock=clock)
    image = push_image(registry, A, "v1")
    sign(registry, image)
    metadata.calls.clear()

    registry.verifier.trust_of(A, image.digest, Anchors())

    assert metadata.calls == ["read", "commit"]
    assert is_current(stored(registry, image), [], clock())


def test_a_manifest_that_does_not_exist_has_no_trust(registry: Registry) -> None:
    with pytest.raises(RegistryError) as caught:
        registry.verifier.trust_of(A, ABSENT, anchors(RELEASE))
    assert caught.value.descriptor == MANIFEST_UNKNOWN


def test_signatures_whose_bytes_are_lost_are_tried_again(
    stores: Stores, registry: Registry, image: Manifest, clock: FakeClock
) -> None:
    signed = sign(registry, image)
    (blob,) = [each for each in signed.blobs if each != images.descriptor(images.EMPTY_CONFIG)["digest"]]
    content = b"".join(registry.blobs.open(registry.blobs.get(A, blob), 0, registry.blobs.get(A, blob).size))
    stores.blobs.delete(registry.blobs.get(A, blob).object)

    assert signers(registry, image) == []
    assert remarks(registry, image) == ("1 signature does not count: its bytes are missing or damaged",)

    repair(stores, registry, blob, content)
    assert signers(registry, image) == [], "a decision costs one read until then"
    clock.advance(seconds=RETRY.total_seconds())
    assert signers(registry, image) == [name_of(RELEASE)]


def test_a_signature_that_is_pushed_again_is_verified_at_once(
    stores: Stores, registry: Registry, image: Manifest
) -> None:
    signed = sign(registry, image)
    (blob,) = [each for each in signed.blobs if each != images.descriptor(images.EMPTY_CONFIG)["digest"]]
    link = registry.blobs.get(A, blob)
    content = b"".join(registry.blobs.open(link, 0, link.size))
    stores.blobs.delete(link.object)
    assert signers(registry, image) == []

    repair(stores, registry, blob, content)
    push_manifest(registry, A, registry.manifests.content(signed))

    assert signers(registry, image) == [name_of(RELEASE)]


def repair(stores: Stores, registry: Registry, blob: str, content: bytes) -> None:
    """Write the lost object of a blob again, under its name."""
    stores.blobs.append(registry.blobs.get(A, blob).object, [content], len(content))


def test_only_so_much_is_read(registry: Registry, image: Manifest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signature_referrers, "MAX_MANIFESTS", 2)
    for number in range(3):
        sign(registry, image, FORGER, number=number)

    assert remarks(registry, image)[-1] == "1 more were not read"
    sign(registry, image)
    assert signers(registry, image) == [name_of(RELEASE)]


def test_large_layers_do_not_take_the_place_of_signatures(
    registry: Registry, image: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signature_referrers, "MAX_SIZE", 150_000)
    sign(registry, image)
    for number in range(2):
        attach(registry, image, f"{number}".encode() * 100_000, BUNDLE, annotations={})

    assert signers(registry, image) == [name_of(RELEASE)]
    assert remarks(registry, image)[-1] == "1 more were not read"


def test_a_layer_that_is_not_as_long_as_its_manifest_says_is_not_read(registry: Registry, image: Manifest) -> None:
    push_blob(registry, A, content := b"x" * 2_000)
    fields = json.loads(registry.manifests.content(sign(registry, image, FORGER)))
    fields["layers"] = [images.descriptor(content, BUNDLE) | {"size": 1}]
    push_manifest(registry, A, json.dumps(fields).encode())

    reason = "its size is not the one that its manifest states"
    assert f"1 signature does not count: {reason}" in remarks(registry, image)


def test_a_signer_with_endless_names_does_not_count(
    registry: Registry, image: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verifier, "MAX_NAMES", -1)
    sign(registry, image)

    assert signers(registry, image) == []
    assert remarks(registry, image) == ("1 signature does not count: the names of its signer are too long",)


@pytest.mark.parametrize("kind", ["signature", "image", "subject", "mixed"])
def test_signatures_and_attestations_are_known_by_their_content(kind: str, registry: Registry, image: Manifest) -> None:
    match kind:
        case "signature":
            examined = sign_by_tag(registry, image)
        case "image":
            examined = image
        case "subject":
            examined = sign(registry, image)
        case _:
            fields = json.loads(registry.manifests.content(sign_by_tag(registry, image)))
            push_blob(registry, A, b"a layer")
            fields["layers"].append(images.descriptor(b"a layer"))
            examined = push_manifest(registry, A, json.dumps(fields).encode(), "v2")

    assert registry.verifier.trust_of(A, examined.digest, Anchors()).attachment == (kind == "signature")


def test_a_standby_verifies_and_writes_nothing(stores: Stores, clock: FakeClock) -> None:
    registry = Registry(stores.blobs, stores.metadata, clock=clock)
    image = push_image(registry, A, "v1")
    signed = sign(registry, image)
    metadata = RecordedMetadata(stores.metadata)
    standby = Registry(stores.blobs, metadata, clock=clock)
    standby.is_standby = True

    assert signers(standby, image) == [name_of(RELEASE)]
    metadata.calls.clear()
    assert signers(standby, image) == [name_of(RELEASE)]
    assert metadata.calls == ["read"]
    registry.deletion.manifest(A, signed.digest)
    clock.advance(seconds=READ_ONLY_TTL.total_seconds() + 1)
    assert signers(standby, image) == []
    assert "commit" not in metadata.calls


def test_the_same_signer_is_kept_once(clock: FakeClock) -> None:
    made = Signature(signer="sha256:00", format="cosign-tag", expires=clock() + timedelta(hours=1))
    newer, older = (KeptSignature(made, digest, clock()) for digest in ("newer", "older"))

    chosen, omitted = chosen_signatures([newer, older], lambda each: True)

    text = encoded_signatures(chosen)
    trust = Trust(id=ABSENT, repository=A, created=clock(), verified=clock(), signatures=text)
    assert (signatures_of(trust, clock()), omitted) == ((newer,), 0)
    assert signatures_of(trust, clock() + timedelta(hours=1)) == (), "it has expired"


def test_signatures_are_limited_in_bytes(clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trust_contents, "MAX_CONTENT", 300)
    kept = [KeptSignature(Signature(signer=str(each), format="cosign-tag"), "d", clock()) for each in range(9)]

    chosen, omitted = chosen_signatures(kept, lambda each: each.signer == "8")

    assert len(text := encoded_signatures(chosen)) <= 300
    assert len(json.loads(text)) + omitted == 9
    assert "8" in [each.signature.signer for each in chosen], "what counts is kept before others"


def test_a_signature_that_counted_is_not_lost_among_many(
    registry: Registry, image: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signature_referrers, "MAX_MANIFESTS", 2)
    first, second = sign(registry, image), sign(registry, image, OTHER)
    assert signers(registry, image) == [name_of(OTHER), name_of(RELEASE)]
    for number, by in enumerate([anchors(OTHER), Anchors(), anchors(OTHER, RELEASE)]):
        sign(registry, image, FORGER, number=number)
        assert signers(registry, image, by) == [each for each in map(name_of, (OTHER, RELEASE)) if each in by.keys]
    registry.deletion.manifest(A, second.digest)
    assert signers(registry, image) == [name_of(RELEASE)]
    registry.deletion.manifest(A, first.digest)
    assert signers(registry, image) == []


def test_a_signature_that_is_pushed_is_verified_however_many_there_are(
    registry: Registry, image: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signature_referrers, "MAX_MANIFESTS", 0)
    require_signatures(registry.metadata)
    sign(registry, image, FORGER)
    assert signers(registry, image) == []
    signed = sign(registry, image)

    for act in registry.push.after:
        act(signed, ())

    assert signers(registry, image) == [name_of(RELEASE)]
    for other in (image, push_image(registry, A, "v2")):
        trust = registry.verifier.trust_of(A, other.digest, anchors(RELEASE), pushed=signed.digest)
        assert bool(trust.signatures) is (other is image), "it is one of its own subject alone"


def test_pushes_know_the_types_of_signatures() -> None:
    assert SIGNATURE_TYPES == signature.SIGNATURE_TYPES


def test_verification_retries_where_a_signature_came_meanwhile(stores: Stores, clock: FakeClock) -> None:
    registry = Registry(stores.blobs, stores.metadata, clock=clock)
    image = push_image(registry, A, "v1")
    calls: list[str] = []

    def slow(*arguments: Any) -> Any:
        if not calls:
            sign(registry, image, OTHER)
        calls.append("verify")
        return verify(*arguments)

    sign(registry, image, RELEASE)
    slowly = Verifier(stores.metadata, registry._referrer_contents, clock, verify_candidate=slow)
    trust = slowly.trust_of(A, image.digest, anchors(RELEASE, OTHER))

    assert {each.signature.signer for each in signatures_of(trust, clock())} == {name_of(RELEASE), name_of(OTHER)}
    assert len(calls) == 3, "the first verification saw one signature, the second saw two"

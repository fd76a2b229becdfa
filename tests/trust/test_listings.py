"""What listings show of signatures, on both pairs of stores: without a verification, and without a call more."""

import logging
from dataclasses import replace
from typing import Final

import pytest

from lading.registry.details import SignatureSummary
from lading.registry.registry import Registry
from lading.registry.trust.verifier import Verifier
from lading_storage.errors import Unavailable
from lading_storage.protocols import Replace
from lading_storage.records.core import Key, Manifest
from lading_storage.records.rules import REGISTRY_RULES
from lading_storage.records.trust import Trust
from lading_storage.stores import Stores
from tests.support.fake_clock import FakeClock
from tests.support.registry_pushes import push_image
from tests.support.signatures import FORGER, OTHER, RELEASE, require_signatures, sign, sign_by_tag
from tests.support.store_hooks import RecordedMetadata
from tests.support.vex_documents import push

A: Final = "team/app"
SIGNED: Final = SignatureSummary("signed", ("release",))
UNSIGNED: Final = SignatureSummary("unsigned")
UNVERIFIED: Final = SignatureSummary("unverified")


@pytest.fixture
def image(registry: Registry) -> Manifest:
    return push_image(registry, A, "v1")


def shown(registry: Registry) -> SignatureSummary | None:
    (row,) = [each for each in registry.inspection.tags(A, "", 100).items if each.tag == "v1"]
    details = registry.inspection.manifest(A, "v1")
    assert details.signed == row.signed
    return row.signed


def test_nothing_is_shown_where_no_policy_names_signers(registry: Registry, image: Manifest) -> None:
    sign(registry, image)
    assert shown(registry) is None

    require_signatures(registry.metadata, "other/*")
    assert shown(Registry(registry.objects, registry.metadata)) is None


def test_a_push_of_a_signature_verifies_its_subject(registry: Registry, image: Manifest) -> None:
    require_signatures(registry.metadata)
    assert shown(registry) == UNVERIFIED
    signed = sign(registry, image)
    assert shown(registry) == SIGNED

    (details,) = registry.inspection.manifest(A, image.digest).signatures
    assert (details.signer, details.format, details.digest) == ("release", "cosign-bundle", signed.digest)
    assert (details.identity, details.expires, details.attached) == ("", None, signed.created)
    registry.deletion.manifest(A, signed.digest)
    assert shown(registry) == UNVERIFIED
    push(registry, A, registry.manifests.content(sign(registry, image, FORGER)), "forged")
    assert shown(registry) == UNSIGNED
    assert registry.inspection.manifest(A, image.digest).signatures == ()


def test_all_signers_are_named(registry: Registry, image: Manifest) -> None:
    require_signatures(registry.metadata, release=RELEASE, audit=OTHER)
    sign(registry, image)
    tagged = sign_by_tag(registry, image, OTHER)
    tag = f"{image.digest.replace(':', '-')}.sig"
    push(registry, A, registry.manifests.content(tagged), tag)

    assert shown(registry) == SignatureSummary("signed", ("audit", "release"))


def test_a_signature_that_comes_before_its_subject_does_no_harm(registry: Registry, image: Manifest) -> None:
    require_signatures(registry.metadata)
    content = registry.manifests.content(image)
    registry.deletion.manifest(A, image.digest)

    sign(registry, image)

    registry.inspection.tags(A, "", 100)
    push(registry, A, content, "v1")
    assert shown(registry) == UNVERIFIED, "the next pull verifies"


def test_a_failed_verification_does_not_fail_the_push(
    registry: Registry, image: Manifest, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*arguments: object) -> None:
        raise Unavailable("by plan")

    require_signatures(registry.metadata)
    monkeypatch.setattr(Verifier, "trust_of", fail)
    with caplog.at_level(logging.WARNING, "lading"):
        signed = sign(registry, image)

    assert registry.manifests.find(A, signed.digest).digest == signed.digest
    assert f"the signatures of {A}@{image.digest} are not verified yet: by plan" in caplog.text
    assert shown(registry) == UNVERIFIED


def test_policies_that_cannot_be_read_show_nothing_as_signed(registry: Registry, image: Manifest) -> None:
    require_signatures(registry.metadata)
    sign(registry, image)
    rules = registry.metadata.read([REGISTRY_RULES])[REGISTRY_RULES]
    assert rules is not None
    registry.metadata.commit([Replace(replace(rules, policies='{"version": 99}'))])

    assert shown(Registry(registry.objects, registry.metadata)) == UNVERIFIED


def test_listings_and_pushes_cost_no_call_more(stores: Stores, clock: FakeClock) -> None:
    metadata = RecordedMetadata(stores.metadata)
    registry = Registry(stores.blobs, metadata, clock=clock)
    image = push_image(registry, A, "v1")

    def calls_of_a_listing() -> list[str]:
        metadata.calls.clear()
        registry.inspection.tags(A, "", 100)
        return list(metadata.calls)

    def calls_of_a_push() -> list[str]:
        metadata.calls.clear()
        push(registry, A, registry.manifests.content(image), "v2")
        return list(metadata.calls)

    calls_of_a_listing()
    without = calls_of_a_listing(), calls_of_a_push()
    require_signatures(stores.metadata)
    registry = Registry(stores.blobs, metadata, clock=clock)
    assert calls_of_a_listing() == [*without[0], "read"], "trust of what a policy turned out to name"
    assert (calls_of_a_listing(), calls_of_a_push()) == without
    key = Key(Trust, image.digest, A)
    assert stores.metadata.read([key])[key] is None

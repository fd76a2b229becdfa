"""VEX documents that are attached to images, on both pairs of stores: only what a key of the configuration signed."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pytest

from lading.registry.registry import Registry
from lading.registry.scans import signed_referrers
from lading.registry.scans.signed_referrers import MAX_VEX
from lading.scanning.documents.scan_document import ScanDocument
from lading.scanning.findings import DONE
from lading.vulnerabilities.document_keys import DocumentKeys, load_keys
from lading_storage.records.core import Manifest
from lading_storage.records.scans import MATCH
from lading_storage.stores import Stores
from tests.scans.scan_runs import FakeData, FakeLayers, image_of, npm, run
from tests.scans.scan_steps import A, claim_all, facts_of, only_claim, pushed, referrers, result_of, scan
from tests.support.fake_clock import FakeClock
from tests.support.registry_pushes import push_manifest
from tests.support.store_hooks import RecordedMetadata
from tests.support.vex_documents import (
    BUNDLE,
    ENVELOPE,
    FORGER,
    NAMED,
    attach,
    attach_by_tag,
    bundle,
    document,
    envelope,
    write_keys,
)

LEFT_PAD: Final = "pkg:npm/left-pad@1.0.0"
SUPPRESSED: Final = "not_affected: vulnerable_code_not_present, signed by release"
FORGED: Final = "1 VEX document does not count: no key of the configuration signed it"


@pytest.fixture
def registry(stores: Stores, clock: FakeClock, tmp_path: Path) -> Registry:
    registry = Registry(stores.blobs, stores.metadata, clock=clock, scans_images=True)
    registry.honour_documents(DocumentKeys(vex=load_keys(str(write_keys(tmp_path / "vex")))))
    return registry


@pytest.fixture
def layers() -> FakeLayers:
    return FakeLayers({b"base": npm("left-pad", "1.0.0")})


def signed(image: Manifest, **fields: Any) -> dict[str, Any]:
    return envelope(document("GHSA-1", LEFT_PAD, **fields), image.digest)


def read(registry: Registry, image: Manifest) -> ScanDocument:
    return registry.image_scans.document(A, image.digest)


def suppressed(registry: Registry, image: Manifest) -> list[str]:
    return [each.suppressed for each in read(registry, image).vulnerabilities]


def counts(registry: Registry, image: Manifest) -> Mapping[str, Any]:
    found: Mapping[str, Any] = json.loads(facts_of(registry, image).counts)
    return found


@pytest.mark.parametrize("how", ["bundle", "envelope", "tag", "without annotation"])
def test_a_signed_document_suppresses_a_finding_with_the_reason(
    how: str, registry: Registry, clock: FakeClock, layers: FakeLayers, data: FakeData
) -> None:
    image = image_of(registry, "v1", b"base")
    match how:
        case "bundle":
            attach(registry, image, bundle(signed(image)))
        case "envelope":
            attach(registry, image, json.dumps(signed(image)).encode(), ENVELOPE)
        case "tag":
            attach_by_tag(registry, image, signed(image))
        case _:
            attach(registry, image, bundle(signed(image)), annotations={})

    run(registry, clock, layers, data)

    assert suppressed(registry, image) == [SUPPRESSED]
    assert counts(registry, image) == {}
    assert (read(registry, image).state, read(registry, image).remarks) == (DONE, ())


@pytest.mark.parametrize("when", ["before the scan", "after the scan"])
def test_what_no_configured_key_signed_changes_nothing_but_a_remark(
    when: str, registry: Registry, clock: FakeClock, layers: FakeLayers, data: FakeData
) -> None:
    image = image_of(registry, "v1", b"base")
    if when == "after the scan":
        run(registry, clock, layers, data)
    forged = attach(registry, image, bundle(envelope(document("GHSA-1", LEFT_PAD), image.digest, FORGER)))
    clock.advance(minutes=2)

    run(registry, clock, layers, data)

    assert suppressed(registry, image) == [""]
    assert counts(registry, image) == {"unknown": [1, 0]}
    assert (read(registry, image).state, read(registry, image).remarks) == (DONE, (FORGED,))
    assert referrers(registry, image)[BUNDLE] == [forged.digest]


OTHER: Final = "sha256:" + "b" * 64


@pytest.mark.parametrize(
    "case",
    [
        (bundle(envelope(document("GHSA-1", LEFT_PAD), OTHER)), "it is about something else"),
        (json.dumps(document("GHSA-1", LEFT_PAD)).encode(), "it is not a signed statement"),
        (b"[" * 10_000, "it is not a signed statement"),
        (b" " * (MAX_VEX + 1), "it has more than 1 MiB"),
    ],
    ids=["another image", "unsigned", "no JSON", "too large"],
)
def test_documents_that_do_not_count(
    case: tuple[bytes, str], registry: Registry, clock: FakeClock, layers: FakeLayers, data: FakeData
) -> None:
    image = image_of(registry, "v1", b"base")
    content, reason = case
    attach(registry, image, content)

    run(registry, clock, layers, data)

    assert suppressed(registry, image) == [""]
    assert read(registry, image).remarks == (f"1 VEX document does not count: {reason}",)


def test_a_signed_document_that_is_not_openvex_is_named(
    registry: Registry, clock: FakeClock, layers: FakeLayers, data: FakeData
) -> None:
    image = image_of(registry, "v1", b"base")
    attach(registry, image, bundle(envelope({"statements": [{"status": "fine"}]}, image.digest)))

    run(registry, clock, layers, data)

    (remark,) = read(registry, image).remarks
    assert remark.endswith("signed by release, does not count: it is not a document of OpenVEX")
    assert suppressed(registry, image) == [""]


def test_the_latest_statement_counts_whatever_was_attached_last(
    registry: Registry, clock: FakeClock, layers: FakeLayers, data: FakeData
) -> None:
    image = image_of(registry, "v1", b"base")
    attach(registry, image, bundle(signed(image, status="affected", timestamp="2026-02-01T00:00:00Z")))
    clock.advance(minutes=1)
    attach(registry, image, bundle(signed(image)))

    run(registry, clock, layers, data)

    assert suppressed(registry, image) == [""]


def test_signed_statements_of_other_kinds_are_left_alone(
    registry: Registry, clock: FakeClock, layers: FakeLayers, data: FakeData
) -> None:
    image = image_of(registry, "v1", b"base")
    other = envelope({}, image.digest, predicate_type="https://slsa.dev/provenance/v1")
    attach(registry, image, bundle(other), annotations={})
    attach(registry, image, bundle(other), annotations={NAMED_TYPE: "https://slsa.dev/provenance/v1"})

    run(registry, clock, layers, data)

    assert read(registry, image).remarks == ()


NAMED_TYPE: Final = next(name for name in NAMED if name.endswith("predicateType"))


def test_a_new_document_makes_a_scanned_image_due_and_so_does_its_deletion(
    registry: Registry, clock: FakeClock, layers: FakeLayers, data: FakeData
) -> None:
    image = image_of(registry, "v1", b"base")
    run(registry, clock, layers, data)
    clock.advance(hours=1)
    assert run(registry, clock, layers, data) == {}

    vex = attach(registry, image, bundle(signed(image)))
    clock.advance(minutes=1)
    assert run(registry, clock, layers, data) == {DONE: 1}

    assert suppressed(registry, image) == [SUPPRESSED]
    registry.deletion.manifest(A, vex.digest)
    clock.advance(minutes=1)
    run(registry, clock, layers, data)
    assert suppressed(registry, image) == [""]


def test_documents_that_are_the_same_are_not_compared_again(
    registry: Registry, clock: FakeClock, layers: FakeLayers, data: FakeData
) -> None:
    image = image_of(registry, "v1", b"base")
    attach(registry, image, bundle(signed(image)))
    run(registry, clock, layers, data)
    clock.advance(days=1)

    assert run(registry, clock, layers, data) == {"unchanged": 1}
    assert suppressed(registry, image) == [SUPPRESSED]


@pytest.mark.parametrize("by_tag", [False, True])
def test_a_document_that_comes_during_a_scan_is_compared_after_it(
    by_tag: bool, registry: Registry, clock: FakeClock
) -> None:
    image = pushed(registry)
    claim = only_claim(registry)
    attach_by_tag(registry, image, signed(image)) if by_tag else attach(registry, image, bundle(signed(image)))
    assert claim.signed == ()

    registry.scans.results.accept(A, image.digest, claim.nonce, result_of(claim, clock))

    clock.advance(minutes=1)
    again = scan(registry, clock, 2)
    assert (again.task, [each.key for each in again.signed]) == (MATCH, ["release"])
    assert facts_of(registry, image).next > clock.time


def test_another_referrer_makes_nothing_due(registry: Registry, clock: FakeClock) -> None:
    image = pushed(registry)
    scan(registry, clock)
    before = facts_of(registry, image)

    attach(registry, image, b"sbom", "application/spdx+json")

    assert facts_of(registry, image) == before


def test_only_the_newest_attestations_are_read(
    registry: Registry, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signed_referrers, "MAX_ATTESTATIONS", 2)
    image = pushed(registry)
    for number in range(3):
        attach(registry, image, bundle(signed(image, author=f"author {number}")))
        clock.advance(minutes=1)

    claim = only_claim(registry)

    assert [json.loads(each.content)["author"] for each in claim.signed] == ["author 2", "author 1"]
    assert claim.remarks == ("1 older attestation was not read",)


def test_documents_are_limited_in_bytes(registry: Registry, clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signed_referrers, "MAX_DOCUMENTS_SIZE", 500)
    image = pushed(registry)
    for number in range(3):
        attach(registry, image, bundle(signed(image, author=f"author {number}")))

    claim = only_claim(registry)

    assert len(claim.signed) == 1
    assert claim.remarks[0].startswith("2 VEX documents do not count: the newer documents have")


def test_without_keys_nothing_counts_and_nothing_costs_more(stores: Stores, clock: FakeClock, tmp_path: Path) -> None:
    metadata = RecordedMetadata(stores.metadata)
    registry = Registry(stores.blobs, metadata, clock=clock, scans_images=True)
    image = pushed(registry)
    scan(registry, clock)
    before = facts_of(registry, image)
    attach(registry, image, bundle(signed(image)))
    assert facts_of(registry, image) == before

    def calls_of_a_claim() -> list[str]:
        clock.advance(days=1)
        metadata.calls.clear()
        claim = only_claim(registry)
        assert (bool(claim.signed), claim.remarks) == (bool(registry._document_keys), ())
        return list(metadata.calls)

    without = calls_of_a_claim()
    registry = Registry(stores.blobs, metadata, clock=clock, scans_images=True)
    registry.honour_documents(DocumentKeys(vex=load_keys(str(write_keys(tmp_path / "vex")))))
    assert claim_all(registry) == []  # the first call of a process looks whether the keys are others than before
    assert len(calls_of_a_claim()) == len(without) + 3


def test_a_push_of_an_image_costs_no_call_more_with_keys(stores: Stores, clock: FakeClock, tmp_path: Path) -> None:
    metadata = RecordedMetadata(stores.metadata)
    registry = Registry(stores.blobs, metadata, clock=clock, scans_images=True)
    image = pushed(registry)

    def calls_of_a_push() -> int:
        metadata.calls.clear()
        push_manifest(registry, A, registry.manifests.content(image), "v2")
        return len(metadata.calls)

    before = calls_of_a_push()
    registry.honour_documents(DocumentKeys(vex=load_keys(str(write_keys(tmp_path / "vex")))))
    assert calls_of_a_push() == before

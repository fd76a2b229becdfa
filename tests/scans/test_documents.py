"""Documents of results, on both pairs of stores: one SBOM and one report for each image, replaced for good."""

import json
from typing import Any, TypeVar

from lading.registry.change_context import PUSH
from lading.registry.registry import Registry
from lading.registry.scans.documents import CYCLONEDX, IN_TOTO, PREDICATE_TYPE, SCANNER, VULNERABILITIES
from lading.scanning.findings import PARTIAL
from lading_storage.query import Query
from lading_storage.records.core import Key
from lading_storage.records.deleted import DeletedManifest
from lading_storage.records.scans import MATCH, Facts, LayerScan
from lading_storage.stores import Stores
from tests.scans.scan_steps import (
    A,
    accept,
    claim_all,
    collect_all,
    facts_of,
    only_claim,
    pushed,
    referrers,
    result_of,
    scan,
)
from tests.support import images
from tests.support.fake_clock import FakeClock
from tests.support.invariants import Snapshot, assert_no_garbage
from tests.support.outbox import assert_events_match, outbox_of
from tests.support.registry_pushes import pull_blob, push_blob, push_manifest

T = TypeVar("T")


def document(registry: Registry, digest: str) -> dict[str, Any]:
    """The document that a referrer consists of."""
    manifest = json.loads(registry.manifests.find(A, digest).content or b"")
    return dict(json.loads(pull_blob(registry, A, manifest["layers"][0]["digest"])))


def test_a_result_becomes_facts_and_two_referrers(registry: Registry, clock: FakeClock) -> None:
    image = pushed(registry)
    claim = only_claim(registry)

    accept(registry, claim, result_of(claim, clock, state=PARTIAL, notes=["a: damaged"], missing=["Alpine"]))

    facts, attached = facts_of(registry, image), referrers(registry, image)
    assert (facts.state, facts.task, facts.claim, facts.tries) == (PARTIAL, MATCH, "", 0)
    assert (facts.counts, facts.content, facts.data) == ('{"high":[1,0]}', b"[1]", ("Debian=etag 1",))
    assert (facts.notes, facts.missing) == (("a: damaged",), ("Alpine",))
    assert attached == {CYCLONEDX: [facts.sbom], IN_TOTO: [facts.report]}
    assert document(registry, facts.sbom)["bomFormat"] == "CycloneDX"
    assert document(registry, facts.report)["n"] == 1
    (report,) = registry.manifests.referrers(A, image.digest, IN_TOTO, "").items
    assert report.annotations[PREDICATE_TYPE] == VULNERABILITIES
    events = outbox_of(registry.metadata, A)
    assert {event.by for digest in (facts.sbom, facts.report) for event in events[digest]} == {SCANNER}
    assert_events_match(registry.metadata, A)
    layer = Key(LayerScan, image.blobs[1])
    kept = registry.metadata.read([layer])[layer]
    assert kept
    assert kept.content == b"packages"


def test_referrers_are_not_scanned_themselves(registry: Registry, clock: FakeClock) -> None:
    image = pushed(registry)
    scan(registry, clock)

    assert claim_all(registry) == []
    assert [facts.id for facts in registry.metadata.find(Query(Facts, repository=A, limit=9))] == [image.digest]


def test_new_findings_replace_the_documents_for_good(registry: Registry, stores: Stores, clock: FakeClock) -> None:
    image = pushed(registry)
    scan(registry, clock)
    before = facts_of(registry, image)
    clock.advance(days=1)

    scan(registry, clock, 2)

    facts = facts_of(registry, image)
    assert referrers(registry, image) == {CYCLONEDX: [facts.sbom], IN_TOTO: [facts.report]}
    assert {facts.sbom, facts.report}.isdisjoint({before.sbom, before.report})
    assert stores.metadata.find(Query(DeletedManifest, repository=A, limit=9)) == []
    assert_events_match(stores.metadata, A)
    collect_all(registry, clock)
    snapshot = Snapshot(stores, [A])
    assert_no_garbage(snapshot)
    assert len(snapshot.blobs) == 4, "a layer, two documents, and the config that all three have here"


def test_equal_findings_write_no_documents(registry: Registry, clock: FakeClock) -> None:
    image = pushed(registry)
    scan(registry, clock)
    before = facts_of(registry, image)
    clock.advance(days=1)

    scan(registry, clock, 1, data={"Debian": "newer"}, sbom=None, report=None)

    facts = facts_of(registry, image)
    assert (facts.sbom, facts.report, facts.fingerprint) == (before.sbom, before.report, before.fingerprint)
    assert facts.data == ("Debian=newer",)
    assert referrers(registry, image) == {CYCLONEDX: [facts.sbom], IN_TOTO: [facts.report]}


def test_documents_that_were_deleted_are_made_anew(registry: Registry, clock: FakeClock) -> None:
    image = pushed(registry)
    scan(registry, clock)
    registry.deletion.manifest(A, facts_of(registry, image).report)
    clock.advance(days=1)

    assert scan(registry, clock).fingerprint == ""
    facts = facts_of(registry, image)
    assert referrers(registry, image) == {CYCLONEDX: [facts.sbom], IN_TOTO: [facts.report]}


def test_a_document_that_clients_refer_to_stays(registry: Registry, clock: FakeClock) -> None:
    image = pushed(registry)
    scan(registry, clock)
    before = facts_of(registry, image)
    registry.push.tag(A, before.sbom, "kept", PUSH)
    push_blob(registry, A, images.EMPTY_CONFIG)
    signed = registry.manifests.find(A, before.report).content or b""
    push_manifest(registry, A, images.manifest([], subject=images.descriptor(signed)))
    clock.advance(days=1)

    scan(registry, clock, 2)

    attached, facts = referrers(registry, image), facts_of(registry, image)
    assert sorted(attached[CYCLONEDX]) == sorted([before.sbom, facts.sbom])
    assert sorted(attached[IN_TOTO]) == sorted([before.report, facts.report])
    assert registry.manifests.find(A, "kept").digest == before.sbom


def test_a_forged_report_changes_nothing_in_facts(registry: Registry, clock: FakeClock) -> None:
    image = pushed(registry)
    scan(registry, clock)
    before = facts_of(registry, image)
    genuine = json.loads(registry.manifests.find(A, before.report).content or b"")
    forged = b'{"findings": []}'
    push_blob(registry, A, forged)
    genuine["layers"] = [images.descriptor(forged, IN_TOTO)]
    push_manifest(registry, A, json.dumps(genuine).encode())

    assert facts_of(registry, image) == before
    clock.advance(days=1)
    scan(registry, clock, 2)
    facts = facts_of(registry, image)
    assert facts.counts == '{"high":[2,0]}'
    assert facts.report in referrers(registry, image)[IN_TOTO]

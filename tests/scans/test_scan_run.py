"""Runs of a scanner in the process of the registry, on both pairs of stores: from the push to facts and documents."""

import json
from datetime import timedelta
from pathlib import Path

import pytest

from lading.registry.registry import Registry
from lading.registry.scans import claims as claims_module
from lading.registry.scans.documents import CYCLONEDX, IN_TOTO
from lading.scanner import scan_job, scan_run
from lading.scanner.in_process import InProcessBackend
from lading.scanner.scan_run import ScanRun
from lading.scanning.findings import DONE, FAILED, PARTIAL, UNSUPPORTED, WAITING
from lading.scanning.packages import LayerPackages
from lading.vulnerabilities import exploits
from lading.vulnerabilities.exploits import Exploits
from lading_storage.digests import digest_of
from lading_storage.errors import Unavailable
from lading_storage.stores import Stores
from tests.scans.scan_runs import FakeData, FakeLayers, image_of, npm, run
from tests.scans.scan_steps import A, facts_of, manifest_with, pushed, referrers
from tests.support import images
from tests.support.fake_clock import FakeClock
from tests.support.osv_dumps import MakeDatabases, vulnerable
from tests.support.registry_pushes import push_blob, push_manifest
from tests.support.store_hooks import RecordedMetadata


@pytest.fixture
def layers() -> FakeLayers:
    return FakeLayers(
        {
            b"base": npm("left-pad", "1.0.0"),
            b"app": npm("express", "4.0.0"),
            b"empty": LayerPackages(),
            b"bomb": "it contains more than 1 GiB",
        }
    )


def test_an_image_is_scanned_from_its_layers_to_its_documents(
    registry: Registry, clock: FakeClock, layers: FakeLayers, data: FakeData
) -> None:
    image = image_of(registry, "v1", b"base", b"app")

    assert run(registry, clock, layers, data) == {DONE: 1, "layers read": 2}

    facts = facts_of(registry, image)
    assert (facts.state, json.loads(facts.counts)) == (DONE, {"unknown": [1, 0]})
    (worst,) = json.loads(facts.content or b"")
    assert (worst["id"], worst["package"], worst["fixed"]) == ("GHSA-1", "left-pad", "1.1.0")
    assert [each.partition("=")[0] for each in facts.data] == ["npm"]
    assert referrers(registry, image) == {CYCLONEDX: [facts.sbom], IN_TOTO: [facts.report]}
    assert [each.id for each in registry.scans.vulnerability_data("x").records()] == ["npm"]


def test_a_layer_of_several_images_is_read_once(
    registry: Registry, clock: FakeClock, layers: FakeLayers, data: FakeData
) -> None:
    for number in range(4):
        image_of(registry, f"v{number}", b"base", b"base", b"app")

    assert run(registry, clock, layers, data) == {DONE: 4, "layers read": 2}

    assert sorted(layers.read) == sorted(map(digest_of, (b"base", b"app")))


def test_data_that_did_not_change_is_not_compared_again(
    registry: Registry, clock: FakeClock, layers: FakeLayers, data: FakeData
) -> None:
    image = image_of(registry, "v1", b"base")
    run(registry, clock, layers, data)
    before = facts_of(registry, image)
    clock.advance(days=1)

    assert run(registry, clock, layers, data) == {"unchanged": 1}

    facts = facts_of(registry, image)
    assert facts.next > before.next
    assert facts.report == before.report
    assert before.at
    assert facts.at
    assert facts.at - before.at >= timedelta(days=1), "policies may limit the age of a result"


def test_new_data_is_compared_without_the_layers_and_replaces_the_report_if_it_finds_more(
    registry: Registry, clock: FakeClock, layers: FakeLayers, databases_of: MakeDatabases
) -> None:
    image = image_of(registry, "v1", b"base")
    first = vulnerable("GHSA-1", "npm", "left-pad", "1.1.0")
    run(registry, clock, layers, FakeData(databases_of(first)))
    before = facts_of(registry, image)
    layers.read.clear()
    clock.advance(days=1)
    elsewhere = databases_of(first, vulnerable("GHSA-2", "npm", "other", "1.1.0"))
    assert run(registry, clock, layers, FakeData(elsewhere)) == {DONE: 1}
    same = facts_of(registry, image)
    assert same.data != before.data
    assert (same.sbom, same.report) == (before.sbom, before.report)
    clock.advance(days=1)

    run(registry, clock, layers, FakeData(databases_of(first, vulnerable("GHSA-3", "npm", "left-pad", "1.2.0"))))

    facts = facts_of(registry, image)
    assert json.loads(facts.counts) == {"unknown": [2, 0]}
    assert facts.report != before.report
    assert layers.read == []


def test_data_that_cannot_be_opened_takes_no_result_back(
    registry: Registry, clock: FakeClock, layers: FakeLayers, data: FakeData
) -> None:
    """As on a full disk: a policy would refuse all images for it."""
    image = image_of(registry, "v1", b"base")
    run(registry, clock, layers, data)
    before = facts_of(registry, image)
    unusable = FakeData({})
    unusable.unusable = {"npm"}
    clock.advance(days=1)

    for _ in range(3):
        assert run(registry, clock, layers, unusable) == {WAITING: 1}
        clock.advance(minutes=3)

    facts = facts_of(registry, image)
    assert (facts.state, facts.counts, facts.data, facts.at) == (DONE, before.counts, before.data, before.at)
    assert "the vulnerability data of npm cannot be used now" in facts.reason
    new = image_of(registry, "v2", b"app")
    assert run(registry, clock, layers, unusable) == {PARTIAL: 1, "layers read": 1}
    assert facts_of(registry, new).missing == ("npm",)
    clock.advance(days=1)
    assert run(registry, clock, layers, FakeData({})) == {PARTIAL: 1, "unchanged": 1}, "data that is gone is missing"


def test_scores_that_change_a_little_make_no_new_documents(
    registry: Registry, clock: FakeClock, layers: FakeLayers, databases_of: MakeDatabases, tmp_path: Path
) -> None:
    image = image_of(registry, "v1", b"base")
    databases = databases_of(vulnerable("GHSA-1", "npm", "left-pad", "1.1.0", aliases=["CVE-2026-1"]))

    def report_with(score: float) -> str:
        scores = tmp_path / "scores.csv"
        scores.write_text(f"cve,epss\nCVE-2026-1,{score}\n")
        exploits.compile(scores, None, tmp_path / "exploits.sqlite")
        with Exploits(tmp_path / "exploits.sqlite") as opened:
            data = FakeData(databases)
            data.exploits = lambda: opened  # type: ignore[method-assign]
            assert run(registry, clock, layers, data)[DONE] == 1
        clock.advance(days=1)
        return facts_of(registry, image).report

    first = report_with(0.21)
    assert report_with(0.24) == first
    assert report_with(0.54) != first


def test_data_that_was_missing_is_compared_when_it_is_there(
    registry: Registry, clock: FakeClock, layers: FakeLayers, data: FakeData
) -> None:
    image = image_of(registry, "v1", b"base")
    run(registry, clock, layers, FakeData({}))
    assert (facts_of(registry, image).state, facts_of(registry, image).missing) == (PARTIAL, ("npm",))
    clock.advance(days=1)
    assert run(registry, clock, layers, FakeData({})) == {"unchanged": 1}
    clock.advance(days=1)

    assert run(registry, clock, layers, data) == {DONE: 1}


def test_an_image_without_packages_is_unsupported_and_never_clean(
    registry: Registry, clock: FakeClock, layers: FakeLayers, data: FakeData
) -> None:
    image = image_of(registry, "v1", b"empty")

    run(registry, clock, layers, data)

    facts = facts_of(registry, image)
    assert facts.state == UNSUPPORTED
    assert "no package was found" in facts.reason


def test_a_bomb_fails_with_the_reason_and_others_are_scanned(
    registry: Registry, clock: FakeClock, layers: FakeLayers, data: FakeData
) -> None:
    bomb, good = image_of(registry, "bomb", b"base", b"bomb"), image_of(registry, "good", b"base")

    assert run(registry, clock, layers, data) == {FAILED: 1, DONE: 1, "layers read": 1}

    assert facts_of(registry, bomb).reason == f"the layer {digest_of(b'bomb')}: it contains more than 1 GiB"
    assert facts_of(registry, good).state == DONE


def test_an_image_whose_layers_declare_too_much_together_fails(
    registry: Registry, clock: FakeClock, layers: FakeLayers, data: FakeData, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = image_of(registry, "v1", b"base", b"app")
    monkeypatch.setattr(scan_run, "MAX_IMAGE_PACKAGES", 1)
    assert run(registry, clock, layers, data) == {FAILED: 1, "layers read": 2}
    assert facts_of(registry, image).reason == "the image has more than 1 packages"

    monkeypatch.setattr(scan_run, "MAX_DECLARED_PACKAGES", 1)
    registry.scans.again(A, image.id)
    run(registry, clock, layers, data)
    assert facts_of(registry, image).reason == "its layers declare more than 1 packages"

    monkeypatch.setattr(scan_run, "MAX_IMAGE_TEXT", 100)
    registry.scans.again(A, image.id)
    assert run(registry, clock, layers, data) == {FAILED: 1}, "what its layers declare was kept"
    assert facts_of(registry, image).reason.startswith("its layers declare more than")


def test_a_layer_that_is_not_stored_makes_the_result_partial(
    registry: Registry, clock: FakeClock, layers: FakeLayers, data: FakeData
) -> None:
    for content in (images.EMPTY_CONFIG, b"base"):
        push_blob(registry, A, content)
    foreign = images.descriptor(b"foreign", "application/vnd.oci.image.layer.nondistributable.v1.tar")
    image = push_manifest(registry, A, manifest_with(layers=[images.descriptor(b"base"), foreign]), "v1")

    run(registry, clock, layers, data)

    facts = facts_of(registry, image)
    assert facts.state == PARTIAL
    assert "not stored" in facts.notes[0]


def test_a_defect_is_a_try_and_its_reason_is_kept(registry: Registry, clock: FakeClock, data: FakeData) -> None:
    image = image_of(registry, "v1", b"unknown")

    assert run(registry, clock, FakeLayers({}), data) == {WAITING: 1}

    assert facts_of(registry, image).reason.startswith("KeyError")


def test_a_stopped_run_leaves_the_other_images_for_later(
    registry: Registry, clock: FakeClock, layers: FakeLayers, data: FakeData
) -> None:
    for number in range(3):
        image_of(registry, f"v{number}", b"base")
    scanner = ScanRun(InProcessBackend(registry), layers, data, clock, "1.0")  # type: ignore[arg-type]

    scanner.run(lambda: bool(scanner.counts[DONE]))
    assert scanner.counts[DONE] == 1

    assert run(registry, clock, layers, data)[DONE] == 2


def test_a_backend_that_is_down_ends_the_run(
    registry: Registry, clock: FakeClock, layers: FakeLayers, data: FakeData, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = image_of(registry, "v1", b"base")

    class Down(InProcessBackend):
        def accept(self, *_: object) -> None:
            raise Unavailable("by plan")

    with pytest.raises(Unavailable):
        ScanRun(Down(registry), layers, data, clock, "1.0").run(lambda: False)  # type: ignore[arg-type]

    clock.advance(minutes=16)
    run(registry, clock, layers, data)
    assert facts_of(registry, image).state == DONE


def test_the_job_of_a_server_costs_one_query_while_nothing_is_due(
    stores: Stores, clock: FakeClock, data: FakeData
) -> None:
    counted = RecordedMetadata(stores.metadata)
    registry = Registry(stores.blobs, counted, clock=clock, scans_images=True)
    job = scan_job.ScanJob(InProcessBackend(registry), lambda: data, clock)  # type: ignore[arg-type, return-value]
    job.run()
    counted.calls.clear()

    for _ in range(3):
        assert job.run().as_json()["scans"] == {}
    assert counted.calls == ["due"] * 3
    clock.advance(seconds=claims_module.LATER_INTERVAL.total_seconds())
    job.run()
    assert counted.calls == ["due"] * (4 + sum(map(len, claims_module.LATER_QUEUES)))


def test_the_job_of_a_server_reads_real_layers(registry: Registry, clock: FakeClock, data: FakeData) -> None:
    image = pushed(registry)
    job = scan_job.ScanJob(InProcessBackend(registry), lambda: data, clock)  # type: ignore[arg-type, return-value]

    report = job.run(timedelta(minutes=1))

    assert report.finished
    facts = facts_of(registry, image)
    assert facts.state == FAILED, "random bytes are no layer"
    assert image.blobs[1] in facts.reason
    job.stop()
    pushed(registry, "v2")
    assert job.run().as_json()["scans"] == {}

"""SBOMs and reports of other scanners, on both pairs of stores: only what a key of the configuration signed counts."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import pytest

from lading.registry.registry import Registry
from lading.registry.scans import signed_referrers
from lading.scanning.documents.scan_document import ScanDocument
from lading.scanning.findings import DONE, PARTIAL, SIGNED, UNSUPPORTED
from lading.scanning.packages import LayerPackages
from lading.vulnerabilities.document_keys import DocumentKeys, load_keys
from lading.vulnerabilities.vulnerability_reports import COSIGN
from lading_storage.records.core import Manifest
from lading_storage.stores import Stores
from tests.scans.scan_runs import FakeData, FakeLayers, image_of, npm, run
from tests.scans.scan_steps import A, facts_of, only_claim, referrers
from tests.support.fake_clock import FakeClock
from tests.support.osv_dumps import MakeDatabases, vulnerable
from tests.support.scanner_documents import attach_signed, cyclonedx, grype, in_toto, report, spdx, trivy
from tests.support.vex_documents import (
    ENVELOPE,
    FORGER,
    attach,
    attach_by_tag,
    bundle,
    document,
    envelope,
    write_keys,
)

LEFT_PAD: Final = "pkg:npm/left-pad@1.0.0"
OTHER: Final = "pkg:npm/%40team/other@2.0.0"
SIGNED_BY: Final = "signed by release"


Scan = Callable[[], Mapping[str, int]]


@pytest.fixture
def registry(stores: Stores, clock: FakeClock, tmp_path: Path) -> Registry:
    registry = Registry(stores.blobs, stores.metadata, clock=clock, scans_images=True)
    keys = load_keys(str(write_keys(tmp_path / "keys")))
    registry.honour_documents(DocumentKeys(vex=keys, scans=keys))
    return registry


@pytest.fixture
def layers() -> FakeLayers:
    return FakeLayers({b"base": npm("left-pad", "1.0.0"), b"scratch": LayerPackages()})


@pytest.fixture
def data(databases_of: MakeDatabases) -> FakeData:
    return FakeData(
        databases_of(
            vulnerable("GHSA-1", "npm", "left-pad", "1.1.0", aliases=["CVE-2026-1"]),
            vulnerable("GHSA-2", "npm", "@team/other", "3.0.0"),
        )
    )


@pytest.fixture
def scan(registry: Registry, clock: FakeClock, layers: FakeLayers, data: FakeData) -> Scan:
    """Scan what is due."""
    return lambda: run(registry, clock, layers, data)


def read(registry: Registry, image: Manifest) -> ScanDocument:
    return registry.image_scans.document(A, image.digest)


def found(registry: Registry, image: Manifest) -> set[tuple[str, str, str]]:
    return {(each.id, each.package, each.source) for each in read(registry, image).vulnerabilities}


def counts(registry: Registry, image: Manifest) -> Mapping[str, Any]:
    return dict(json.loads(facts_of(registry, image).counts))


OWN: Final = ("GHSA-1", "left-pad", "")


@pytest.mark.parametrize(("kind", "make"), [("cyclonedx", cyclonedx), ("spdx", spdx)])
def test_packages_of_a_signed_sbom_are_compared_as_those_of_the_image(
    kind: str,
    make: Callable[..., dict[str, Any]],
    registry: Registry,
    scan: Scan,
) -> None:
    image = image_of(registry, "v1", b"base")
    attach_signed(registry, image, kind, make(LEFT_PAD, OTHER))

    scan()

    assert found(registry, image) == {OWN, ("GHSA-2", "@team/other", SIGNED_BY)}
    assert counts(registry, image) == {"unknown": [2, 0]}
    document = read(registry, image)
    assert (document.state, document.packages, document.remarks) == (DONE, 2, ())
    components = json.loads(registry.image_scans.sbom(A, image.digest))["components"]
    origins = {each["name"]: each.get("properties", [{"value": ""}])[0]["value"] for each in components}
    assert origins == {"left-pad": "", "other": SIGNED_BY}


@pytest.mark.parametrize(
    ("kind", "result"),
    [
        ("trivy", trivy("CVE-2026-9", LEFT_PAD)),
        ("grype", grype("CVE-2026-9", LEFT_PAD) | {"matches": [grype("CVE-2026-9", OTHER)["matches"][0]]}),
        ("in-toto", in_toto("CVE-2026-9", purl=LEFT_PAD)),
        ("in-toto", in_toto("CVE-2026-9")),
        ("in-toto", in_toto("CVE-2026-9", package="openssl", version="3.0")),
    ],
    ids=["trivy", "grype", "in-toto", "without a package", "package without purl"],
)
def test_vulnerabilities_of_a_signed_report_are_added_with_their_source(
    kind: str, result: Any, registry: Registry, scan: Scan
) -> None:
    image = image_of(registry, "v1", b"base")
    attach_signed(registry, image, kind, report(result))

    scan()

    (added,) = [each for each in read(registry, image).vulnerabilities if each.id != "GHSA-1"]
    assert (added.id, added.source) == ("CVE-2026-9", SIGNED_BY)
    assert sum(each[0] + each[1] for each in counts(registry, image).values()) in (1, 2)


@pytest.mark.parametrize(
    "result", [trivy("CVE-2026-1", LEFT_PAD), grype("GHSA-1", LEFT_PAD), in_toto("CVE-2026-1")], ids=str
)
def test_what_the_data_knows_already_counts_once(result: Any, registry: Registry, scan: Scan) -> None:
    image = image_of(registry, "v1", b"base")
    attach_signed(registry, image, "trivy", report(result))

    scan()

    assert found(registry, image) == {OWN}


@pytest.mark.parametrize("kind", ["cyclonedx", "in-toto"])
@pytest.mark.parametrize("when", ["before the scan", "after the scan"])
def test_a_forged_document_changes_nothing_but_a_remark(
    when: str, kind: str, registry: Registry, clock: FakeClock, scan: Scan
) -> None:
    image = image_of(registry, "v1", b"base")
    if when == "after the scan":
        scan()
    predicate = cyclonedx(OTHER) if kind == "cyclonedx" else report(in_toto("CVE-2026-9"))
    attach_signed(registry, image, kind, predicate, FORGER)
    clock.advance(minutes=2)

    scan()

    assert found(registry, image) == {OWN}
    noun = "SBOM" if kind == "cyclonedx" else "report"
    remark = f"1 {noun} does not count: no key of the configuration signed it"
    assert (read(registry, image).state, read(registry, image).remarks) == (DONE, (remark,))


@pytest.mark.parametrize("order", ["the copy last", "the copy first"])
@pytest.mark.parametrize("wrong", [{}, {"size": 1}, {"size": 2**40}], ids=["as VEX", "too small", "too large"])
def test_an_envelope_that_is_attached_once_more_in_another_way_is_not_hidden(
    wrong: Mapping[str, int], order: str, registry: Registry, clock: FakeClock, scan: Scan
) -> None:
    image = image_of(registry, "v1", b"base")
    padded = report(trivy("CVE-2026-9", LEFT_PAD, Title="x" * (signed_referrers.MAX_VEX + 1)))
    whole = envelope(padded, image.digest, predicate_type=COSIGN)
    ways: list[Callable[[], Manifest]] = [
        lambda: attach_by_tag(registry, image, whole, predicate_type=COSIGN),
        lambda: attach(registry, image, json.dumps(whole).encode(), ENVELOPE, described=wrong),
    ]
    for attach_it in ways if order == "the copy last" else reversed(ways):
        attach_it()
        clock.advance(minutes=1)

    scan()

    assert found(registry, image) == {OWN, ("CVE-2026-9", "left-pad", SIGNED_BY)}
    assert read(registry, image).state == DONE


def test_no_data_and_a_forged_document_are_still_no_data(
    registry: Registry, clock: FakeClock, layers: FakeLayers
) -> None:
    """What identifies the documents is among the versions of data, and must not look as if something was compared."""
    image = image_of(registry, "v1", b"base")
    attach_signed(registry, image, "cyclonedx", cyclonedx(OTHER), FORGER)

    run(registry, clock, layers, FakeData({}))

    document = read(registry, image)
    assert (document.state, document.counts, [*document.data]) == (PARTIAL, None, [SIGNED])


def test_a_report_counts_where_there_is_no_data(registry: Registry, clock: FakeClock, layers: FakeLayers) -> None:
    image = image_of(registry, "v1", b"base")
    attach_signed(registry, image, "trivy", report(trivy("CVE-2026-9", LEFT_PAD)))

    run(registry, clock, layers, FakeData({}))

    document = read(registry, image)
    assert document.state == PARTIAL
    assert document.counts is not None
    assert [*document.counts] == ["critical"]
    summary = registry.inspection.manifest(A, image.digest).scan
    assert summary is not None
    assert summary.counts is not None


@pytest.mark.parametrize("kind", ["cyclonedx", "trivy"])
def test_an_image_in_which_nothing_can_be_read_has_what_is_signed(
    kind: str, registry: Registry, clock: FakeClock, scan: Scan
) -> None:
    image = image_of(registry, "v1", b"scratch")
    scan()
    assert read(registry, image).state == UNSUPPORTED

    clock.advance(minutes=1)
    predicate = cyclonedx(OTHER) if kind == "cyclonedx" else report(trivy("GHSA-2", OTHER))
    attach_signed(registry, image, kind, predicate)
    scan()

    assert read(registry, image).state == PARTIAL
    assert found(registry, image) == {("GHSA-2", "@team/other", SIGNED_BY)}


def test_a_newer_report_of_the_same_scanner_replaces_the_older_one_whatever_was_attached_last(
    registry: Registry, clock: FakeClock, scan: Scan
) -> None:
    image = image_of(registry, "v1", b"base")
    newer = report(trivy("CVE-2026-8", LEFT_PAD), "pkg:github/trivy@2", "2026-02-01T00:00:00+01:00")
    attach_signed(registry, image, "trivy", newer)
    clock.advance(minutes=1)
    attach_signed(registry, image, "trivy", report(trivy("CVE-2026-9", LEFT_PAD), "pkg:github/trivy@1"))
    attach_signed(registry, image, "grype", report(grype("CVE-2026-7", LEFT_PAD), "grype"))

    scan()

    # What Grype names has an alias that is known.
    assert found(registry, image) == {OWN, ("CVE-2026-8", "left-pad", SIGNED_BY)}


def test_a_signed_document_that_cannot_be_read_makes_the_result_partial(registry: Registry, scan: Scan) -> None:
    image = image_of(registry, "v1", b"base")
    attach_signed(registry, image, "trivy", report({"a": "format of its own"}))
    attach_signed(registry, image, "spdx", {"Data": "SPDXVersion: SPDX-2.3"})

    scan()

    document = read(registry, image)
    assert document.state == PARTIAL
    assert sorted(each.rpartition(": ")[2] for each in document.notes) == [
        "Trivy, Grype, or of in-toto",
        "it is not an SBOM in JSON",
    ]


def test_packages_of_no_known_type_are_named(registry: Registry, scan: Scan) -> None:
    image = image_of(registry, "v1", b"base")
    sbom = cyclonedx("pkg:generic/curl@8", OTHER, "pkg:github/a/b@1")
    sbom["components"] += [{"type": "library", "name": "no purl"}, {"type": "file", "name": "/etc/passwd"}]
    attach_signed(registry, image, "cyclonedx", sbom)

    scan()

    (remark,) = read(registry, image).remarks
    assert remark.startswith("3 packages of the SBOM sha256:")
    assert remark.endswith(", signed by release, are not compared: of generic, github, no type")
    assert read(registry, image).state == DONE


def test_vex_suppresses_what_a_report_names(registry: Registry, scan: Scan) -> None:
    image = image_of(registry, "v1", b"base")
    attach_signed(registry, image, "trivy", report(trivy("CVE-2026-9", LEFT_PAD)))
    attach(registry, image, bundle(envelope(document("CVE-2026-9", LEFT_PAD), image.digest)))

    scan()

    assert counts(registry, image) == {"unknown": [1, 0]}
    suppressed = {each.id: bool(each.suppressed) for each in read(registry, image).vulnerabilities}
    assert suppressed == {"CVE-2026-9": True, "GHSA-1": False}


def test_a_key_for_vex_signs_no_reports(registry: Registry, tmp_path: Path, scan: Scan) -> None:
    scans = load_keys(str(write_keys(tmp_path / "scans", scanner=FORGER)))
    registry.honour_documents(DocumentKeys(vex=load_keys(str(write_keys(tmp_path / "vex"))), scans=scans))
    image = image_of(registry, "v1", b"base")
    attach_signed(registry, image, "trivy", report(trivy("CVE-2026-9", LEFT_PAD)))
    attach(registry, image, bundle(envelope(document("GHSA-1", LEFT_PAD), image.digest, FORGER)))

    scan()

    assert found(registry, image) == {OWN}
    assert read(registry, image).remarks == (
        "1 VEX document does not count: its key is one for other documents",
        "1 report does not count: its key is one for other documents",
    )


def test_so_many_attestations_that_a_report_may_be_left_out_make_the_result_partial(
    registry: Registry, clock: FakeClock, scan: Scan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signed_referrers, "MAX_ATTESTATIONS", 2)
    image = image_of(registry, "v1", b"base")
    attach_signed(registry, image, "trivy", report(trivy("CVE-2026-9", LEFT_PAD)))
    for number in range(2):
        clock.advance(minutes=1)
        attach_signed(registry, image, "cyclonedx", cyclonedx(f"pkg:npm/{number}@1"), FORGER)

    scan()

    document = read(registry, image)
    assert (document.state, document.notes) == (
        PARTIAL,
        ("1 older attestation was not read, which may be reports",),
    )


@pytest.mark.parametrize("many", ["[]", "1", '"x"'], ids=["lists", "numbers", "texts"])
def test_what_is_not_verified_takes_little_memory(registry: Registry, clock: FakeClock, many: str) -> None:
    image = image_of(registry, "v1", b"base")
    signed = bundle(envelope(document("CVE-2026-1", LEFT_PAD), image.digest))
    attach(registry, image, signed[:-1] + b',"other":[' + ",".join([many] * 5_000).encode() + b"]}")

    claim = only_claim(registry)

    assert claim.signed == ()
    assert claim.remarks == ("1 VEX document does not count: it is not a signed statement",)


def test_the_scanners_own_documents_are_none_of_another_scanner(
    registry: Registry, clock: FakeClock, scan: Scan
) -> None:
    image = image_of(registry, "v1", b"base")
    scan()
    assert len(referrers(registry, image)) == 2
    clock.advance(days=1)

    assert scan() == {"unchanged": 1}
    assert read(registry, image).remarks == ()

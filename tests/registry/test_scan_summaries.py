"""What listings show of scans: never more than is known, and for no more than one read of a page."""

import dataclasses
import json
from datetime import UTC, datetime, timedelta
from unittest import mock

import pytest

from lading.commands.scan_text import scan_cell, scan_line
from lading.registry.details import FindingCount, ScanSummary
from lading.registry.registry import Registry
from lading.registry.scan_summaries import merged
from lading_storage.protocols import Create, Replace
from lading_storage.records.core import Key
from lading_storage.records.scans import Facts
from tests.support import images
from tests.support.indexes import push_index
from tests.support.registry_pushes import push_blob, push_image, push_manifest

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)


def scanned(
    registry: Registry,
    digest: str,
    state: str = "done",
    *,
    at: datetime | None = NOW,
    data: tuple[str, ...] = ("Debian=1",),
    missing: tuple[str, ...] = (),
    **counts: int,
) -> None:
    """Store the facts about an image of team/app; half of each count, rounded down, can be fixed."""
    key = Key(Facts, digest, "team/app")
    before = registry.metadata.read([key])[key]
    facts = Facts(
        id=digest,
        repository="team/app",
        state=state,
        next=NOW,
        created=NOW,
        at=at,
        reason="" if counts or state != "failed" else "three tries",
        counts=json.dumps({name: [each // 2, each - each // 2] for name, each in counts.items()}),
        content=b"[]",
        data=data,
        missing=missing,
        size=2,
    )
    write = Replace(dataclasses.replace(facts, version=before.version)) if before else Create(facts)
    registry.metadata.commit([write])


def of_tag(registry: Registry, tag: str) -> ScanSummary | None:
    page = registry.inspection.tags("team/app", "", 100)
    return {each.tag: each.scan for each in page.items}[tag]


def test_an_image_has_its_state_and_its_counts_the_worst_first(registry: Registry) -> None:
    digest = push_image(registry, "team/app", "v1").digest
    push_image(registry, "team/app", "v2")
    scanned(registry, digest, low=1, critical=3, unknown=2)

    scan = of_tag(registry, "v1")

    assert scan is not None
    assert (scan.state, scan.at) == ("done", NOW)
    assert list((scan.counts or {}).items()) == [
        ("critical", FindingCount(1, 2)),
        ("unknown", FindingCount(1, 1)),
        ("low", FindingCount(0, 1)),
    ]
    assert of_tag(registry, "v2") is None
    assert registry.inspection.manifest("team/app", "v1").scan == scan


@pytest.mark.parametrize("state", ["waiting", "failed", "unsupported"])
def test_a_state_without_a_result_has_no_counts(state: str, registry: Registry) -> None:
    scanned(registry, push_image(registry, "team/app", "v1").digest, state, critical=1)

    scan = of_tag(registry, "v1")

    assert scan is not None
    assert (scan.state, scan.counts, scan_cell(scan)) == (state, None, state)


def test_an_index_has_the_image_with_the_worst_findings(registry: Registry) -> None:
    _, children, _ = push_index(registry, "team/app", "v1")
    amd64, arm64 = (images.descriptor(each)["digest"] for each in children)
    assert of_tag(registry, "v1") is None

    scanned(registry, amd64, high=9, at=NOW)
    assert scan_cell(of_tag(registry, "v1")) == "partial: 9 high", "the other image is not scanned"

    scanned(registry, arm64, "waiting", at=None)
    assert scan_cell(of_tag(registry, "v1")) == "partial: 9 high", "what waits may have worse findings"

    scanned(registry, arm64, critical=1, high=2, at=NOW - timedelta(days=1))
    assert of_tag(registry, "v1") == ScanSummary(
        "done", NOW - timedelta(days=1), "", {"critical": FindingCount(0, 1), "high": FindingCount(1, 1)}
    )
    details = registry.inspection.manifest("team/app", "v1")
    assert [scan_cell(each.scan) for each in details.platforms] == ["9 high", "1 critical, 2 high"]


def test_an_attestation_beside_images_makes_nothing_partial(registry: Registry) -> None:
    statement = b'{"_type": "https://in-toto.io/Statement/v0.1"}'
    image = images.manifest([statement])
    attestation = images.signature(statement, "application/vnd.in-toto+json")
    for content in (images.EMPTY_CONFIG, statement):
        push_blob(registry, "team/app", content)
    for content in (image, attestation):
        push_manifest(registry, "team/app", content)
    push_manifest(registry, "team/app", images.index([image, attestation]), "v1")
    scanned(registry, images.descriptor(image)["digest"])

    assert scan_cell(of_tag(registry, "v1")) == "none found"


def test_a_page_reads_all_scans_at_once_and_none_of_their_findings(registry: Registry) -> None:
    def reads() -> int:
        with mock.patch.object(registry.metadata, "read", wraps=registry.metadata.read) as read:
            registry.inspection.tags("team/app", "", 100)
        facts = [call for call in read.call_args_list if any(key.kind is Facts for key in call.args[0])]
        assert [call.kwargs for call in facts] == [{"content": False}]
        return read.call_count

    scanned(registry, push_image(registry, "team/app", "v0").digest)
    alone = reads()
    for number in range(1, 20):
        scanned(registry, push_image(registry, "team/app", f"v{number}").digest, high=number)

    assert reads() == alone


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        ([None], None),
        ([None, None], None),
        (["failed", None], "failed"),
        (["failed", "waiting"], "waiting"),
        (["unsupported", "done"], "partial"),
        (["done", "partial"], "partial"),
        (["done", "done"], "done"),
    ],
)
def test_nothing_unknown_looks_known(states: list[str | None], expected: str | None) -> None:
    scan = merged([ScanSummary(each, NOW, "", {}) if each else None for each in states])

    assert (scan and scan.state) == expected


def test_texts_of_scans() -> None:
    counts = {"critical": FindingCount(1, 1), "high": FindingCount(0, 5), "low": FindingCount(3, 0)}

    assert scan_cell(ScanSummary("done", NOW, "", counts)) == "2 critical, 5 high"
    assert scan_cell(ScanSummary("done", NOW, "", {})) == "none found"
    assert scan_cell(ScanSummary("partial", NOW, "", {})) == "partial: none found in what was compared"
    assert scan_cell(None) is None
    assert scan_line(ScanSummary("done", NOW, "", counts)) == "2 critical, 5 high, 3 low"
    assert scan_line(ScanSummary("failed", NOW, "three tries")) == "failed: three tries"
    missing = ScanSummary("partial", NOW, "", {"high": FindingCount(0, 1)}, ("PyPI",))
    assert scan_line(missing) == "partial: 1 high; no data of PyPI"
    assert scan_line(ScanSummary("partial", NOW, "")) == "partial: nothing was compared"


@pytest.mark.parametrize("data", [(), ("exploits=1",)])
def test_without_data_there_is_no_count_and_not_none_found(data: tuple[str, ...], registry: Registry) -> None:
    _, children, _ = push_index(registry, "team/app", "v1")
    amd64, arm64 = (images.descriptor(each)["digest"] for each in children)
    scanned(registry, amd64, "partial", data=data, missing=("Debian:12",))

    alone = registry.inspection.manifest("team/app", amd64).scan
    assert (alone and alone.counts, scan_cell(alone), scan_line(alone)) == (
        None,
        "partial: no data",
        "partial: no data of Debian:12",
    )
    assert scan_cell(of_tag(registry, "v1")) == "partial: no data", "nor has the index a count"
    scanned(registry, arm64)
    assert scan_cell(of_tag(registry, "v1")) == "partial: none found in what was compared"

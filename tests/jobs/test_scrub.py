"""Scrubbing: what is damaged is found, what is whole is left alone, and what is safe to repair is repaired."""

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from lading.jobs.gc.collect import Collector
from lading.jobs.gc.sweep import GracePeriods
from lading.jobs.job_report import JobReport
from lading.jobs.phases import Phase
from lading.jobs.scrub import Scrubber
from lading.registry.registry import Registry
from lading_storage.errors import Unavailable
from lading_storage.protocols import Create, Delete, Replace
from lading_storage.records.core import Key, Link, Manifest, Record, Tag
from lading_storage.stores import Stores
from tests.support import images
from tests.support.object_damage import InterleavingStores
from tests.support.registry_pushes import push_blob, push_image, push_manifest
from tests.support.server_process import run_lading
from tests.support.store_hooks import Fault, hooked_registry

ZERO = timedelta(0)


@pytest.fixture
def manifest(registry: Registry) -> Manifest:
    return push_image(registry, "team/app", "v1", layers=2)


def scrub(registry: Registry, *, repair: bool = False) -> JobReport:
    report = Scrubber(registry, repair).run()
    assert report is not None
    assert report.finished
    return report


def get(stores: Stores, key: Key[Record]) -> Record:
    record = stores.metadata.read([key])[key]
    assert record is not None
    return record


def rewrite(stores: Stores, name: str, content: bytes) -> None:
    stores.blobs.delete(name)
    stores.blobs.append(name, [content] if content else [], len(content))


def test_what_is_whole_is_good(registry: Registry, stores: Stores, manifest: Manifest) -> None:
    push_manifest(registry, "team/app", images.index([manifest.content or b""]), "multi")
    push_image(registry, "other", "v1")
    registry.uploads.start("team/app")

    report = scrub(registry, repair=True)

    assert report.findings == []
    good = {name: report.counts[f"{name} good"] for name in ("blobs", "manifests", "tags", "links")}
    assert good == {"blobs": 4, "manifests": 3, "tags": 3, "links": 5}
    assert report.counts["bytes read"] == 302


@pytest.mark.parametrize("content", [b"", b"short", b"x" * 100, b"longer" * 100], ids=len)
def test_a_damaged_object_is_found(registry: Registry, stores: Stores, manifest: Manifest, content: bytes) -> None:
    link = registry.blobs.get("team/app", manifest.blobs[-1])
    rewrite(stores, link.object, content)

    report = scrub(registry, repair=True)

    assert report.findings == [f"{link.id}: the object {link.object} does not match the digest"]


def test_what_is_missing_is_found(registry: Registry, stores: Stores, manifest: Manifest) -> None:
    link = registry.blobs.get("team/app", manifest.blobs[-1])
    stores.blobs.delete(link.object)
    other = registry.blobs.get("team/app", manifest.blobs[-2])
    stores.metadata.commit([Delete(other)])
    tagged = Key(Tag, "v1", "team/app")
    tag = stores.metadata.read([tagged])[tagged]
    assert tag is not None
    stores.metadata.commit([Create(replace(tag, id="lost", digest="sha256:" + "0" * 64))])

    findings = sorted(scrub(registry, repair=True).findings)

    assert findings == sorted(
        [
            f"{link.id}: there is no object {link.object}",
            f"team/app@{manifest.id}: missing {other.id}",
            f"team/app:lost: there is no manifest sha256:{'0' * 64}",
        ]
    )


def test_a_manifest_with_other_bytes_is_found(registry: Registry, stores: Stores, manifest: Manifest) -> None:
    stored = get(stores, manifest.key)
    stores.metadata.commit([Replace(replace(stored, content=b"{}"))])  # type: ignore[call-arg]

    assert scrub(registry).findings == [f"team/app@{manifest.id}: the content of its record does not match"]


def test_a_link_that_leads_elsewhere_follows_its_blob(registry: Registry, stores: Stores, manifest: Manifest) -> None:
    link = registry.blobs.get("team/app", manifest.blobs[-1])
    stores.metadata.commit([Replace(replace(link, object="0" * 32 + "/0"))])
    assert len(scrub(registry).findings) == 1

    assert scrub(registry, repair=True).counts["links repaired"] == 1

    assert get(stores, Key(Link, link.id, "team/app")) == link
    assert scrub(registry).findings == []


def test_an_unreferenced_object_is_handed_to_collection(registry: Registry, stores: Stores, manifest: Manifest) -> None:
    stores.blobs.append("ab" * 16 + "/0-dead", [b"left"])
    # Beside a blob's own object, as where its session went before what it had left.
    collector = Collector(registry, GracePeriods(ZERO, ZERO, ZERO, ZERO))
    collector.run()
    link = registry.blobs.get("team/app", manifest.blobs[-1])
    beside = f"{link.object.partition('/')[0]}/9-dead"
    stores.blobs.append(beside, [b"left"])
    assert sorted(scrub(registry).findings) == sorted(
        f"{name}: no record names this object" for name in ("ab" * 16 + "/0-dead", beside)
    )

    assert scrub(registry, repair=True).counts["objects handed to collection"] == 2
    collector.run()

    assert len(stores.blobs.names("", limit=9)) == len(manifest.blobs)
    assert scrub(registry).findings == []


def test_objects_are_left_alone_where_the_metadata_knows_none(registry: Registry, stores: Stores) -> None:
    """As where the file of the metadata was lost, and a server made an empty one."""
    stores.blobs.append("ab" * 16 + "/0-dead", [b"all that is left"])

    report = scrub(registry, repair=True)
    Collector(registry, GracePeriods(ZERO, ZERO, ZERO, ZERO)).run()

    assert report.counts["objects handed to collection"] == 0
    assert ["--metadata" in finding for finding in report.findings] == [True]
    assert stores.blobs.names("", limit=9) == ["ab" * 16 + "/0-dead"]


def test_a_scrub_goes_on_where_the_last_slice_stopped(registry: Registry, stores: Stores) -> None:
    for name in ("a", "b/c", "d"):
        push_image(registry, name, "v1", "v2")
    scrubber, slices = Scrubber(registry, repair=False), 0
    report = None
    while report is None or not report.finished:
        report = scrubber.run(ZERO)
        slices += 1
        assert slices < 100
        assert report is not None
        assert report.findings == []

    assert slices > 10
    assert (report.counts["manifests good"], report.counts["tags good"], report.counts["links good"]) == (3, 6, 6)


def test_the_command_says_what_is_wrong(
    registry: Registry, stores: Stores, environment: Mapping[str, str], tmp_path: Path
) -> None:
    link = push_blob(registry, "a", images.blob())
    good = run_lading(["scrub", "--json"], tmp_path, environment)
    assert (good.returncode, json.loads(good.stdout)["counts"]["blobs good"]) == (0, 1)
    stores.blobs.delete(link.object)

    bad = run_lading(["scrub", "--repair"], tmp_path, environment)

    assert bad.returncode == 1
    assert f"wrong: {link.id}: there is no object" in bad.stderr


def test_a_stray_is_reported_and_ends_nothing(
    registry: Registry, stores: Stores, manifest: Manifest, environment: Mapping[str, str]
) -> None:
    if "LADING_DATA" in environment:
        stray = Path(environment["LADING_DATA"]) / "blobs" / "ab" / ".nfs0001"
        stray.parent.mkdir(exist_ok=True)
        stray.write_bytes(b"")
    else:
        stores.blobs.append("ab/.nfs0001", [b"x"])

    report = scrub(registry, repair=True)

    assert report.findings == ["ab/.nfs0001: not an object, and not written by Lading; remove it if unused"]
    assert report.counts["objects of sessions"] == len(manifest.blobs)
    Collector(registry, GracePeriods(ZERO, ZERO, ZERO, ZERO)).run()
    assert stores.blobs.strays(limit=9) == ["ab/.nfs0001"]


def test_a_blob_that_cannot_be_read_hides_no_other_one_and_is_not_marked(
    registry: Registry, stores: Stores, manifest: Manifest
) -> None:
    """A disk's bad sector, or a network: whether the bytes are good is unknown."""
    bad, lost = (registry.blobs.get("team/app", digest) for digest in manifest.blobs[:2])
    stores.blobs.delete(lost.object)
    fault = Fault("open", Unavailable("Input/output error"), lambda arguments: arguments["name"] == bad.object)

    report = scrub(hooked_registry(stores, fault))

    assert sorted(report.findings) == sorted(
        [f"{lost.id}: there is no object {lost.object}", f"blobs: blobs/{bad.id}: Input/output error"]
    )
    assert registry.blobs.get("team/app", bad.id) == bad


def test_what_a_scrub_asks_does_not_grow_with_each_record(registry: Registry, stores: Stores) -> None:
    """Links, manifests and tags: a page of them is one listing and two reads, in however many repositories."""
    for number in range(12):
        push_image(registry, f"r{number:02}", *(f"v{tag}" for tag in range(8)))
    steps = InterleavingStores(stores)
    scrubber = Scrubber(steps.registry, repair=False)
    phases: list[Phase] = []
    scrubber._job.run = lambda each, limit, progress: phases.extend(each)  # type: ignore[assignment, method-assign]
    scrubber.run()
    asked = {}
    for phase in phases[1:4]:
        before, after, count = steps.count, None, 0
        while page := phase.page(after):
            for queued in page:
                assert phase.handle(queued.record) == f"{phase.name} good"
                after, count = queued.cursor, count + 1
        asked[phase.name] = (count, steps.count - before)

    # Each repository is listed once for each kind, repositories a hundred at a time, and then what a page needs.
    assert [count for count, _ in asked.values()] == [24, 12, 96]
    assert all(calls <= 12 + 8 for _, calls in asked.values()), asked

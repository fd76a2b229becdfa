"""What a job does with records whose step fails, and with a lease that no honest job can hold."""

import json
from dataclasses import replace
from datetime import timedelta

import pytest

from lading.cli import main
from lading.jobs.gc.collect import Collector
from lading.jobs.gc.sweep import GracePeriods, Sweeper
from lading.jobs.runner import LEASE_DURATION, MAX_CONSECUTIVE_FAILURES
from lading.jobs.scrub import Scrubber
from lading.registry.registry import Registry
from lading_storage.errors import Corrupt, Unavailable
from lading_storage.protocols import Replace, key_of
from lading_storage.records.core import Blob, Key, Link
from lading_storage.records.jobs import Job
from lading_storage.stores import Stores
from tests.support import images
from tests.support.fake_clock import FakeClock
from tests.support.registry_pushes import push_blob, push_image
from tests.support.store_hooks import Fault, Killed, hooked_registry, kill_after_commit

ZERO = timedelta(0)
NO_GRACE = GracePeriods(ZERO, ZERO, ZERO, ZERO)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def failing_commits(*repositories: str) -> Fault:
    """Commits fail that write to some repositories."""
    return Fault("commit", when=lambda each: any(key_of(write).repository in repositories for write in each["writes"]))


def test_a_record_that_fails_stops_no_other(registry: Registry, stores: Stores, clock: FakeClock) -> None:
    for name in ("a", "b", "c"):
        push_blob(registry, name, images.blob())
    fault = failing_commits("a")
    collector = Collector(hooked_registry(stores, fault, clock=clock), NO_GRACE, clock=clock)
    report = collector.run()

    assert report is not None
    assert report.finished
    assert (report.failed, report.counts["blobs removed"]) == (1, 2)
    assert len(report.findings) == 1
    assert "links/a@sha256:" in report.findings[0]
    assert "by plan" in report.findings[0]
    assert report.as_json()["failed"] == 1

    fault.active = False
    report = collector.run()
    assert report is not None
    assert (report.failed, report.findings, report.counts["blobs removed"]) == (0, [], 1)
    assert stores.blobs.names("", limit=9) == []


@pytest.mark.parametrize("error", [TypeError("a field is missing"), Corrupt("an index is damaged")])
def test_a_record_that_cannot_be_listed_stops_no_other_phase(
    registry: Registry, stores: Stores, clock: FakeClock, error: Exception
) -> None:
    """Once it stopped all that came behind it, at every run."""
    registry.uploads.start("a")
    fault = Fault("due", error, when=lambda arguments: arguments["kind"] is Link)
    report = Collector(hooked_registry(stores, fault, clock=clock), NO_GRACE, clock=clock).run()

    assert report is not None
    assert report.finished
    assert report.findings == [f"{phase}: {error}" for phase in ("links", "condemned")]
    assert report.failed == 2
    assert report.counts["sessions removed"] == 1


def test_an_outage_of_a_store_ends_the_batch_and_the_next_one_resumes(
    registry: Registry, stores: Stores, clock: FakeClock
) -> None:
    names = [f"r{number:02}" for number in range(MAX_CONSECUTIVE_FAILURES + 2)]
    for name in names:
        push_blob(registry, name, images.blob())
        clock.advance(seconds=1)
    fault = failing_commits(*names[:-2])
    collector = Collector(hooked_registry(stores, fault, clock=clock), NO_GRACE, clock=clock)
    with pytest.raises(Unavailable, match="10 records failed in a row: by plan"):
        collector.run()
    report = collector.run()

    assert report is not None
    assert report.finished
    assert (report.failed, report.counts["links removed"]) == (10, 2)
    fault.active = False
    report = collector.run()
    assert report is not None
    assert (report.failed, report.counts["links removed"]) == (0, 10)


def test_a_scrub_goes_on_after_a_record_that_fails(registry: Registry, stores: Stores, clock: FakeClock) -> None:
    bad = push_image(registry, "a", "v1").blobs[0]
    push_image(registry, "b", "v1")
    blob = stores.metadata.read([Key(Blob, bad)])[Key(Blob, bad)]
    assert blob is not None
    damaged = blob.object
    fault = Fault("open", when=lambda arguments: arguments["name"] == damaged)
    report = Scrubber(hooked_registry(stores, fault, clock=clock), repair=True, clock=clock).run()

    assert report is not None
    assert report.finished
    assert (report.failed, report.counts["blobs good"], report.counts["manifests good"]) == (1, 2, 2)
    assert report.findings == [f"blobs: blobs/{bad}: by plan"]


def test_gc_says_what_failed_and_ends_with_1(
    registry: Registry, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    poisoned = push_blob(registry, "a", images.blob()).id
    push_blob(registry, "a", images.blob())
    drop = Sweeper.sweep_blob

    def fail(reaper: Sweeper, blob: Blob) -> str:
        if blob.id == poisoned:
            raise ValueError("a defect of ours")
        return drop(reaper, blob)

    monkeypatch.setattr(Sweeper, "sweep_blob", fail)

    assert main(["gc", "--quiesced", "--json"]) == 1

    output = capsys.readouterr()
    assert f"failed: blobs: blobs/{poisoned}: a defect of ours\n" in output.err
    assert "1 record failed" in output.err
    report = json.loads(output.out)
    assert (report["finished"], report["failed"], report["counts"]["blobs removed"]) == (True, 1, 1)


def test_a_lease_from_the_future_has_no_owner(registry: Registry, stores: Stores, clock: FakeClock) -> None:
    push_blob(registry, "a", images.blob())
    clock.advance(days=365)
    with pytest.raises(Killed):
        Collector(hooked_registry(stores, kill_after_commit, clock=clock), NO_GRACE, clock=clock).run()
    clock.advance(days=-365)

    report = Collector(registry, NO_GRACE, clock=clock).run()

    assert report is not None
    assert report.counts["blobs removed"] == 1
    key = Key(Job, "collect")
    job = stores.metadata.read([key])[key]
    assert job is not None
    stores.metadata.commit([Replace(replace(job, holder="x", until=clock.time + LEASE_DURATION))])
    assert Collector(registry, NO_GRACE, clock=clock).run() is None, "an honest one is waited for"

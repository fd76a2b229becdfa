"""`lading serve` collects garbage by itself, beside requests; several servers on one folder take turns."""

import contextlib
import threading
from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from lading import settings
from lading.commands.serve import _background_jobs
from lading.composition import collector_of, create
from lading.configured_rules import PolicyChanges
from lading.jobs.background import BackgroundJob
from lading.jobs.job_report import JobReport
from lading.jobs.phases import Phase, scan_pages
from lading.jobs.runner import ResumableJob
from lading.jobs.throttle import Throttle
from lading.registry.change_context import now
from lading.registry.registry import Registry
from lading.settings import SettingsError
from lading_storage.digests import digest_of
from lading_storage.errors import StoreFull
from lading_storage.records.core import Repository
from tests.support import images
from tests.support.folder_stores import folder_stores
from tests.support.registry_pushes import push_image
from tests.support.server_process import PROCESS_TIMEOUT, Server, serving, wait_until

DELETE_ALL = '[{"name": "all", "action": {"type": "Delete"}, "condition": {"tagState": "any"}}]'
SHORT_INTERVAL = timedelta(milliseconds=10)


def push(server: Server) -> None:
    config = images.EMPTY_CONFIG
    server.request("POST", f"/v2/app/blobs/uploads/?digest={digest_of(config)}", config)
    assert server.request("PUT", "/v2/app/manifests/v1", images.manifest([]))[0].status == 201


def is_there(server: Server) -> bool:
    return server.request("GET", "/v2/app/manifests/v1")[0].status == 200


def test_two_servers_collect_and_clean_up_and_serve_on(tmp_path: Path) -> None:
    policies = tmp_path / "policies.json"
    policies.write_text(DELETE_ALL)
    environment = {
        "LADING_DATA": str(tmp_path / "data"),
        "LADING_COLLECT_EVERY": "1s",
        "LADING_GRACE": "1s",
        "LADING_CLEANUP": str(policies),
        "LADING_CLEANUP_MODE": "apply",
    }
    with (
        serving(environment, tmp_path / "one") as one,
        serving(environment, tmp_path / "two") as two,
    ):
        session = one.request("POST", "/v2/app/blobs/uploads/")[0].headers["Location"]
        push(one)

        wait_until(lambda: not is_there(two) and not is_there(one), one)
        wait_until(lambda: one.request("GET", session)[0].status == 404, one)

        for server in (one, two):
            wait_until(lambda server=server: "collection finished" in server.log.read_text(), server)  # type: ignore[misc]
        policies.write_text("[")
        wait_until(lambda: "the job collect failed; the next attempt is in 1 s: --cleanup" in one.log.read_text(), one)
        push(two)
        assert is_there(one)
        policies.write_text(DELETE_ALL)
        wait_until(lambda: not is_there(one), one)
        assert one.stop() == two.stop() == 0
    assert "Traceback" not in one.log.read_text() + two.log.read_text()


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Registry]:
    stores = folder_stores(tmp_path / "data")
    yield Registry(stores.blobs, stores.metadata)
    stores.close()


class ScriptedCollector:
    """A collector that does what is next in a script, and tells how it was asked."""

    def __init__(self, *script: JobReport | Exception | None) -> None:
        self.script = list(script)
        self.done = threading.Event()
        self.reserved = 0
        self.throttle = Any

    def run(self, limit: timedelta) -> JobReport | None:
        step = self.script.pop(0) if self.script else None
        if not self.script:
            self.done.set()
        if isinstance(step, Exception):
            raise step
        return step

    def stop(self) -> None:
        pass

    @contextlib.contextmanager
    def reserve(self) -> Iterator[None]:
        self.reserved += 1
        yield


def collected(scripted: ScriptedCollector) -> list[bool]:
    """Run a script; return which of the reports that were told were of a finished collection."""
    told: list[JobReport] = []
    background = BackgroundJob("test", SHORT_INTERVAL, lambda: scripted, scripted.reserve, told.append)  # type: ignore[arg-type, return-value]
    with background:
        assert scripted.done.wait(PROCESS_TIMEOUT)
    return [report.finished for report in told]


def test_slices_follow_one_another_until_it_is_done() -> None:
    assert collected(ScriptedCollector(JobReport(), JobReport(), JobReport(finished=True))) == [False, False, True]


def test_a_full_disk_is_collected_with_the_reserve() -> None:
    scripted = ScriptedCollector(StoreFull("metadata", Path("/data")), JobReport(finished=True))
    assert collected(scripted) == [True]
    assert scripted.reserved == 1


def test_what_fails_is_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    assert collected(
        ScriptedCollector(OSError("down"), ValueError("a defect"), None, JobReport(finished=True), None)
    ) == [True]
    assert [record.message.rpartition(": ")[2] for record in caplog.records] == ["down", "a defect"]


def test_an_end_does_not_wait_for_a_long_collection(registry: Registry) -> None:
    for number in range(5):
        push_image(registry, f"app{number}", "v1")

    def looked(stops: bool) -> JobReport:
        slices = ResumableJob("test", registry.metadata, now)

        def handle(_: Any) -> str:
            if stops:
                slices.stop()
            return "looked at"

        phase = Phase("all", scan_pages(registry.metadata, Repository), handle)
        report = slices.run([phase], timedelta(minutes=1), lambda _: None)
        assert report is not None
        return report

    first = looked(stops=True)
    assert (first.finished, first.counts["looked at"]) == (False, 1)
    rest = looked(stops=False)
    assert (rest.finished, rest.counts["looked at"]) == (True, 5)


def test_only_a_registry_on_this_machine_collects_by_itself(registry: Registry) -> None:
    def collects(**variables: str) -> bool:
        read = settings.load_settings(variables)
        return "collect" in [each._name for each in _background_jobs(read, registry, PolicyChanges(read))]

    assert collects()
    assert collects(LADING_COLLECT_EVERY="30m")
    assert not collects(LADING_COLLECT_EVERY="off")
    assert not collects(LADING_BLOBS="gs://bucket", LADING_METADATA="firestore://project/database")
    google = settings.load_settings({"LADING_BLOBS": "gs://bucket", "LADING_METADATA": "firestore://project/database"})
    assert _background_jobs(google, registry, PolicyChanges(google)) == []
    for wrong in ("0s", "never", "1w", "-1h"):
        with pytest.raises(SettingsError):
            settings.load_settings({"LADING_COLLECT_EVERY": wrong})


def test_the_reports_of_all_are_of_one_registry(tmp_path: Path) -> None:
    """Collection works on the stores that are served: a second writer in this process would wait for the first."""
    read = settings.load_settings({"LADING_DATA": str(tmp_path / "data"), "LADING_ACCESS": "everybody"})
    app = create(read)
    push_image(app.registry, "app", "v1")
    with contextlib.closing(app.registry):
        collector = collector_of(read, app.registry)
        assert collector._metadata is app.registry.metadata


class StuckJob:
    """A job whose step ends once another one was asked to end as well."""

    def __init__(self, stopped: threading.Barrier) -> None:
        self.throttle = Throttle()
        self.begun = threading.Event()
        self._stopped = stopped
        self._stopping = threading.Event()

    def run(self, limit: timedelta = SHORT_INTERVAL) -> JobReport | None:
        self.begun.set()
        self._stopping.wait(PROCESS_TIMEOUT)
        self._stopped.wait(PROCESS_TIMEOUT)
        return None

    def stop(self) -> None:
        self._stopping.set()


def identity(job: StuckJob) -> StuckJob:
    return job


def test_jobs_are_asked_to_end_before_any_of_them_is_waited_for() -> None:
    together = threading.Barrier(2)
    stuck = [StuckJob(together) for _ in range(2)]
    with contextlib.ExitStack() as running:
        jobs = [
            running.enter_context(
                BackgroundJob(f"job {n}", SHORT_INTERVAL, partial(identity, job), contextlib.nullcontext, print)
            )
            for n, job in enumerate(stuck)
        ]
        for job in stuck:
            assert job.begun.wait(PROCESS_TIMEOUT)
        for each in jobs:
            running.callback(each.request_stop)
    assert not together.broken
    assert not any(each._thread.is_alive() for each in jobs)


def test_the_delay_doubles_with_each_failure_in_a_row(caplog: pytest.LogCaptureFixture) -> None:
    job: Any = ScriptedCollector(*[RuntimeError("no store")] * 4)
    with (
        caplog.at_level("ERROR", "lading"),
        BackgroundJob("quick", SHORT_INTERVAL, lambda: job, job.reserve, lambda report: None),
    ):
        assert job.done.wait(PROCESS_TIMEOUT)
    delays = [each.args[1] for each in caplog.records if isinstance(each.args, tuple)]
    assert delays[:3] == [0.01, 0.02, 0.04]

"""What a scrape of a running server says, and where it is served."""

import subprocess
import sys
import threading
from pathlib import Path

import pytest

import lading
from emulators.processes import free_port
from lading.metrics.metric_rows import METRICS, Kind
from lading.version import source_version
from tests.metrics.metered_server import MeteredServer, parse, serving_metrics, total
from tests.support import images
from tests.support.requirements import find_program
from tests.support.server_process import SOURCE_ROOTS, Server, run_lading, serving, user_environment

RUN_WITHOUT_CLIENT = """
import sys
sys.modules["prometheus_client"] = None
from lading import cli
sys.exit(cli.main(["serve"]))
"""


def test_a_push_and_a_pull_are_counted(tmp_path: Path) -> None:
    layer = images.blob(300_000)
    with serving_metrics(tmp_path) as metered:
        metered.push("team/app", layer)
        metered.pull("team/app", layer)
        metered.wait_for(1, "registry_http_requests_total", handler="end-2")
        found = metered.scrape()

    requests = "registry_http_requests_total"
    assert total(found, requests, handler="end-4a end-4b end-11", method="POST", code="201") == 2
    assert total(found, requests, handler="end-7", method="PUT", code="201") == 1
    assert total(found, requests, handler="end-3", method="GET", code="200") == 1
    assert total(found, requests, handler="end-2", method="GET", code="200") == 1
    assert total(found, "registry_http_request_duration_seconds_count", handler="end-2") == 1
    assert total(found, "registry_http_in_flight_requests") == 0
    assert total(found, "registry_http_response_size_bytes_sum", handler="end-2") == 300_000
    assert total(found, "registry_http_request_size_bytes_sum", handler="end-4a end-4b end-11") == 300_002
    # The third is the mark of the stores' owner.
    assert total(found, "registry_storage_action_seconds_count", driver="filesystem", action="append") == 3
    assert total(found, "registry_storage_action_seconds_count", driver="sqlite", action="commit") > 2
    assert total(found, "lading_auth_decisions_total", action="push", outcome="allowed") == 3
    assert total(found, "lading_auth_decisions_total", action="pull", outcome="allowed") == 2
    assert total(found, "lading_disk_size_bytes", store="blobs") > total(found, "lading_disk_free_bytes", store="blobs")
    assert total(found, "lading_slow_client_threads_limit") == 96
    assert total(found, "process_resident_memory_bytes") > 1_000_000


def test_the_version_is_that_of_the_release_and_of_the_sources(metered: MeteredServer) -> None:
    build = {"version": lading.__version__, "sources": source_version()}
    assert total(metered.scrape(), "lading_build_info", **build) == 1


def test_a_chunked_body_is_counted(metered: MeteredServer) -> None:
    response, _ = metered.server.request("POST", "/v2/chunked/app/blobs/uploads/")
    location = response.headers["Location"]
    response, _ = metered.server.request("PATCH", location, iter([b"x" * 1000] * 5))
    assert response.status == 202

    metered.wait_for(5000, "registry_http_request_size_bytes_sum", handler="end-5")


def test_refusals_are_counted_as_the_audit_log_names_them(tmp_path: Path) -> None:
    variables, authorization = user_environment(tmp_path / "users")
    with serving_metrics(tmp_path, variables) as metered:
        metered.server.request("GET", "/v2/team/app/manifests/v1")
        metered.server.request("GET", "/v2/team/app/manifests/v1", headers={"Authorization": "Bearer wrong"})
        metered.server.request("GET", "/v2/team/app/manifests/v1", headers={"Authorization": authorization})
        metered.wait_for(3, "registry_http_requests_total", handler="end-3")
        found = metered.scrape()

    decisions = "lading_auth_decisions_total"
    outcomes = [total(found, decisions, action="pull", outcome=each) for each in ("challenged", "refused", "failed")]
    assert outcomes == [1, 1, 1]


def test_jobs_and_events_are_counted(used: MeteredServer) -> None:
    found = used.scrape()

    assert total(found, "lading_events_published_total") >= 1
    assert total(found, "lading_job_last_finished_timestamp_seconds", name="collect") > 1_700_000_000
    assert total(found, "lading_job_interval_seconds", name="publish") == 1
    assert total(found, "lading_job_runs_total", outcome="failed") == 0
    assert total(found, "lading_events_waiting") == total(found, "lading_events_oldest_seconds") == 0


def test_every_metric_is_exposed_with_its_type_and_labels(used: MeteredServer) -> None:
    text = used.exposition()
    for row in METRICS:
        name = row.name
        assert f"# TYPE {name} {row.kind.value}\n" in text
        assert f"# HELP {name} {row.help}\n" in text
    suffixes = {Kind.HISTOGRAM: ("_bucket", "_sum", "_count"), Kind.SUMMARY: ("_sum", "_count")}
    labels = {f"{row.name}{end}": set(row.labels) for row in METRICS for end in suffixes.get(row.kind, ("",))}
    for each in parse(text):
        if not each.name.startswith("process_"):
            assert {name for name, _ in each.labels} - {"le"} == labels[each.name], each


def test_promtool_accepts_the_exposition(used: MeteredServer) -> None:
    promtool = find_program("promtool", "apt install prometheus")
    done = subprocess.run(
        [promtool, "check", "metrics"], input=used.exposition(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_public_port_has_no_metrics(metered: MeteredServer) -> None:
    response, content = metered.server.request("GET", "/metrics")
    assert response.status == 404
    assert b"lading_" not in content


def test_the_metrics_port_has_nothing_else(metered: MeteredServer) -> None:
    response, _ = metered.get("/v2/")
    assert response.status == 404
    response, content = metered.get("/metrics?x=y", "HEAD")
    assert (response.status, content) == (200, b"")
    response, _ = metered.get("/metrics", "POST")
    assert response.status == 501


def test_a_scrape_under_load_is_complete(metered: MeteredServer) -> None:
    layer = images.blob(1000)
    metered.push("load/app", layer)
    stop = threading.Event()

    def pull() -> None:
        while not stop.is_set():
            metered.pull("load/app", layer)

    threads = [threading.Thread(target=pull) for _ in range(8)]
    for thread in threads:
        thread.start()
    try:
        counts = []
        for _ in range(5):
            stop.wait(1.1)
            counts.append(total(metered.scrape(), "lading_pulls_total", namespace="load"))
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert counts == sorted(counts)
    assert counts[-1] > counts[0]


def test_without_the_option_nothing_of_it_is_imported(tmp_path: Path) -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys; from lading import settings; from lading.composition import create; "
            "from lading.commands import serve; create(settings.load_settings()); print(*sys.modules)",
        ],
        env={"PYTHONPATH": SOURCE_ROOTS, "LADING_DATA": str(tmp_path), "LADING_ACCESS": "everybody"},
        capture_output=True,
        text=True,
        check=True,
    )
    modules = done.stdout.split()
    assert "lading.app" in modules
    assert [each for each in modules if each.startswith(("prometheus_client", "lading.metrics"))] == []


def test_a_missing_package_is_named(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", RUN_WITHOUT_CLIENT],
        env={
            "PYTHONPATH": SOURCE_ROOTS,
            "LADING_DATA": str(tmp_path / "data"),
            "LADING_ACCESS": "everybody",
            "LADING_ADDRESS": f"127.0.0.1:{free_port()}",
            "LADING_METRICS": f"127.0.0.1:{free_port()}",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert "pip install 'lading-registry[metrics]'" in done.stderr


def test_the_port_is_never_the_public_one(tmp_path: Path) -> None:
    port = free_port()
    options = ["--address", f"127.0.0.1:{port}", "--metrics", f"127.0.0.2:{port}"]
    done = run_lading(["serve", *options], tmp_path, {"LADING_ACCESS": "everybody"})
    assert done.returncode != 0
    assert "--metrics needs a port of its own" in done.stderr


def test_a_port_in_use_is_named_with_its_option(metered: MeteredServer, tmp_path: Path) -> None:
    done = run_lading(["serve", "--metrics", f"127.0.0.1:{metered.port}"], tmp_path, {"LADING_ACCESS": "everybody"})
    assert done.returncode != 0
    assert f"127.0.0.1:{metered.port} is in use; stop what listens there, or choose another port with --metrics" in (
        done.stderr
    )
    assert not (tmp_path / "lading-data" / "metadata.sqlite").exists()


def test_lading_toml_sets_it(tmp_path: Path) -> None:
    port = free_port()
    (tmp_path / "lading.toml").write_text(f'[telemetry]\nmetrics = "localhost:{port}"\n')
    variables = {"LADING_CONFIG": str(tmp_path / "lading.toml"), "LADING_DATA": str(tmp_path / "data")}
    with serving(variables, tmp_path / "log") as server:
        assert MeteredServer(server, port).get()[0].status == 200


@pytest.mark.parametrize(("host", "warns"), [("127.0.0.1", False), ("0.0.0.0", True)])
def test_metrics_that_others_can_read_are_warned_of(host: str, warns: bool, tmp_path: Path) -> None:
    with serving_metrics(tmp_path, {"LADING_METRICS": f"{host}:{free_port()}"}) as metered:
        server: Server = metered.server
        assert ("may read the metrics" in server.log.read_text()) is warns

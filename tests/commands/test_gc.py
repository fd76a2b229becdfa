"""`lading gc`, and the function `collect` as Cloud Scheduler calls it."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from lading.registry.owner_mark import is_mark
from lading.registry.registry import Registry
from lading_storage.stores import Stores
from tests.support import images
from tests.support.function_commands import caller_headers, framework
from tests.support.registry_pushes import push_blob, push_image
from tests.support.server_process import Server, run_lading, serving

ACCOUNT = "scheduler@some-project.iam.gserviceaccount.com"


def test_gc_removes_unreferenced_objects_and_nothing_else(
    registry: Registry, stores: Stores, environment: Mapping[str, str], tmp_path: Path
) -> None:
    manifest = push_image(registry, "a", "v1", layers=2)
    push_blob(registry, "a", images.blob(5000))

    done = run_lading(["gc", "--json"], tmp_path, environment)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["freed_bytes"] == 0, "what is fresh stays"
    done = run_lading(["gc", "--quiesced", "--json"], tmp_path, environment)

    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert (report["finished"], report["freed_bytes"]) == (True, 5000)
    assert len([name for name in stores.blobs.names("", limit=10) if not is_mark(name)]) == len(manifest.blobs)


def token(**changes: Any) -> dict[str, str]:
    return caller_headers(ACCOUNT, **changes)


@pytest.fixture
def function(environment: Mapping[str, str], tmp_path: Path) -> Iterator[Server]:
    """The function, started as the buildpack starts it."""
    variables = {
        "K_SERVICE": "collect",
        "FUNCTION_TARGET": "collect",
        "LADING_COLLECTOR": ACCOUNT,
        "LADING_LOG": "json",
        "LADING_ACCESS": "",
        "LADING_URL": "https://registry.example",
    }
    with serving({**environment, **variables}, tmp_path / "log", command=framework("collect")) as server:
        yield server


def test_only_the_scheduler_may_start_a_collection(function: Server, registry: Registry) -> None:
    push_image(registry, "a", "v1")
    for headers in ({}, {"Authorization": "Basic YTpi"}, token(exp=1), token(iss="x"), token(email_verified=False)):
        assert function.request("POST", "/", headers=headers)[0].status == 401
    response, _ = function.request("POST", "/", bytes(5_000_000))
    assert (response.status, "Content-Length" in response.headers) == (401, True), "whoever sends much is told, too"
    assert function.request("POST", "/", headers=token(email="other@example.com"))[0].status == 403
    assert function.request("GET", "/", headers=token())[0].status == 405

    response, body = function.request("POST", "/", headers=token())

    assert (response.status, json.loads(body)["finished"]) == (200, True)
    lines = [json.loads(line) for line in function.log.read_text().splitlines() if line.startswith("{")]
    (line,) = [each for each in lines if "collection" in each]
    assert line["collection"]["finished"] is True
    assert line["severity"] == "INFO"

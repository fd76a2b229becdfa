"""The function as Cloud Functions run it: deliveries, errors, its log, and its start."""

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from flask import Request
from werkzeug.test import EnvironBuilder

from deployer.function import deploy
from deployer.google_api import MAX_CONNECTIONS
from deployer.rules import parse
from emulators.processes import EmulatorError
from lading.events.cloud_event import cloud_event
from tests.deploy.deployed_function import DeployedFunction, started
from tests.deploy.fake_cloud_run import SERVICE
from tests.deploy.fake_server import google_error
from tests.deploy.function_source import FUNCTION, concurrency, requirements
from tests.deploy.google_world import HOST, MIRROR, TARGETS, GoogleWorld, google_world, image, outbox_event, push_body


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GoogleWorld]:
    with google_world(tmp_path_factory.mktemp("google")) as served:
        yield served


@pytest.fixture(scope="module")
def function(world: GoogleWorld, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DeployedFunction]:
    with started(world, tmp_path_factory.mktemp("function")) as running:
        yield running


def test_deliveries(world: GoogleWorld, function: DeployedFunction) -> None:
    """Of all kinds, to the same function: each case begins with what the one before left."""
    assert function.deliver(1) == 204, function.server.log.read_text()
    assert function.deliver(2) == 204
    assert function.deliver(2) == 204
    assert function.deliver(1) == 204
    assert function.deliver(3, of=1) == 204
    assert function.deliver(4, tag="dev") == function.deliver(5, type="tag.deleted") == 204
    for kind in TARGETS:
        assert world.deployed(kind) == [image(1), image(2), image(1)]

    world.servers["run"].fail(google_error(403, "PERMISSION_DENIED", "no permission"))
    assert function.deliver(6) == 500
    assert world.deployed("gke")[-1] == image(6)
    assert world.deployed("cloud_run")[-1] == image(1)
    (failed,) = [line for line in function.log() if line["severity"] == "ERROR"]
    assert "team-a/app:prod is not deployed: GET" in failed["message"]
    assert failed["message"].endswith("returned 403: no permission")
    assert function.deliver(6) == 204
    assert world.deployed("cloud_run")[-1] == image(6)


def test_a_message_that_is_not_valid_is_acknowledged_and_logged(function: DeployedFunction) -> None:
    assert function.push(push_body(b"{")) == 204
    assert any(line["message"].startswith("message dropped: ") for line in function.log())


def test_an_event_of_another_registry_is_acknowledged_and_logged(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rules = parse(json.dumps({"hosts": {"other.example.com": MIRROR}, "rules": []}))
    monkeypatch.setattr("deployer.function._rules", lambda: rules)
    body = push_body(cloud_event(outbox_event(1), f"https://{HOST}"))
    assert deploy(Request(EnvironBuilder(method="POST", data=body).get_environ())) == ("", 204)
    line = json.loads(capsys.readouterr().out)
    assert line["severity"] == "WARNING"
    assert line["message"] == f"team-a/app:prod is not deployed: {HOST} is not in the rules' `hosts`"


def test_rules_that_are_not_valid_keep_a_revision_from_starting(world: GoogleWorld, tmp_path: Path) -> None:
    with (
        pytest.raises(EmulatorError, match='rule 1: "repository" must be a glob'),
        started(world, tmp_path, '{"rules": [{}]}'),
    ):
        pass


def test_an_instance_runs_as_many_deployments_at_once_as_cloud_run_sends_it(tmp_path: Path) -> None:
    """One more would wait in the instance, and the time of a waiting delivery counts."""
    numbers = range(1, concurrency() + 1)
    services = {number: f"{SERVICE}-{number}" for number in numbers}
    rules = [
        {"repository": "team-a/app", "tag": f"v{number}", "cloud_run": {"service": service}}
        for number, service in services.items()
    ]
    text = json.dumps({"hosts": {"*": MIRROR}, "rules": rules})
    with google_world(tmp_path) as world, started(world, tmp_path, text) as running:
        for service in services.values():
            world.run.create(service)
        world.servers["run"].barrier = threading.Barrier(len(numbers), timeout=60)
        with ThreadPoolExecutor(len(numbers)) as pool:
            statuses = list(pool.map(lambda number: running.deliver(number, tag=f"v{number}"), numbers))
        assert statuses == [204] * len(numbers), running.server.log.read_text()
        assert all(world.run.image(service) != "old" for service in services.values())
    assert concurrency() == MAX_CONNECTIONS


def test_its_requirements_are_current() -> None:
    assert (FUNCTION / "requirements.txt").read_text() == requirements()

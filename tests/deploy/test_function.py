"""The function as Cloud Functions run it: its archive, started by the framework with its own requirements alone."""

import contextlib
import json
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from emulators.metadata import Account, MetadataServer
from emulators.processes import EmulatorError, ProcessGroup, ServerProcess
from emulators.runtime import Runtime
from emulators.source import archive
from lading.events.cloud_event import cloud_event
from tests.deploy.fake_server import TOKEN, google_error
from tests.deploy.function_source import FUNCTION, files, requirements
from tests.deploy.google_world import HOST, MIRROR, TARGETS, GoogleWorld, google_world, image, outbox_event, push_body

RULES = json.dumps(
    {
        "hosts": {"*": MIRROR},
        "rules": [{"repository": "team-a/*", "tag": "prod", kind: TARGETS[kind]} for kind in TARGETS],
    }
)


@dataclass(frozen=True)
class Function:
    """The running function."""

    server: ServerProcess

    def push(self, body: bytes) -> int:
        """Post a request of Pub/Sub's; return the status."""
        url = f"http://127.0.0.1:{self.server.port}/"
        request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request) as response:
                return int(response.status)
        except urllib.error.HTTPError as error:
            return error.code

    def deliver(self, number: int, of: int | None = None, **fields: str) -> int:
        """Deliver an event of the registry."""
        return self.push(push_body(cloud_event(outbox_event(number, of, **fields), f"https://{HOST}")))

    def log(self) -> list[dict[str, str]]:
        """Return the lines of its log that Cloud Logging parses."""
        return [json.loads(line) for line in self.server.log.read_text().splitlines() if line.startswith("{")]


@contextlib.contextmanager
def started(world: GoogleWorld, folder: Path, rules: str = RULES) -> Iterator[Function]:
    with ProcessGroup() as processes:
        metadata = MetadataServer.start(
            processes, Account("deploy@p-1.iam.gserviceaccount.com", TOKEN), folder / "account"
        )
        runtime = Runtime.install(folder / "deploy", archive(files(rules)))
        variables = {
            **runtime.environment(),
            **metadata.environment(),
            **{f"CLOUDSDK_API_ENDPOINT_OVERRIDES_{name.upper()}": url for name, url in world.endpoints.items()},
            "FUNCTION_TARGET": "deploy",
            "K_SERVICE": "lading-deploy",
            "PORT": "{port}",
        }
        yield Function(processes.launch("deploy", runtime.command, variables, runtime.workspace))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GoogleWorld]:
    with google_world(tmp_path_factory.mktemp("google")) as served:
        yield served


@pytest.fixture(scope="module")
def function(world: GoogleWorld, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Function]:
    with started(world, tmp_path_factory.mktemp("function")) as running:
        yield running


def test_deliveries(world: GoogleWorld, function: Function) -> None:
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


def test_a_message_that_is_not_valid_is_acknowledged_and_logged(function: Function) -> None:
    assert function.push(push_body(b"{")) == 204
    assert any(line["message"].startswith("message dropped: ") for line in function.log())


def test_rules_that_are_not_valid_keep_a_revision_from_starting(world: GoogleWorld, tmp_path: Path) -> None:
    with (
        pytest.raises(EmulatorError, match='rule 1: "repository" must be a glob'),
        started(world, tmp_path, '{"rules": [{}]}'),
    ):
        pass


def test_its_requirements_are_current() -> None:
    assert (FUNCTION / "requirements.txt").read_text() == requirements()

"""From `docker push` to the digest that runs: docker, lading serve, Pub/Sub's emulator, the function, and the fakes."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from emulators import EmulatorError
from emulators.processes import ProcessGroup
from emulators.pubsub import PubSubEmulator
from tests.deploy.end_to_end import Deployments, push, subscribed
from tests.support.client_fixtures import commands, docker, docker_address
from tests.support.container_daemons import Docker
from tests.support.requirements import skip_or_fail
from tests.support.server_process import run_lading, serving

__all__ = ["commands", "docker", "docker_address"]

TOPIC = "projects/lading-test/topics/lading-events"


@pytest.fixture
def topic(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """HOST:PORT of an emulator that has the topic; the processes of the test publish to it."""
    with ProcessGroup() as processes:
        try:
            emulator = PubSubEmulator.start(processes, {})
        except EmulatorError as error:
            skip_or_fail(str(error))
        emulator.make_topic(TOPIC)
        monkeypatch.setenv("PUBSUB_EMULATOR_HOST", emulator.address)
        monkeypatch.setenv("LADING_EVENTS_TOPIC", TOPIC)
        yield emulator.address


@pytest.fixture
def deployments(topic: str, tmp_path: Path) -> Iterator[Deployments]:
    with subscribed(tmp_path, topic, TOPIC) as running:
        yield running


def run(environment: Mapping[str, str], folder: Path, *arguments: str) -> None:
    done = run_lading(arguments, folder, environment)
    assert done.returncode == 0, done.stderr


def publish(environment: Mapping[str, str], folder: Path) -> None:
    """Publish events with Google's stores, for which `lading serve` does not."""
    if "LADING_DATA" not in environment:
        run(environment, folder, "events", "publish", "--url", "https://registry.example.com")


def test_a_push_is_deployed_and_a_rollback_deploys_the_former_digest(
    environment: Mapping[str, str], docker: Docker, deployments: Deployments, tmp_path: Path
) -> None:
    with serving(environment, tmp_path / "log") as server:
        name = f"{server.host}/team-a/app:prod"
        first, second = (push(docker, name, tmp_path / each) for each in ("first", "second"))
        publish(environment, tmp_path)
        deployments.wait_for("team-a/app", first, second)

        run(environment, tmp_path, "rollback", "team-a/app:prod", "--to", first)
        publish(environment, tmp_path)
        deployments.wait_for("team-a/app", first, second, first)

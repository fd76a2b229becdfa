"""The way from a push to the digest that runs, where the registry's publisher publishes to Pub/Sub's emulator."""

import contextlib
import tarfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import requests

from deployer.events import TAG_MOVED
from tests.deploy.deployed_function import DeployedFunction, started
from tests.deploy.google_world import MIRROR, TARGETS, GoogleWorld, google_world
from tests.support.container_daemons import Docker
from tests.support.server_process import PROCESS_TIMEOUT


@dataclass(frozen=True)
class Deployments:
    """The function, subscribed to a topic, and the targets that it updates."""

    world: GoogleWorld
    function: DeployedFunction

    def wait_for(self, repository: str, *digests: str) -> None:
        """Wait until each target has been updated to digests of a repository, in order, and to nothing else."""
        images = [f"{MIRROR}/{repository}@{digest}" for digest in digests]
        deadline = time.monotonic() + PROCESS_TIMEOUT
        while any(self.world.deployed(kind) != images for kind in TARGETS) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert {kind: self.world.deployed(kind) for kind in TARGETS} == dict.fromkeys(TARGETS, images)
        assert [line for line in self.function.log() if line["severity"] != "INFO"] == []


@contextlib.contextmanager
def subscribed(folder: Path, emulator: str, topic: str) -> Iterator[Deployments]:
    """Run the function, with a subscription as main.tf makes one. `emulator` is HOST:PORT of Pub/Sub's."""
    url = f"http://{emulator}/v1/{topic.partition('/topics/')[0]}/subscriptions/lading-deploy"
    with google_world(folder) as world, started(world, folder) as function:
        subscription = {
            "topic": topic,
            "pushConfig": {"pushEndpoint": function.url},
            "enableMessageOrdering": True,
            "filter": f'attributes.type = "{TAG_MOVED}"',
        }
        requests.put(url, json=subscription, timeout=30).raise_for_status()
        yield Deployments(world, function)
        requests.delete(url, timeout=30).raise_for_status()


def push(docker: Docker, name: str, folder: Path) -> str:
    """Push another image of one layer; return its digest."""
    folder.mkdir()
    (folder / "file").write_text(folder.name)
    with tarfile.open(folder / "root.tar", "w") as archive:
        archive.add(folder / "file", "file")
    docker("import", folder / "root.tar", name)
    return docker("push", name).split("digest: ")[1].split()[0]

"""All APIs that the function calls, as fakes, and one target of each kind that has the same image."""

import base64
import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import google.oauth2.credentials

from deployer.events import TagMoved, event_of
from deployer.google_api import GoogleApi
from deployer.rules import Rules, parse
from lading.events.cloud_event import cloud_event
from lading_storage.records.events import Event
from tests.deploy.fake_cloud_deploy import PIPELINE, FakeCloudDeploy
from tests.deploy.fake_cloud_run import SERVICE, Assumptions, FakeCloudRun
from tests.deploy.fake_kubernetes import CLUSTER, FakeClusters, FakeKubernetes
from tests.deploy.fake_server import TOKEN, FakeServer
from tests.support.certificates import self_signed
from tests.support.record_examples import NOW

HOST: Final = "registry.example.com"
MIRROR: Final = "europe-west1-docker.pkg.dev/p-1/lading"

TARGETS: Final[dict[str, dict[str, str]]] = {
    "cloud_run": {"service": SERVICE},
    "gke": {"cluster": CLUSTER, "deployment": "app", "container": "app"},
    "cloud_deploy": {"pipeline": PIPELINE, "image": "app", "skaffold": "gs://b/skaffold.tar.gz", "rollout": "staging"},
}


@dataclass(frozen=True)
class GoogleWorld:
    """Fakes, their servers, and a client of them."""

    run: FakeCloudRun
    clusters: FakeClusters
    kubernetes: FakeKubernetes
    pipelines: FakeCloudDeploy
    servers: dict[str, FakeServer]
    api: GoogleApi

    @property
    def endpoints(self) -> dict[str, str]:
        """URLs of the APIs."""
        return {name: f"http://{server.address}" for name, server in self.servers.items() if name != "kubernetes"}

    def deployed(self, kind: str) -> list[str]:
        """Return the images to which the target of a kind has been updated, in order."""
        images = {"cloud_run": self.run.revisions.get(SERVICE, []), "gke": self.kubernetes.images}
        return list(images.get(kind, self.pipelines.images()))

    def server_of(self, kind: str) -> FakeServer:
        """Return the server that updates the target of a kind."""
        return self.servers[{"cloud_run": "run", "gke": "kubernetes", "cloud_deploy": "clouddeploy"}[kind]]


@contextlib.contextmanager
def google_world(folder: Path, assumptions: Assumptions | None = None, polls: int = 0) -> Iterator[GoogleWorld]:
    """Serve the fakes; the folder is for a certificate."""
    certificate = self_signed(folder)
    run, clusters = FakeCloudRun(assumptions or Assumptions()), FakeClusters()
    kubernetes, pipelines = FakeKubernetes(), FakeCloudDeploy(polls)
    with contextlib.ExitStack() as stack:
        servers = {
            "run": stack.enter_context(FakeServer(run)),
            "container": stack.enter_context(FakeServer(clusters)),
            "clouddeploy": stack.enter_context(FakeServer(pipelines)),
            "kubernetes": stack.enter_context(FakeServer(kubernetes, certificate)),
        }
        run.create()
        kubernetes.create()
        clusters.create(servers["kubernetes"].address, certificate[0])
        credentials = google.oauth2.credentials.Credentials(TOKEN)  # type: ignore[no-untyped-call]
        world = GoogleWorld(run, clusters, kubernetes, pipelines, servers, None)  # type: ignore[arg-type]
        yield replace(world, api=GoogleApi(credentials, world.endpoints))


def rules_of(*kinds: str, repository: str = "team-a/app", tag: str = "prod", **changes: Any) -> Rules:
    """Return rules for targets of these kinds."""
    rules = [{"repository": repository, "tag": tag, kind: TARGETS[kind] | changes} for kind in kinds]
    return parse(json.dumps({"hosts": {"*": MIRROR}, "rules": rules}))


def digest(number: int) -> str:
    """Return a digest that stands for an image."""
    return f"sha256:{number:064x}"


def image(number: int, repository: str = "team-a/app") -> str:
    """Return the name by which targets pull an image."""
    return f"{MIRROR}/{repository}@{digest(number)}"


def outbox_event(number: int, of: int | None = None, tag: str = "prod", **fields: Any) -> Event:
    """Return the registry's record of the change with a number, which points a tag to the image `of` (or `number`)."""
    moved = NOW + timedelta(seconds=number)
    micros = int(moved.timestamp() * 1_000_000)
    values = {"type": "tag.moved", "target": "team-a/app", "tag": tag, "digest": digest(of or number)} | fields
    return Event(
        id=f"0-{number}",
        name=f"{number:032x}",
        moved=moved,
        sequence=f"{micros:016}-{number:010}",
        action="push",
        **values,
    )


def push_body(content: Any) -> bytes:
    """Return a request of Pub/Sub's (https://cloud.google.com/pubsub/docs/push#receive_push)."""
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    message = {"data": base64.b64encode(data).decode(), "messageId": "1", "publishTime": "2026-01-01T00:00:00Z"}
    return json.dumps({"message": message, "subscription": "projects/p-1/subscriptions/deploy"}).encode()


def event(number: int, of: int | None = None, tag: str = "prod", **fields: Any) -> TagMoved:
    """Return an event as the function gets it from the registry by Pub/Sub."""
    found = event_of(push_body(cloud_event(outbox_event(number, of, tag, **fields), f"https://{HOST}")))
    assert found is not None
    return found

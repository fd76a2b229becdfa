"""A registry whose backends fail by plan, what a client puts into it, and what its clients see."""

import contextlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from lading.registry.errors import RegistryError
from lading.registry.registry import Registry
from lading_storage.digests import digest_of
from lading_storage.errors import StorageError
from tests.faults.failing_stores import FailingStores
from tests.support import images
from tests.support.app_client import Client, Response, content_type_header, make_client
from tests.support.fault_plan import Plan


@dataclass(frozen=True)
class Backends:
    """A registry on stores that fail, and their plan."""

    plan: Plan
    registry: Registry
    client: Client


@contextlib.contextmanager
def failing_backends(failing: FailingStores) -> Iterator[Backends]:
    """A registry, in this process, whose backends fail by plan."""
    stores = failing.fresh()
    registry = Registry(stores.blobs, stores.metadata)
    with contextlib.closing(registry), pytest.MonkeyPatch.context() as patch:
        # The writer of last pulls makes calls of its own, which must not be counted among the others.
        patch.setattr(registry.last_pulls, "record_pull", lambda *_: None)
        client = make_client(registry)
        for _ in range(2):
            # Whatever a process asks once only has been asked.
            client.push_image("warm", "v1", b"layer")
        yield Backends(failing.plan, registry, client)


@dataclass
class ScenarioRepository:
    """One repository, and what a client knows of it: its contents by the role that they play."""

    backends: Backends
    name: str
    blobs: dict[str, bytes] = field(default_factory=dict)
    manifests: dict[str, bytes] = field(default_factory=dict)
    session: str = ""

    @property
    def client(self) -> Client:
        return self.backends.client

    def request(self, method: str, path: str, body: bytes = b"", **more: Any) -> Response:
        """One request for something in the repository; a body that is cut makes an answer of status 0."""
        try:
            return self.client.request(method, f"/v2/{self.name}/{path}", body, **more)
        except StorageError:
            return Response(0, {}, b"")  # type: ignore[arg-type]  # it never came

    def push_blob(self, role: str, content: bytes) -> None:
        """Push a blob that plays a role."""
        self.blobs[role] = content
        self.client.push_blob(self.name, content)

    def push_manifest(self, role: str, content: bytes, reference: str = "") -> None:
        """Push a manifest that plays a role, by digest unless a tag is given."""
        self.manifests[role] = content
        self.client.push_manifest(self.name, reference or digest_of(content), content)

    def put(self, role: str, reference: str = "") -> Response:
        """The request that pushes a manifest that is known already."""
        content = self.manifests[role]
        return self.request(
            "PUT", f"manifests/{reference or digest_of(content)}", content, headers=content_type_header(content)
        )

    def digest(self, role: str) -> str:
        """The digest of what plays a role."""
        return digest_of({**self.blobs, **self.manifests}[role])

    def view(self) -> dict[str, Any]:
        """All that clients see, with roles in place of digests, so that two worlds can be compared."""
        roles = {digest_of(content): role for role, content in {**self.blobs, **self.manifests}.items()}
        seen: dict[str, Any] = {}
        for role, content in self.manifests.items():
            seen[role] = self._seen(f"manifests/{digest_of(content)}", content)
        for role, content in self.blobs.items():
            seen[role] = self._seen(f"blobs/{digest_of(content)}", content)
        tags = self.request("GET", "tags/list")
        for tag in tags.json["tags"] if tags.status == 200 else []:
            named = self.request("GET", f"manifests/{tag}")
            seen[f"tag {tag}"] = roles.get(digest_of(named.body))
        history = self.client.request("GET", f"/v2/_lading/{self.name}/history")
        seen["history"] = [
            (move["tag"], move["number"], roles.get(move["digest"]), roles.get(move["before"]), move["action"])
            for move in (history.json["moves"] if history.status == 200 else [])
        ]
        if "one" in self.manifests:
            referrers = self.request("GET", f"referrers/{self.digest('one')}")
            seen["referrers"] = sorted(str(roles.get(each["digest"])) for each in referrers.json["manifests"])
        return seen

    def _seen(self, path: str, content: bytes) -> str:
        answer = self.request("GET", path)
        assert answer.status in (200, 404), answer
        return ("whole" if answer.body == content else "DAMAGED") if answer.status == 200 else "absent"


def run_as_request(action: Callable[[], Any]) -> Response:
    """What a command of the registry's own does, as an answer like those of the API."""
    try:
        action()
    except StorageError:
        return Response(503, {"Retry-After": "0"}, b"")  # type: ignore[arg-type]  # like headers
    except RegistryError as error:
        return Response(error.descriptor.status, {}, json.dumps({"errors": [{"code": error.descriptor.code}]}).encode())  # type: ignore[arg-type]
    return Response(200, {}, b"")  # type: ignore[arg-type]


def image(world: ScenarioRepository, role: str, reference: str = "", **fields: Any) -> None:
    """Push an image of one layer of its own; the manifest plays `role`, the layer `role layer`."""
    if "config" not in world.blobs:
        world.push_blob("config", images.blob())
    world.push_blob(f"{role} layer", images.blob())
    content = images.manifest([world.blobs[f"{role} layer"]], world.blobs["config"], **fields)
    world.push_manifest(role, content, reference)

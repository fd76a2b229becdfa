"""Strict fake of Cloud Deploy's releases and rollouts, by its discovery document (clouddeploy.v1)."""

import re
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from tests.deploy.fake_server import google_error
from tests.support.discovery import document, faults, unknown

PIPELINE: Final = "projects/p-1/locations/europe-west1/deliveryPipelines/app"
NAME: Final = r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?"
FILTER: Final = re.compile(r'labels\.([a-z_]+)="([^"]*)"')


@dataclass
class FakeCloudDeploy:
    """Releases and rollouts by name, in the order in which they were created.

    `polls` are the requests that see an operation that is not done. Google does not say how long one takes, so tests
    run with none and with some.
    """

    polls: int = 0
    pipelines: tuple[str, ...] = (PIPELINE,)
    releases: dict[str, dict[str, Any]] = field(default_factory=dict)
    rollouts: dict[str, dict[str, Any]] = field(default_factory=dict)
    _pending: dict[str, tuple[int, Callable[[], None]]] = field(default_factory=dict)

    def images(self) -> list[str]:
        """Return what the releases deploy, in order."""
        return [each["buildArtifacts"][0]["tag"] for each in self.releases.values()]

    def respond(self, method: str, path: str, query: Mapping[str, str], body: Any, media_type: str) -> Any:
        """See fake_server.Service."""
        if wrong := faults("clouddeploy.v1", method, path, query, body):
            raise google_error(400, "INVALID_ARGUMENT", str(wrong))
        name = path.removeprefix("v1/")
        if "/operations/" in name:
            return self._operation(name)
        parent, _, kind = name.rpartition("/")
        if not any(parent.startswith(each) for each in self.pipelines):
            raise google_error(404, "NOT_FOUND")
        if method == "GET":
            return self._list(parent, query)
        return self._create_release(parent, query, body) if kind == "releases" else self._roll(parent, query, body)

    def _list(self, pipeline: str, query: Mapping[str, str]) -> Any:
        label = FILTER.fullmatch(query["filter"])
        if label is None or query["orderBy"] != "createTime desc":
            raise google_error(400, "INVALID_ARGUMENT")
        found = [each for each in self.releases.values() if each["labels"].get(label[1]) == label[2]]
        found = [each for each in found if each["name"].startswith(f"{pipeline}/")]
        response = {"releases": found[::-1][: int(query["pageSize"])]}
        assert unknown(document("clouddeploy.v1"), "ListReleasesResponse", response, "list") == []
        return response if found else {}

    def _create_release(self, pipeline: str, query: Mapping[str, str], body: dict[str, Any]) -> Any:
        uuid.UUID(query["requestId"])
        if not re.fullmatch(NAME, query["releaseId"]) or len(body["description"]) > 255:
            raise google_error(400, "INVALID_ARGUMENT")
        if any(not re.fullmatch(r"[a-z][a-z0-9_-]*", key) or len(key) > 128 for key in body["labels"]):
            raise google_error(400, "INVALID_ARGUMENT")
        name = f"{pipeline}/releases/{query['releaseId']}"
        return self._create(self.releases, name, body)

    def _roll(self, release: str, query: Mapping[str, str], body: dict[str, Any]) -> Any:
        if release not in self.releases:
            raise google_error(404, "NOT_FOUND")
        if not re.fullmatch(NAME, query["rolloutId"]):
            raise google_error(400, "INVALID_ARGUMENT")
        return self._create(self.rollouts, f"{release}/rollouts/{query['rolloutId']}", body)

    def _create(self, kind: dict[str, dict[str, Any]], name: str, body: dict[str, Any]) -> Any:
        operation = f"{name.partition('/deliveryPipelines/')[0]}/operations/{uuid.uuid5(uuid.NAMESPACE_URL, name)}"
        if name in kind or operation in self._pending:
            raise google_error(409, "ALREADY_EXISTS")
        self._pending[operation] = self.polls, lambda: kind.update({name: {**body, "name": name}})
        return self._operation(operation)

    def _operation(self, name: str) -> Any:
        left, finish = self._pending[name]
        if left:
            self._pending[name] = left - 1, finish
            return {"name": name, "done": False}
        del self._pending[name]
        finish()
        return {"name": name, "done": True, "response": {}}

"""Strict fakes of Kubernetes Engine's clusters, by their discovery document (container.v1), and of one cluster's API.

The reference of strategic merge is kubectl, which a test compares with `merged`.
"""

import base64
import copy
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tests.deploy.fake_server import ErrorResponse, google_error
from tests.support.discovery import document, faults, unknown

CLUSTER: Final = "projects/p-1/locations/europe-west1/clusters/c-1"
STRATEGIC_MERGE: Final = "application/strategic-merge-patch+json"
PATH: Final = re.compile(r"apis/apps/v1/namespaces/([a-z0-9-]+)/deployments/([a-z0-9-]+)")


@dataclass
class FakeClusters:
    """Clusters by name."""

    clusters: dict[str, dict[str, Any]] = field(default_factory=dict)

    def create(self, address: str, certificate: Path, name: str = CLUSTER, **endpoints: Any) -> None:
        """Create a cluster whose API is at an address, with its own certificate authority."""
        self.clusters[name] = {
            "name": name.rpartition("/")[2],
            "endpoint": address,
            "masterAuth": {"clusterCaCertificate": base64.b64encode(certificate.read_bytes()).decode()},
            "controlPlaneEndpointsConfig": endpoints,
        }
        assert unknown(document("container.v1"), "Cluster", self.clusters[name], "cluster") == []

    def respond(self, method: str, path: str, query: Mapping[str, str], body: Any, media_type: str) -> Any:
        """See fake_server.Service."""
        if wrong := faults("container.v1", method, path, query, body):
            raise google_error(400, "INVALID_ARGUMENT", str(wrong))
        if (name := path.removeprefix("v1/")) not in self.clusters:
            raise google_error(404, "NOT_FOUND")
        return self.clusters[name]


@dataclass
class FakeKubernetes:
    """Deployments by namespace and name, and the images to which containers were updated, in order."""

    deployments: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    images: list[str] = field(default_factory=list)

    def create(self, name: str = "app", *containers: str, namespace: str = "default") -> None:
        """Create a Deployment as a person does."""
        self.deployments[namespace, name] = {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": name, "namespace": namespace, "resourceVersion": "1"},
            "spec": {
                "selector": {"matchLabels": {"app": name}},
                "template": {
                    "metadata": {"labels": {"app": name}},
                    "spec": {"containers": [{"name": each, "image": "old"} for each in containers or ("app",)]},
                },
            },
        }

    def touch(self, name: str = "app", namespace: str = "default") -> None:
        """Change a Deployment's version, as its controller does by each report of its status."""
        metadata = self.deployments[namespace, name]["metadata"]
        metadata["resourceVersion"] = str(int(metadata["resourceVersion"]) + 1)

    def image(self, name: str = "app", container: int = 0) -> str:
        """Return the image that a Deployment runs."""
        return str(self.deployments["default", name]["spec"]["template"]["spec"]["containers"][container]["image"])

    def respond(self, method: str, path: str, query: Mapping[str, str], body: Any, media_type: str) -> Any:
        """See fake_server.Service."""
        found = PATH.fullmatch(path)
        if found is None or set(query) - {"fieldManager"}:
            raise _status(400, "BadRequest")
        key = found[1], found[2]
        if key not in self.deployments:
            raise _status(404, "NotFound")
        if method == "GET":
            return copy.deepcopy(self.deployments[key])
        if media_type != STRATEGIC_MERGE:
            raise _status(415, "UnsupportedMediaType")
        return self._patch(key, body)

    def _patch(self, key: tuple[str, str], body: dict[str, Any]) -> Any:
        deployment = self.deployments[key]
        if body["metadata"]["resourceVersion"] != deployment["metadata"]["resourceVersion"]:
            raise _status(409, "Conflict")
        self.deployments[key] = merged(deployment, body)
        self.images += [each["image"] for each in body["spec"]["template"]["spec"]["containers"]]
        self.touch(key[1], key[0])
        return self.deployments[key]


def merged(original: Any, patch: Any) -> Any:
    """Return an object after a strategic merge: null removes, and containers are merged by name."""
    if isinstance(original, dict) and isinstance(patch, dict):
        result = {**original, **{name: merged(original.get(name), value) for name, value in patch.items()}}
        return {name: value for name, value in result.items() if value is not None}
    if isinstance(original, list) and isinstance(patch, list):
        by_name = {each["name"]: each for each in original}
        by_name |= {each["name"]: merged(by_name.get(each["name"]), each) for each in patch}
        return list(by_name.values())
    if isinstance(patch, dict):
        return {name: value for name, value in patch.items() if value is not None}
    return patch


def _status(code: int, reason: str) -> ErrorResponse:
    return ErrorResponse(code, {"kind": "Status", "status": "Failure", "reason": reason, "code": code, "message": "no"})

"""What the fake control plane answers has the fields of Google's discovery documents, and no others."""

import json
from importlib.resources import files
from typing import Any, Final

import pytest

from tests.terraform.deployment_lifecycle import DeploymentLifecycle

TYPES: Final = {
    "artifact_registry/projects/*/locations/*/repositories/*/dockerImages/*": ("artifactregistry.v1", "DockerImage"),
    "artifact_registry/projects/*/locations/*/repositories/*": ("artifactregistry.v1", "Repository"),
    "cloud_run_v2/projects/*/locations/*/services/*": ("run.v2", "GoogleCloudRunV2Service"),
    "cloudfunctions2/projects/*/locations/*/functions/*": ("cloudfunctions.v2", "Function"),
    "compute/projects/*/global/backendServices/*": ("compute.v1", "BackendService"),
    "firestore/projects/*/databases/*": ("firestore.v1", "GoogleFirestoreAdminV1Database"),
    "pubsub/projects/*/topics/*": ("pubsub.v1", "Topic"),
    "secret_manager/projects/*/secrets/*": ("secretmanager.v1", "Secret"),
    "storage/b/*": ("storage.v1", "Bucket"),
    "storage/projects/*/serviceAccount": ("storage.v1", "ServiceAccount"),
}
"""The type of each path's resources, of a discovery document."""


def matches(pattern: str, name: str) -> bool:
    parts, names = pattern.split("/"), name.split("/")
    return len(parts) == len(names) and all(part in ("*", each) for part, each in zip(parts, names, strict=True))


def unknown(document: dict[str, Any], type: str, value: Any, where: str) -> list[str]:
    """Return the fields of a value that its type does not have, and those of another JSON type."""
    found = []
    properties = document["schemas"][type].get("properties", {})
    for field, each in value.items():
        if field not in properties:
            found.append(f"{where}.{field}")
            continue
        items = properties[field].get("items", properties[field])
        for inner in each if isinstance(each, list) else [each] if each is not None else []:
            if "$ref" in items and isinstance(inner, dict):
                found += unknown(document, items["$ref"], inner, f"{where}.{field}")
            elif "properties" in items:
                nested = {"schemas": {**document["schemas"], "inner": items}}
                found += unknown(nested, "inner", inner, f"{where}.{field}")
            elif isinstance(inner, str) != (items.get("type", "string") == "string") and items.get("format") != "int64":
                found.append(f"{where}.{field} is {inner!r}")
    return found


@pytest.mark.parametrize("pattern", TYPES)
def test_resources_have_the_fields_of_the_discovery_document(
    lives: tuple[DeploymentLifecycle, DeploymentLifecycle], pattern: str
) -> None:
    name, type = TYPES[pattern]
    document = json.loads(
        files("googleapiclient.discovery_cache").joinpath("documents", f"{name}.json").read_text(encoding="utf-8")
    )
    found = {path: each for life in lives for path, each in life.changed.resources.items() if matches(pattern, path)}
    assert found
    assert [fault for path, each in found.items() for fault in unknown(document, type, each, path)] == []

"""What the fake control plane answers has the fields of Google's discovery documents, and no others."""

from typing import Final

import pytest

from tests.support.discovery import document, unknown
from tests.terraform.deployment_lifecycle import DeploymentLifecycle

TYPES: Final = {
    "artifact_registry/projects/*/locations/*/repositories/*/dockerImages/*": ("artifactregistry.v1", "DockerImage"),
    "artifact_registry/projects/*/locations/*/repositories/*": ("artifactregistry.v1", "Repository"),
    "cloud_run_v2/projects/*/locations/*/services/*": ("run.v2", "GoogleCloudRunV2Service"),
    "cloudfunctions2/projects/*/locations/*/functions/*": ("cloudfunctions.v2", "Function"),
    "compute/projects/*/global/backendServices/*": ("compute.v1", "BackendService"),
    "eventarc/projects/*/locations/*/triggers/*": ("eventarc.v1", "Trigger"),
    "firestore/projects/*/databases/*": ("firestore.v1", "GoogleFirestoreAdminV1Database"),
    "pubsub/projects/*/subscriptions/*": ("pubsub.v1", "Subscription"),
    "pubsub/projects/*/topics/*": ("pubsub.v1", "Topic"),
    "secret_manager/projects/*/secrets/*": ("secretmanager.v1", "Secret"),
    "storage/b/*": ("storage.v1", "Bucket"),
    "storage/projects/*/serviceAccount": ("storage.v1", "ServiceAccount"),
}
"""The type of each path's resources, of a discovery document."""


def matches(pattern: str, name: str) -> bool:
    parts, names = pattern.split("/"), name.split("/")
    return len(parts) == len(names) and all(part in ("*", each) for part, each in zip(parts, names, strict=True))


@pytest.mark.parametrize("pattern", TYPES)
def test_resources_have_the_fields_of_the_discovery_document(
    lives: tuple[DeploymentLifecycle, DeploymentLifecycle], pattern: str
) -> None:
    name, type = TYPES[pattern]
    found = {path: each for life in lives for path, each in life.changed.resources.items() if matches(pattern, path)}
    assert found
    assert [fault for path, each in found.items() for fault in unknown(document(name), type, each, path)] == []

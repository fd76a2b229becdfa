"""What the fake control plane returns has the fields of Google's discovery documents; it refuses what Google does."""

import contextlib
from typing import Any, Final

import pytest

from tests.support.discovery import document, unknown
from tests.terraform.control_plane import ControlPlane, ErrorResponse
from tests.terraform.deployment_lifecycle import DeploymentLifecycle

KEYS: Final = "kms/projects/*/locations/*/keyRings/*/cryptoKeys"

TYPES: Final = {
    "artifact_registry/projects/*/locations/*/repositories/*/dockerImages/*": ("artifactregistry.v1", "DockerImage"),
    "artifact_registry/projects/*/locations/*/repositories/*": ("artifactregistry.v1", "Repository"),
    "binary_authorization/projects/*/attestors/*": ("binaryauthorization.v1", "Attestor"),
    "cloud_run_v2/projects/*/locations/*/services/*": ("run.v2", "GoogleCloudRunV2Service"),
    "cloudfunctions2/projects/*/locations/*/functions/*": ("cloudfunctions.v2", "Function"),
    "compute/projects/*/global/backendServices/*": ("compute.v1", "BackendService"),
    "container_analysis/projects/*/notes/*": ("containeranalysis.v1", "Note"),
    "eventarc/projects/*/locations/*/triggers/*": ("eventarc.v1", "Trigger"),
    "firestore/projects/*/databases/*": ("firestore.v1", "GoogleFirestoreAdminV1Database"),
    f"{KEYS}/*": ("cloudkms.v1", "CryptoKey"),
    f"{KEYS}/*/cryptoKeyVersions/*": ("cloudkms.v1", "CryptoKeyVersion"),
    f"{KEYS}/*/cryptoKeyVersions/*/publicKey": ("cloudkms.v1", "PublicKey"),
    "kms/projects/*/locations/*/keyRings/*": ("cloudkms.v1", "KeyRing"),
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


def trigger(**changes: str) -> dict[str, Any]:
    """Return a trigger for new documents of the database `lading`."""
    filters = {"type": "google.cloud.firestore.document.v1.created", "database": "lading", **changes}
    document = {"attribute": "document", "operator": "match-path-pattern", "value": "events/{id}"}
    return {
        "eventFilters": [document, *({"attribute": name, "value": value} for name, value in filters.items())],
        "destination": {"cloudRun": {"service": "publish", "region": "us-central1"}},
        "serviceAccount": "events@fake-project.iam.gserviceaccount.com",
    }


@pytest.mark.parametrize(
    ("location", "changes", "accepted"),
    [
        ("eur3", {}, True),
        ("europe-west4", {}, False),
        ("eur3", {"database": "(default)"}, False),
        ("eur3", {"type": "google.cloud.storage.object.v1.finalized"}, False),
        ("eur3", {"bucket": "b"}, False),
    ],
)
def test_a_trigger_is_where_its_database_is(location: str, changes: dict[str, str], accepted: bool) -> None:
    with ControlPlane() as google:
        google.resources |= {
            "firestore/projects/fake-project/databases/lading": {"locationId": "eur3"},
            "cloud_run_v2/projects/fake-project/locations/us-central1/services/publish": {},
            "iam_beta/projects/fake-project/serviceAccounts/events@fake-project.iam.gserviceaccount.com": {},
        }
        path = f"eventarc/v1/projects/fake-project/locations/{location}/triggers"
        with contextlib.nullcontext() if accepted else pytest.raises(ErrorResponse):
            google.respond("POST", path, {"triggerId": "publish"}, trigger(**changes))
        made = [name for name in google.resources if name.startswith("eventarc/")]
        assert made == ([f"eventarc/projects/fake-project/locations/{location}/triggers/publish"] if accepted else [])

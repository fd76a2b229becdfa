"""A deployment by the first release is brought to this one by an apply, and loses nothing that is stored."""

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import pytest

from tests.terraform.apis import PROJECT, Resource
from tests.terraform.control_plane import ControlPlane
from tests.terraform.first_release import FILE, KEY, VARIABLES
from tests.terraform.terraform_cli import Terraform, checkout, without_wait

STORES: Final = {
    "google_firestore_database",
    "google_secret_manager_secret",
    "google_secret_manager_secret_version",
    "google_storage_bucket",
    "google_storage_managed_folder",
    "google_artifact_registry_repository",
    "google_pubsub_topic",
}
GOES: Final = {
    "google_firestore_field": "an index that no query asks for any more; the field stays",
    "google_storage_bucket_object": "the source of the release before",
    "google_project_iam_member": "the build's right to read the source, whose condition ends with a slash now",
}
"""What the upgrade deletes or replaces, and why it may."""

OWN_KEYS: Final = {"names": "", "secrets": "", "source": "", "images": "", "notifications": ""}
"""What an upgrade says that leaves those stores as they are."""


@dataclass
class Upgrade:
    """An upgrade at one stage: its plan before it was applied, and what was there before and after."""

    refused: str
    changes: list[dict[str, Any]]
    before: dict[str, Resource]
    after: dict[str, Resource]
    next_plan: subprocess.CompletedProcess[str]


@pytest.fixture(scope="module")
def upgrade(terraform: Terraform, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Upgrade]:
    """Apply this release to what the first one left."""
    folder = tmp_path_factory.mktemp("upgrade")
    source, root = without_wait(checkout(folder / "checkout")), folder / "root"
    left = json.loads(FILE.read_text())
    with ControlPlane() as google:
        google.resources, google.policies = left["resources"], left["policies"]
        before = json.loads(json.dumps(google.resources))
        terraform.root(root, source, google.provider, **VARIABLES)
        (root / "terraform.tfstate").write_text(json.dumps(left["state"]))
        options = ("-input=false", "-no-color", "-parallelism=64")
        refused = terraform.run(root, "plan", *options, fails=True)
        assert refused.returncode == 1, refused.stdout
        terraform.root(root, source, google.provider, **VARIABLES, kms_keys=OWN_KEYS)
        terraform.run(root, "plan", "-out=plan", *options)
        plan = json.loads(terraform.run(root, "show", "-json", "plan").stdout)
        terraform.run(root, "apply", *options, "plan")
        after = json.loads(json.dumps(google.resources))
        next_plan = terraform.run(root, "plan", "-detailed-exitcode", *options, fails=True)
        yield Upgrade(refused.stderr, plan["resource_changes"], before, after, next_plan)


def test_no_store_is_deleted_or_replaced(upgrade: Upgrade) -> None:
    deleted = {each["address"]: each["type"] for each in upgrade.changes if "delete" in each["change"]["actions"]}
    assert {address for address, kind in deleted.items() if kind in STORES} == set()
    assert {address: kind for address, kind in deleted.items() if kind not in GOES} == {}
    assert {each["type"] for each in upgrade.changes} >= STORES


def test_what_is_stored_is_the_same_afterwards(upgrade: Upgrade) -> None:
    stores = (
        *(f"firestore/projects/{PROJECT}/databases/", "secret_manager/", f"storage/b/{PROJECT}-lading-blobs"),
        f"pubsub/projects/{PROJECT}/topics/lading-notifications",
    )
    for name, each in upgrade.before.items():
        if name.startswith(stores) and "/collectionGroups/" not in name and "/backupSchedules/" not in name:
            assert upgrade.after[name] == each


def test_keys_and_places_that_cannot_be_changed_are_refused_with_what_to_do(upgrade: Upgrade) -> None:
    said = " ".join(upgrade.refused.replace("│", " ").split())
    kept = {"database lading": "names", "secret lading-keys": "secrets", "repository lading": "images"}
    for what, store in kept.items():
        assert f"The {what}" in said
        assert f'kms_keys = {{ {store} = "" }}' in said
    assert upgrade.after[f"secret_manager/projects/{PROJECT}/secrets/lading-keys"]["replication"] == {"automatic": {}}
    assert upgrade.after[f"storage/b/{PROJECT}-lading-blobs"]["encryption"]["defaultKmsKeyName"] == KEY


def test_the_plan_afterwards_is_empty(upgrade: Upgrade) -> None:
    assert upgrade.next_plan.returncode == 0, upgrade.next_plan.stdout


def test_the_file_holds_what_the_first_release_declared() -> None:
    kinds = {each["type"] for each in json.loads(FILE.read_text())["state"]["resources"]}
    assert STORES | {"google_compute_backend_service", "google_kms_crypto_key_iam_member"} <= kinds

"""The example deploy-on-push: what it plans for its rules, and permissions of exactly the calls that its code makes."""

import json
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pytest

from deployer import cloud_deploy
from deployer.events import TAG_MOVED
from deployer.outcomes import Outcome
from deployer.run import run
from tests.deploy.function_source import EXAMPLE, files
from tests.deploy.google_world import TARGETS, event, google_world, rules_of
from tests.terraform.apis import PROJECT
from tests.terraform.control_plane import ControlPlane
from tests.terraform.terraform_cli import Terraform, checkout

PLACE: Final = r"projects/[^/]+/locations/[^/]+"
PIPELINE: Final = rf"{PLACE}/deliveryPipelines/[^/]+"

PERMISSIONS: Final = {
    # https://cloud.google.com/run/docs/reference/iam/permissions
    rf"GET v2/{PLACE}/services/[^/]+": "run.services.get",
    rf"PATCH v2/{PLACE}/services/[^/]+": "run.services.update",
    # https://cloud.google.com/kubernetes-engine/docs/reference/rest/v1/projects.locations.clusters/get
    rf"GET v1/{PLACE}/clusters/[^/]+": "container.clusters.get",
    # https://cloud.google.com/deploy/docs/api/reference/rest/v1/projects.locations.deliveryPipelines.releases/create
    rf"GET v1/{PLACE}/operations/[^/]+": "clouddeploy.operations.get",
    rf"GET v1/{PIPELINE}/releases": "clouddeploy.releases.list",
    rf"POST v1/{PIPELINE}/releases": "clouddeploy.releases.create",
    rf"POST v1/{PIPELINE}/releases/[^/]+/rollouts": "clouddeploy.rollouts.create",
}

WITHOUT_CALL: Final = {"container.clusters.connect"}
"""The DNS-based endpoint checks it (https://cloud.google.com/kubernetes-engine/docs/how-to/dns-endpoint)."""

Resources = Mapping[str, Mapping[str, Any]]


def planned(terraform: Terraform, folder: Path, rules: str | None = None) -> tuple[Resources, Path]:
    """Return the resources of the example's plan by their addresses, without the module's, and its folder."""
    example = checkout(folder) / "terraform" / "examples" / "deploy-on-push"
    if rules:
        (example / "rules.json").write_text(rules)
    with ControlPlane() as google:
        (example / "fake_override.tf.json").write_text(json.dumps({"provider": {"google": google.provider}}))
        terraform.init(example)
        accounts = json.dumps([f"team-a-app@{PROJECT}.iam.gserviceaccount.com"])
        variables = (f"-var=project_id={PROJECT}", f"-var=runtime_accounts={accounts}")
        terraform.run(example, "plan", "-no-color", "-input=false", "-out=plan", *variables)
    plan = json.loads(terraform.run(example, "show", "-json", "plan").stdout)
    found = plan["planned_values"]["root_module"]["resources"]
    return {each["address"]: each["values"] for each in found}, example


@pytest.fixture(scope="module")
def example(terraform: Terraform, tmp_path_factory: pytest.TempPathFactory) -> tuple[Resources, Path]:
    return planned(terraform, tmp_path_factory.mktemp("example"))


def roles(resources: Resources) -> set[str]:
    """Return the permissions of the example's custom roles."""
    return {
        permission
        for address, values in resources.items()
        if address.startswith("google_project_iam_custom_role.")
        for permission in values["permissions"]
    }


def test_the_account_may_do_what_its_code_calls_and_nothing_else(
    example: tuple[Resources, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cloud_deploy.deploy, "__defaults__", (lambda seconds: None,))
    with google_world(tmp_path, polls=1) as world:
        assert {each.outcome for each in run(world.api, rules_of(*TARGETS), event(1))} == {Outcome.DEPLOYED}
        calls = [call for name, server in world.servers.items() if name != "kubernetes" for call in server.calls]
    called = {next((each for path, each in PERMISSIONS.items() if re.fullmatch(path, call)), call) for call in calls}
    assert called == roles(example[0]) - WITHOUT_CALL


def test_permissions_are_granted_on_the_targets_of_the_rules(example: tuple[Resources, Path]) -> None:
    resources = example[0]
    service = "projects/my-project/locations/europe-west1/services/app"
    member = resources[f'google_cloud_run_v2_service_iam_member.deploy["{service}"]']
    assert (member["project"], member["location"], member["name"]) == ("my-project", "europe-west1", "app")
    mirror = resources[
        'google_artifact_registry_repository_iam_member.deploy["europe-west1-docker.pkg.dev/my-project/lading"]'
    ]
    assert (mirror["location"], mirror["project"], mirror["repository"]) == ("europe-west1", "my-project", "lading")
    account = f"team-a-app@{PROJECT}.iam.gserviceaccount.com"
    assert f'google_service_account_iam_member.deploy["{account}"]' in resources


def test_rules_without_a_kind_of_target_grant_nothing_for_it(terraform: Terraform, tmp_path: Path) -> None:
    document = json.loads((EXAMPLE / "rules.json").read_text())
    document["rules"] = [rule for rule in document["rules"] if "cloud_run" in rule]
    resources, _ = planned(terraform, tmp_path, json.dumps(document))
    assert roles(resources) == {"run.services.get", "run.services.update"}
    assert not any(address.startswith("google_project_service.targets") for address in resources)


def test_events_are_delivered_in_order_and_not_lost(example: tuple[Resources, Path]) -> None:
    subscription = example[0]["google_pubsub_subscription.deploy"]
    function = example[0]["google_cloudfunctions2_function.deploy"]["service_config"][0]
    assert subscription["enable_message_ordering"]
    assert subscription["filter"] == f'attributes.type = "{TAG_MOVED}"'
    assert subscription["dead_letter_policy"][0]["max_delivery_attempts"] == 10
    assert subscription["expiration_policy"][0]["ttl"] == ""
    assert subscription["ack_deadline_seconds"] > function["timeout_seconds"]
    longest = 2 * cloud_deploy.MAX_POLLS
    assert function["timeout_seconds"] > longest


def test_the_archive_is_the_function_with_its_rules(example: tuple[Resources, Path]) -> None:
    (archive,) = (example[1] / ".terraform").glob("deploy-*.zip")
    with zipfile.ZipFile(archive) as packed:
        assert {name: packed.read(name) for name in packed.namelist()} == files()


def test_the_role_in_the_cluster_names_the_deployments_of_the_rules() -> None:
    text = (EXAMPLE / "rbac.yaml").read_text()
    rules = json.loads((EXAMPLE / "rules.json").read_text())["rules"]
    (target,) = [rule["gke"] for rule in rules if "gke" in rule]
    assert f"resourceNames: [{target['deployment']}]\n    verbs: [get, patch]" in text
    assert text.count(f"namespace: {target['namespace']}") == 2

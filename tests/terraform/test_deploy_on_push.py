"""The example deploy-on-push: what it plans for its rules, and permissions of exactly the calls that its code makes."""

import json
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

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


class Plan(NamedTuple):
    """The example's plan, without the module.

    Attributes:
        resources: by their addresses.
        folder: of the example.
        roles: what the role of each kind of resource refers to.
    """

    resources: Resources
    folder: Path
    roles: Mapping[str, list[str]]


def planned(terraform: Terraform, folder: Path, rules: str | None = None) -> Plan:
    """Plan the example in a checkout of its own."""
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
    declared = plan["configuration"]["root_module"]["resources"]
    references = {each["address"]: each["expressions"].get("role", {}).get("references", []) for each in declared}
    return Plan({each["address"]: each["values"] for each in found}, example, references)


@pytest.fixture(scope="module")
def example(terraform: Terraform, tmp_path_factory: pytest.TempPathFactory) -> Plan:
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
    example: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cloud_deploy.deploy, "__defaults__", (lambda seconds: None,))
    with google_world(tmp_path, polls=1) as world:
        assert {each.outcome for each in run(world.api, rules_of(*TARGETS), event(1))} == {Outcome.DEPLOYED}
        calls = [call for name, server in world.servers.items() if name != "kubernetes" for call in server.calls]
    called = {next((each for path, each in PERMISSIONS.items() if re.fullmatch(path, call)), call) for call in calls}
    assert called == roles(example.resources) - WITHOUT_CALL


def test_permissions_are_granted_on_the_targets_of_the_rules(example: Plan) -> None:
    resources = example.resources
    service = "projects/my-project/locations/europe-west1/services/app"
    member = resources[f'google_cloud_run_v2_service_iam_member.deploy["{service}"]']
    assert (member["project"], member["location"], member["name"]) == ("my-project", "europe-west1", "app")
    mirror = resources[
        'google_artifact_registry_repository_iam_member.deploy["europe-west1-docker.pkg.dev/my-project/lading"]'
    ]
    assert (mirror["location"], mirror["project"], mirror["repository"]) == ("europe-west1", "my-project", "lading")
    account = f"team-a-app@{PROJECT}.iam.gserviceaccount.com"
    assert f'google_service_account_iam_member.deploy["{account}"]' in resources


def test_releases_may_be_created_in_the_pipelines_of_the_rules_and_in_no_other(example: Plan) -> None:
    kind = "google_clouddeploy_delivery_pipeline_iam_member.deploy"
    granted = [values for address, values in example.resources.items() if address.startswith(f"{kind}[")]
    assert [(each["project"], each["location"], each["name"]) for each in granted] == [
        ("my-project", "europe-west1", "team-b")
    ]
    assert "google_project_iam_custom_role.cloud_deploy" in example.roles[kind]


def test_the_project_grants_only_what_no_target_has_a_policy_for(example: Plan) -> None:
    kinds = {"gke", "cloud_deploy_operations"}
    members = {address for address in example.resources if address.startswith("google_project_iam_member.")}
    assert members == {f'google_project_iam_member.deploy["{kind}"]' for kind in kinds}
    granted = [example.resources[f"google_project_iam_custom_role.{kind}[0]"]["permissions"] for kind in sorted(kinds)]
    assert granted == [["clouddeploy.operations.get"], ["container.clusters.connect", "container.clusters.get"]]


def test_rules_without_a_kind_of_target_grant_nothing_for_it(terraform: Terraform, tmp_path: Path) -> None:
    document = json.loads((EXAMPLE / "rules.json").read_text())
    document["rules"] = [rule for rule in document["rules"] if "cloud_run" in rule]
    resources = planned(terraform, tmp_path, json.dumps(document)).resources
    assert roles(resources) == {"run.services.get", "run.services.update"}
    others = ("google_project_service.targets", "google_project_iam_member.", "google_clouddeploy_")
    assert not any(address.startswith(others) for address in resources)


def test_events_are_delivered_in_order_and_not_lost(example: Plan) -> None:
    subscription = example.resources["google_pubsub_subscription.deploy"]
    function = example.resources["google_cloudfunctions2_function.deploy"]["service_config"][0]
    assert subscription["enable_message_ordering"]
    assert subscription["filter"] == f'attributes.type = "{TAG_MOVED}"'
    assert subscription["expiration_policy"][0]["ttl"] == ""
    assert subscription["ack_deadline_seconds"] > function["timeout_seconds"]
    longest = 2 * cloud_deploy.MAX_POLLS
    assert function["timeout_seconds"] > longest


def test_an_hour_of_refusals_makes_no_dead_letter(example: Plan) -> None:
    """A refusal for lack of capacity is an attempt. Delays are on a best effort basis, so half of each is enough."""
    subscription = example.resources["google_pubsub_subscription.deploy"]
    minimum, maximum = (
        int(subscription["retry_policy"][0][f"{each}_backoff"].removesuffix("s")) for each in ("minimum", "maximum")
    )
    attempts = subscription["dead_letter_policy"][0]["max_delivery_attempts"]
    delays = [min(minimum * 2**number, maximum) for number in range(attempts - 1)]
    assert sum(delays) == 8_430, "as docs/deployments.md says"
    assert sum(delays) / 2 >= 3600


def test_slow_deployments_of_many_repositories_run_at_once(example: Plan) -> None:
    function = example.resources["google_cloudfunctions2_function.deploy"]["service_config"][0]
    at_once = function["max_instance_count"] * function["max_instance_request_concurrency"]
    assert (at_once, at_once * 3600 // function["timeout_seconds"]) == (200, 6_000), "as docs/deployments.md says"
    assert function["environment_variables"]["THREADS"] == str(function["max_instance_request_concurrency"])
    # Below one CPU, a function handles one request at a time.
    assert float(function["available_cpu"]) >= 1


def test_the_archive_is_the_function_with_its_rules(example: Plan) -> None:
    (archive,) = (example.folder / ".terraform").glob("deploy-*.zip")
    with zipfile.ZipFile(archive) as packed:
        assert {name: packed.read(name) for name in packed.namelist()} == files()


def test_the_role_in_the_cluster_names_the_deployments_of_the_rules() -> None:
    text = (EXAMPLE / "rbac.yaml").read_text()
    rules = json.loads((EXAMPLE / "rules.json").read_text())["rules"]
    (target,) = [rule["gke"] for rule in rules if "gke" in rule]
    assert f"resourceNames: [{target['deployment']}]\n    verbs: [get, patch]" in text
    assert text.count(f"namespace: {target['namespace']}") == 2

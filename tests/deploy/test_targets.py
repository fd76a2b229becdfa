"""What is particular to each kind of target, and what its update leaves as it was."""

import copy
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from deployer import sequences
from deployer.google_api import ApiError
from deployer.outcomes import Outcome
from deployer.rules import Rules, parse
from deployer.run import Deployment, run
from deployer.sequences import MAX_REFERENCES, PREFIX
from tests.deploy.fake_cloud_deploy import PIPELINE
from tests.deploy.fake_cloud_run import CONFLICTS, SERVICE
from tests.deploy.fake_kubernetes import CLUSTER, merged
from tests.deploy.fake_server import google_error
from tests.deploy.google_world import TARGETS, GoogleWorld, event, image, rules_of
from tests.support.certificates import self_signed
from tests.support.requirements import find_program


def one(world: GoogleWorld, kind: str, number: int = 1, tag: str = "prod", **changes: Any) -> Deployment:
    (deployment,) = run(world.api, rules_of(kind, tag="*", **changes), event(number, tag=tag))
    return deployment


# --- Cloud Run -------------------------------------------------------------------------------------------------------


def test_a_service_keeps_all_else(world: GoogleWorld) -> None:
    before = copy.deepcopy(world.run.services[SERVICE])
    one(world, "cloud_run")
    after = world.run.services[SERVICE]
    assert after["annotations"].pop(sequences.key(event(1))) == event(1).sequence
    for each in (before, after):
        each["template"].pop("revision", "")
        each["template"]["containers"][0].pop("image")
        each.pop("etag")
        each.pop("generation")
    assert after == before


def test_one_of_several_containers_is_updated(world: GoogleWorld) -> None:
    world.run.create(SERVICE, "app", "proxy")
    assert one(world, "cloud_run", container="proxy").outcome is Outcome.DEPLOYED
    assert (world.run.image(), world.run.image(container=1)) == ("old", image(1))


@pytest.mark.parametrize(("containers", "container"), [(("app", "proxy"), ""), (("app", "proxy"), "web"), ((), "web")])
def test_a_container_that_is_not_one_is_an_error(
    world: GoogleWorld, containers: tuple[str, ...], container: str
) -> None:
    world.run.create(SERVICE, *containers)
    changes: dict[str, Any] = {"container": container} if container else {}
    failed = one(world, "cloud_run", **changes)
    assert failed.permanent
    assert "name one of them in the rule's `container`" in failed.error
    assert world.run.image() == "old"


def test_a_missing_service_is_named(world: GoogleWorld) -> None:
    name = f"{SERVICE}2"
    failed = one(world, "cloud_run", service=name)
    assert failed.permanent
    assert f"Resource '{name}' of kind 'SERVICE' does not exist" in failed.error


@pytest.mark.parametrize("conflict", CONFLICTS)
def test_each_error_of_an_outdated_etag_is_a_conflict(world: GoogleWorld, conflict: tuple[int, str]) -> None:
    error = ApiError(*conflict, "")
    assert (error.is_conflict, error.is_permanent) == (True, False)


# --- Kubernetes Engine -----------------------------------------------------------------------------------------------


def test_the_patch_is_what_kubectl_makes_of_it(world: GoogleWorld) -> None:
    """The fake's strategic merge is kubectl's, so what the patch leaves is what a cluster would have."""
    kubectl = find_program("kubectl", "https://kubernetes.io/docs/tasks/tools/")
    world.kubernetes.create("app", "app", "proxy")
    before = copy.deepcopy(world.kubernetes.deployments["default", "app"])
    before["metadata"]["annotations"] = {f"{PREFIX}{number:016}": f"{number:027}" for number in range(MAX_REFERENCES)}
    changes = sequences.changes(before["metadata"]["annotations"], event(1))
    patch = {
        "metadata": {"annotations": changes},
        "spec": {"template": {"spec": {"containers": [{"name": "proxy", "image": "new"}]}}},
    }
    done = subprocess.run(
        [kubectl, "patch", "--local", "-f", "-", "--type", "strategic", "-p", json.dumps(patch), "-o", "json"],
        input=json.dumps(before),
        capture_output=True,
        text=True,
        check=True,
    )
    theirs, ours = json.loads(done.stdout), merged(before, patch)
    assert ours["metadata"]["annotations"] == theirs["metadata"]["annotations"]
    assert len(theirs["metadata"]["annotations"]) == MAX_REFERENCES

    def images(deployment: Any) -> dict[str, str]:
        return {each["name"]: each["image"] for each in deployment["spec"]["template"]["spec"]["containers"]}

    assert images(ours) == images(theirs) == {"app": "old", "proxy": "new"}


def test_a_report_of_status_in_between_is_no_obstacle(world: GoogleWorld) -> None:
    world.servers["kubernetes"].before_update = world.kubernetes.touch
    assert one(world, "gke").outcome is Outcome.DEPLOYED
    assert world.kubernetes.images == [image(1)]


def test_a_missing_container_is_not_added(world: GoogleWorld) -> None:
    failed = one(world, "gke", container="web")
    assert failed.permanent
    assert "default/app has the containers app, and not web" in failed.error
    assert world.kubernetes.images == []


def test_another_certificate_is_refused(world: GoogleWorld, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    world.clusters.create(world.servers["kubernetes"].address, self_signed(tmp_path / "other")[0])
    failed = one(world, "gke")
    assert "certificate verify failed" in failed.error.lower()
    assert world.servers["kubernetes"].calls == []


@pytest.mark.parametrize("external", [True, False])
def test_a_dns_endpoint_is_used_where_it_admits_the_function(world: GoogleWorld, external: bool) -> None:
    dns = {"endpoint": "gke-1.invalid", "allowExternalTraffic": external}
    world.clusters.clusters[CLUSTER] |= {"controlPlaneEndpointsConfig": {"dnsEndpointConfig": dns}}
    deployment = one(world, "gke")
    assert ("gke-1.invalid" in deployment.error) == external
    assert (deployment.outcome is Outcome.DEPLOYED) == (not external)


def test_a_cluster_without_an_endpoint_is_an_error(world: GoogleWorld) -> None:
    world.clusters.clusters[CLUSTER] |= {"endpoint": ""}
    assert "enable its DNS-based endpoint" in one(world, "gke").error


# --- Cloud Deploy ----------------------------------------------------------------------------------------------------


def test_a_release_names_its_event_and_is_rolled_out(world: GoogleWorld) -> None:
    one(world, "cloud_deploy")
    name = f"{PIPELINE}/releases/lading-{event(1).id}"
    release = world.pipelines.releases[name]
    assert release["buildArtifacts"] == [{"image": "app", "tag": image(1)}]
    assert release["annotations"] == {sequences.key(event(1)): event(1).sequence}
    assert world.pipelines.rollouts[f"{name}/rollouts/to-staging"]["targetId"] == "staging"


def test_without_a_target_nothing_is_rolled_out(world: GoogleWorld) -> None:
    target = {name: value for name, value in TARGETS["cloud_deploy"].items() if name != "rollout"}
    rules = parse(json.dumps({"rules": [{"repository": "*", "tag": "*", "cloud_deploy": target}]}))
    (deployment,) = run(world.api, rules, event(1))
    assert deployment.outcome is Outcome.DEPLOYED
    assert world.pipelines.rollouts == {}


def test_a_release_whose_rollout_failed_is_rolled_out_by_the_next_delivery(world: GoogleWorld) -> None:
    server = world.servers["clouddeploy"]

    def fail_rollout() -> None:
        server.before_update = lambda: server.fail(google_error(503, "UNAVAILABLE"))

    server.before_update = fail_rollout
    assert one(world, "cloud_deploy").outcome is None
    assert (len(world.pipelines.releases), len(world.pipelines.rollouts)) == (1, 0)
    assert one(world, "cloud_deploy").outcome is Outcome.DEPLOYED
    assert (len(world.pipelines.releases), len(world.pipelines.rollouts)) == (1, 1)


def test_a_conflict_that_created_nothing_is_not_taken_for_a_release(world: GoogleWorld) -> None:
    server = world.servers["clouddeploy"]
    server.before_update = lambda: server.fail(google_error(409, "ABORTED"))
    failed = one(world, "cloud_deploy")
    assert (failed.outcome, failed.permanent) == (None, False)
    assert one(world, "cloud_deploy").outcome is Outcome.DEPLOYED


def test_the_longest_names_are_released(world: GoogleWorld) -> None:
    name, tag = "a" * 255, "t" * 128
    (deployment,) = run(world.api, rules_of("cloud_deploy", repository="*", tag="*"), event(1, tag=tag, target=name))
    assert deployment.outcome is Outcome.DEPLOYED, deployment.error


def test_an_operation_without_an_end_is_an_error(world: GoogleWorld) -> None:
    world.pipelines.polls = 1000
    assert "is not created yet" in one(world, "cloud_deploy").error


def test_releases_of_another_tag_do_not_count(world: GoogleWorld) -> None:
    one(world, "cloud_deploy", 2, tag="v2")
    assert one(world, "cloud_deploy", 1, tag="v1").outcome is Outcome.DEPLOYED


# --- sequences -------------------------------------------------------------------------------------------------------


def test_annotations_are_bounded_and_none_that_went_is_deployed_again(world: GoogleWorld) -> None:
    count = MAX_REFERENCES + 5
    for number in range(1, count + 1):
        assert one(world, "cloud_run", number, tag=f"v{number}").outcome is Outcome.DEPLOYED
    annotations = world.run.services[SERVICE]["annotations"]
    assert sum(name.startswith(PREFIX) for name in annotations) == MAX_REFERENCES
    assert annotations["owner"] == "team-a"
    for number in range(1, count + 1):
        assert one(world, "cloud_run", number, tag=f"v{number}").outcome is Outcome.CURRENT
    assert world.run.image() == image(count)


@pytest.mark.parametrize("kind", ["cloud_run", "gke"])
def test_one_event_updates_each_of_several_containers_once(world: GoogleWorld, kind: str) -> None:
    """As of a service whose worker, or sidecar, runs the same image by another command."""
    world.run.create(SERVICE, "app", "worker")
    world.kubernetes.create("app", "app", "worker")
    rules = [rules_of(kind, container=container).rules[0] for container in ("app", "worker")]
    both = Rules(rules_of(kind).hosts, tuple(rules))
    for number, expected in ((2, Outcome.DEPLOYED), (2, Outcome.CURRENT), (1, Outcome.CURRENT)):
        assert [each.outcome for each in run(world.api, both, event(number))] == [expected, expected]
    target = world.run if kind == "cloud_run" else world.kubernetes
    assert [target.image(container=container) for container in (0, 1)] == [image(2), image(2)]


def test_keys_are_valid_annotations() -> None:
    """https://kubernetes.io/docs/concepts/overview/working-with-objects/annotations/#syntax-and-character-set."""
    prefix, _, name = sequences.key(event(1)).partition("/")
    assert prefix == "lading.dev"
    assert len(name) <= 63
    assert len({sequences.key(event(1, tag=tag)) for tag in ("a", "b")} | {sequences.key(event(2, tag="a"))}) == 2

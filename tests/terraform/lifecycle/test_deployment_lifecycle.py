"""A deployment, from its first apply to its end, by the real provider against the fake control plane."""

import base64
import io
import json
import re
import zipfile

from lading import settings
from lading.auth.keys import from_json
from lading.scan_composition import scans_images
from lading_storage.firestore_documents import path_of
from lading_storage.records.core import Key
from lading_storage.records.events import Event
from lading_storage.records.scans import Facts
from tests.terraform.apis import NUMBER, PROJECT, Resource
from tests.terraform.deployment_lifecycle import EXISTING_TOPIC, OPTIONS, DeploymentLifecycle, DeploymentState
from tests.terraform.terraform_cli import ROOT

HERE = f"projects/{PROJECT}/locations/europe-west1"
SERVICE = f"cloud_run_v2/{HERE}/services/lading"
BLOBS = f"storage/b/{PROJECT}-lading-blobs"
BACKEND = f"compute/projects/{PROJECT}/global/backendBuckets/lading-blobs"
POLICIES = f"storage/b/{PROJECT}-lading-policies"


ATTESTATIONS = {
    "google_binary_authorization_attestor",
    "google_container_analysis_note",
    "google_container_analysis_note_iam_member",
    "google_kms_crypto_key",
    "google_kms_key_ring",
}
"""What only a deployment with attestations has."""


def kinds(life: DeploymentLifecycle) -> set[str]:
    """The kinds of resources that an apply made."""
    return {each["type"] for each in json.loads(life.applied.state)["resources"] if each["mode"] == "managed"}


def test_one_apply_makes_everything(lives: tuple[DeploymentLifecycle, DeploymentLifecycle]) -> None:
    declared = set()
    for file in (ROOT / "terraform").glob("*.tf"):
        declared |= set(re.findall(r'^resource "(google_\w+)"', file.read_text(), re.MULTILINE))
    default, everything = lives
    assert declared - kinds(everything) - kinds(default) == set()
    more = {kind for kind in kinds(everything) - kinds(default) if not kind.startswith("google_compute_")}
    assert more == ATTESTATIONS | {"google_kms_crypto_key_iam_member"}


def test_a_plan_after_an_apply_is_empty(lives: tuple[DeploymentLifecycle, DeploymentLifecycle]) -> None:
    for plan in (plan for life in lives for plan in (life.second_plan, life.third_plan)):
        assert plan.returncode == 0, plan.stdout
        assert "No changes." in plan.stdout


def built(moment: DeploymentState) -> str:
    """Return the address of the image that the last build of the registry made."""
    repository = f"artifact_registry/{HERE}/repositories/lading-functions/dockerImages/"
    tagged = [each["uri"] for name, each in moment.of(repository).items() if each["tags"] and "registry@" in name]
    (address,) = tagged
    return str(address)


def test_the_service_runs_the_image_that_the_function_built(life: DeploymentLifecycle) -> None:
    template = life.applied.resources[SERVICE]["template"]
    container = template["containers"][0]
    assert container["image"] == built(life.applied)
    assert re.search(r"@sha256:[0-9a-f]{64}$", container["image"])
    assert template["executionEnvironment"] == "EXECUTION_ENVIRONMENT_GEN2"
    assert container["ports"] == [{"name": "h2c", "containerPort": 8080}]
    assert {"name": "FUNCTION_TARGET", "value": "registry"} in container["env"]


def test_a_change_of_code_reaches_the_service_in_one_apply(
    lives: tuple[DeploymentLifecycle, DeploymentLifecycle],
) -> None:
    for life in lives:
        place = f"cloud_run_v2/{HERE}/services/lading-registry"
        moments = (life.applied, life.changed)
        tags = [moment.resources[place]["template"]["containers"][0]["image"] for moment in moments]
        # One of the two has what is known of Google: a tag that stays the same, by which no apply knows a new build.
        assert (tags[0] == tags[1]) == (life is lives[0])
        before, after = (moment.resources[SERVICE]["template"]["containers"][0] for moment in moments)
        assert before["image"] != after["image"] == built(life.changed)
        # Even where two builds should make one image, another source is another revision.
        assert source_hash(before) != source_hash(after)


def source_hash(container: Resource) -> str:
    """Return what the registry is told of its source."""
    (value,) = [each["value"] for each in container["env"] if each["name"] == "LADING_SOURCE_HASH"]
    return str(value)


def test_a_change_of_code_is_what_is_sent(life: DeploymentLifecycle) -> None:
    sources = f"storage/b/{PROJECT}-lading-source/o/"
    for name in ("registry", "collect", "publish", "scan"):
        (before,) = [each for each in life.applied.of(sources).values() if each["name"].startswith(name)]
        (after,) = [each for each in life.changed.of(sources).values() if each["name"].startswith(name)]
        assert before["name"] != after["name"]
        for object, line in ((before, False), (after, True)):
            with zipfile.ZipFile(io.BytesIO(base64.b64decode(object["media"]))) as archive:
                assert archive.read("main.py").endswith(b"# changed\n") is line
        function = life.changed.resources[f"cloudfunctions2/{HERE}/functions/lading-{name}"]
        assert function["buildConfig"]["source"]["storageSource"]["object"] == after["name"]


def test_nothing_is_left_of_it(lives: tuple[DeploymentLifecycle, DeploymentLifecycle]) -> None:
    for life in lives:
        left = set(life.destroyed.resources) - set(life.before_apply.resources)
        # Fields are Firestore's own, and go with the database; services of Google stay enabled for others.
        # Keys and key rings cannot be deleted; versions of keys can.
        keys = {name for name in left if re.fullmatch(r"kms/.+/(keyRings|cryptoKeys)/[^/]+", name)}
        assert {name for name in left - keys if "/collectionGroups/" not in name} == {"service_usage/enabled"}
        assert all("indexConfig" not in field for field in life.destroyed.of("firestore").values())


def test_all_regions_run_the_image_and_read_the_key_of_the_cdn(
    lives: tuple[DeploymentLifecycle, DeploymentLifecycle],
) -> None:
    regions = ("europe-west1", "us-central1")
    place = "cloud_run_v2/projects/{}/locations/{}/services/lading"
    services = [lives[1].changed.resources[place.format(PROJECT, region)] for region in regions]
    first, second = (each["template"] for each in services)
    assert first == second
    assert {"name": "LADING_CDN_KEY", "value": "/secrets/cdn/key"} in first["containers"][0]["env"]
    assert first["containers"][0]["volumeMounts"] == [{"name": "cdn", "mountPath": "/secrets/cdn"}]
    assert first["volumes"][0]["secret"]["items"][0]["path"] == "key"
    (name,) = lives[1].applied.resources[BACKEND]["cdnPolicy"]["signedUrlKeyNames"]
    (secret,) = lives[1].applied.of(f"secret_manager/projects/{PROJECT}/secrets/lading-cdn/versions/").values()
    expected = f"https://blobs.registry.example.com {name} {OPTIONS['cdn_key']}"
    assert base64.b64decode(secret["payload"]["data"]).decode() == expected


def test_another_key_of_the_cdn_is_there_before_it_is_used_and_the_one_before_goes_last(
    lives: tuple[DeploymentLifecycle, DeploymentLifecycle],
) -> None:
    calls = lives[1].calls
    (before,) = lives[1].applied.resources[BACKEND]["cdnPolicy"]["signedUrlKeyNames"]
    (after,) = lives[1].changed.resources[BACKEND]["cdnPolicy"]["signedUrlKeyNames"]
    assert before != after
    added, removed = calls.index(f"POST {BACKEND}/addSignedUrlKey"), calls.index(f"POST {BACKEND}/deleteSignedUrlKey")
    patched = [at for at, call in enumerate(calls) if re.fullmatch(r"PATCH cloud_run_v2/.*/services/lading", call)]
    assert added < calls.index(f"POST secret_manager/projects/{PROJECT}/secrets/lading-cdn:addVersion") < min(patched)
    assert len(patched) == 2
    assert max(patched) < removed


def test_who_may_not_come_to_the_service_may_not_come_to_the_cdn(
    lives: tuple[DeploymentLifecycle, DeploymentLifecycle],
) -> None:
    _, everything = lives
    compute = f"compute/projects/{PROJECT}/global"
    before_cache = everything.applied.resources[f"{compute}/backendBuckets/lading-blobs"]["edgeSecurityPolicy"]
    assert before_cache.endswith("/securityPolicies/lading-edge")
    edge = everything.applied.resources[f"{compute}/securityPolicies/lading-edge"]
    front = everything.applied.resources[f"{compute}/securityPolicies/lading"]
    assert edge["type"] == "CLOUD_ARMOR_EDGE"
    for policy in (edge, front):
        rules = {rule["priority"]: rule for rule in policy["rules"]}
        assert rules[2000]["match"]["config"]["srcIpRanges"] == ["192.0.2.0/24"]
        assert rules[2147483647]["action"] == "deny(403)"


def test_the_first_keys_are_there_and_nowhere_else(life: DeploymentLifecycle) -> None:
    versions = f"secret_manager/projects/{PROJECT}/secrets/lading-keys/versions/"
    (version,) = life.applied.of(versions).values()
    document = base64.b64decode(version["payload"]["data"])
    keys = from_json(document)
    assert len(keys.tokens[0].secret) == len(keys.robots) == 32
    assert keys.tokens[0].secret != keys.robots
    for secret in (json.loads(document)["tokens"][0]["key"], json.loads(document)["robots"]):
        assert secret not in life.applied.state
        assert secret not in life.second_plan.stdout
    assert life.changed.of(versions) == life.applied.of(versions)


def test_the_settings_are_ones_that_the_program_knows(life: DeploymentLifecycle) -> None:
    for name in ("registry", "collect", "publish", "scan"):
        function = life.applied.resources[f"cloudfunctions2/{HERE}/functions/lading-{name}"]
        given = function["serviceConfig"]["environmentVariables"]
        assert {each for each in given if each.startswith("LADING_")} == {"LADING_CONFIG", "LADING_SOURCE_HASH"}
        read = settings.load_settings({**given, "K_SERVICE": name})
        assert read.blobs == f"gs://{PROJECT}-lading-blobs"
        assert read.metadata == f"firestore://{PROJECT}/lading"
        assert read.url == life.applied.resources[SERVICE]["uri"]


def test_each_new_event_calls_the_publisher_and_so_does_the_sweep(life: DeploymentLifecycle) -> None:
    trigger = life.applied.resources[f"eventarc/{HERE}/triggers/lading-publish"]
    sweep = life.applied.resources[f"cloud_scheduler/{HERE}/jobs/lading-publish"]
    function = life.applied.resources[f"cloudfunctions2/{HERE}/functions/lading-publish"]
    filters = {each["attribute"]: each["value"] for each in trigger["eventFilters"]}
    assert filters.pop("document") == f"{Event.KIND}/{{id}}"
    assert filters == {"type": "google.cloud.firestore.document.v1.created", "database": "lading"}
    assert trigger["destination"] == {"cloudRun": {"service": "lading-publish", "region": "europe-west1"}}
    assert sweep["httpTarget"]["uri"] == function["serviceConfig"]["uri"]
    read = settings.load_settings(function["serviceConfig"]["environmentVariables"])
    callers = {trigger["serviceAccount"], sweep["httpTarget"]["oidcToken"]["serviceAccountEmail"]}
    assert callers == {read.publisher}


def test_each_new_image_calls_the_scanner_and_so_does_the_sweep(life: DeploymentLifecycle) -> None:
    trigger = life.applied.resources[f"eventarc/{HERE}/triggers/lading-scan"]
    sweep = life.applied.resources[f"cloud_scheduler/{HERE}/jobs/lading-scan"]
    function = life.applied.resources[f"cloudfunctions2/{HERE}/functions/lading-scan"]
    filters = {each["attribute"]: each["value"] for each in trigger["eventFilters"]}
    assert filters.pop("document") == path_of(Key(Facts, "{digest}", "{name}"))
    assert filters == {"type": "google.cloud.firestore.document.v1.created", "database": "lading"}
    assert trigger["destination"] == {"cloudRun": {"service": "lading-scan", "region": "europe-west1"}}
    assert sweep["httpTarget"]["uri"] == function["serviceConfig"]["uri"]
    read = settings.load_settings(function["serviceConfig"]["environmentVariables"])
    callers = {trigger["serviceAccount"], sweep["httpTarget"]["oidcToken"]["serviceAccountEmail"]}
    assert callers == {read.collector}
    assert function["serviceConfig"]["serviceAccountEmail"] == read.scanner
    assert scans_images(read)


def test_the_publisher_knows_the_topics(lives: tuple[DeploymentLifecycle, DeploymentLifecycle]) -> None:
    for life, notifications in zip(lives, ("lading-notifications", "gcr"), strict=True):
        variables = life.applied.resources[f"cloudfunctions2/{HERE}/functions/lading-publish"]["serviceConfig"]
        read = settings.load_settings(variables["environmentVariables"])
        assert read.events_topic == f"projects/{PROJECT}/topics/lading-events"
        assert read.notifications_topic == f"projects/{PROJECT}/topics/{notifications}"
        for topic in (read.events_topic, read.notifications_topic):
            assert f"pubsub/{topic}" in life.applied.resources
    # An existing topic is not the deployment's.
    assert lives[1].destroyed.resources[EXISTING_TOPIC] == lives[1].before_apply.resources[EXISTING_TOPIC]


def test_dead_letters_are_kept_and_pub_sub_may_move_them(life: DeploymentLifecycle) -> None:
    topic = f"projects/{PROJECT}/topics/lading-events-dead"
    subscription = life.applied.resources[f"pubsub/projects/{PROJECT}/subscriptions/lading-events-dead"]
    assert subscription["topic"] == topic
    assert subscription["expirationPolicy"] == {"ttl": ""} or not subscription["expirationPolicy"]
    agent = f"serviceAccount:service-{NUMBER}@gcp-sa-pubsub.iam.gserviceaccount.com"
    (binding,) = life.applied.policies[f"pubsub/{topic}"]["bindings"]
    assert binding == {"role": "roles/pubsub.publisher", "members": [agent]}

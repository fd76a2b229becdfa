"""A deployment, from its first apply to its end, by the real provider against the fake control plane."""

import base64
import io
import json
import re
import zipfile

from functions import settings
from functions.auth.keys import from_json
from tests.terraform.apis import PROJECT
from tests.terraform.conftest import Life
from tests.terraform.program import ROOT

HERE = f"projects/{PROJECT}/locations/europe-west1"
SERVICE = f"cloud_run_v2/{HERE}/services/lading"
BLOBS = f"storage/b/{PROJECT}-lading-blobs"
POLICIES = f"storage/b/{PROJECT}-lading-policies"


def kinds(life: Life) -> set[str]:
    """The kinds of resources that an apply made."""
    return {each["type"] for each in json.loads(life.applied.state)["resources"] if each["mode"] == "managed"}


def test_one_apply_makes_everything(lives: tuple[Life, Life]) -> None:
    declared = set()
    for file in (ROOT / "terraform").glob("*.tf"):
        declared |= set(re.findall(r'^resource "(google_\w+)"', file.read_text(), re.MULTILINE))
    default, everything = lives
    assert declared - kinds(everything) - kinds(default) == {"google_kms_crypto_key_iam_member"}
    assert {kind for kind in kinds(everything) - kinds(default) if not kind.startswith("google_compute_")} == set()


def test_a_second_plan_is_empty(lives: tuple[Life, Life]) -> None:
    for life in lives:
        assert life.second_plan.returncode == 0, life.second_plan.stdout
        assert "No changes." in life.second_plan.stdout


def test_the_service_runs_the_image_that_the_function_built(life: Life) -> None:
    built = life.applied.resources[f"cloud_run_v2/{HERE}/services/lading-registry"]
    container = life.applied.resources[SERVICE]["template"]["containers"][0]
    assert container["image"] == built["template"]["containers"][0]["image"]
    assert container["ports"] == [{"name": "h2c", "containerPort": 8080}]
    assert {"name": "FUNCTION_TARGET", "value": "registry"} in container["env"]


def test_a_change_of_code_reaches_the_service_in_one_apply(life: Life) -> None:
    before, after = life.applied.resources[SERVICE], life.changed.resources[SERVICE]
    assert before["template"]["containers"][0]["image"] != after["template"]["containers"][0]["image"]
    built = life.changed.resources[f"cloud_run_v2/{HERE}/services/lading-registry"]
    assert after["template"]["containers"][0]["image"] == built["template"]["containers"][0]["image"]


def test_a_change_of_code_is_what_is_sent(life: Life) -> None:
    sources = f"storage/b/{PROJECT}-lading-source/o/"
    for name in ("registry", "collect"):
        (before,) = [each for each in life.applied.of(sources).values() if each["name"].startswith(name)]
        (after,) = [each for each in life.changed.of(sources).values() if each["name"].startswith(name)]
        assert before["name"] != after["name"]
        for object, line in ((before, False), (after, True)):
            with zipfile.ZipFile(io.BytesIO(base64.b64decode(object["media"]))) as archive:
                assert archive.read("main.py").endswith(b"# changed\n") is line
        function = life.changed.resources[f"cloudfunctions2/{HERE}/functions/lading-{name}"]
        assert function["buildConfig"]["source"]["storageSource"]["object"] == after["name"]


def test_nothing_is_left_of_it(lives: tuple[Life, Life]) -> None:
    for life in lives:
        left = set(life.destroyed.resources) - set(life.untouched.resources)
        # Fields are Firestore's own, and go with the database; services of Google stay enabled for others.
        assert {name for name in left if "/collectionGroups/" not in name} == {"service_usage/enabled"}
        assert all("indexConfig" not in field for field in life.destroyed.of("firestore").values())


def test_all_regions_run_the_image_and_read_the_key_of_the_cdn(lives: tuple[Life, Life]) -> None:
    regions = ("europe-west1", "us-central1")
    place = "cloud_run_v2/projects/{}/locations/{}/services/lading"
    services = [lives[1].changed.resources[place.format(PROJECT, region)] for region in regions]
    first, second = (each["template"] for each in services)
    assert first == second
    assert {"name": "LADING_CDN_KEY", "value": "/secrets/cdn/key"} in first["containers"][0]["env"]
    assert first["containers"][0]["volumeMounts"] == [{"name": "cdn", "mountPath": "/secrets/cdn"}]
    assert first["volumes"][0]["secret"]["items"][0]["path"] == "key"
    (secret,) = lives[1].applied.of(f"secret_manager/projects/{PROJECT}/secrets/lading-cdn/versions/").values()
    assert (
        base64.b64decode(secret["payload"]["data"])
        == b"https://blobs.registry.example.com lading AAECAwQFBgcICQoLDA0ODw=="
    )


def test_who_may_not_come_to_the_service_may_not_come_to_the_cdn(lives: tuple[Life, Life]) -> None:
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


def test_the_first_keys_are_there_and_nowhere_else(life: Life) -> None:
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


def test_the_settings_are_ones_that_the_program_knows(life: Life) -> None:
    known = {setting.variable for setting in settings.SETTINGS}
    for name in ("registry", "collect"):
        function = life.applied.resources[f"cloudfunctions2/{HERE}/functions/lading-{name}"]
        given = function["serviceConfig"]["environmentVariables"]
        assert {variable for variable in given if variable.startswith("LADING_")} <= known
        read = settings.read({**given, "K_SERVICE": name})
        assert read.blobs == f"gs://{PROJECT}-lading-blobs"
        assert read.metadata == f"firestore://{PROJECT}/lading"
        assert read.url == life.applied.resources[SERVICE]["uri"]

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


def test_one_apply_makes_everything(life: Life) -> None:
    declared = set()
    for file in (ROOT / "terraform").glob("*.tf"):
        declared |= set(re.findall(r'^resource "(google_\w+)"', file.read_text(), re.MULTILINE))
    made = {each["type"] for each in json.loads(life.applied.state)["resources"] if each["mode"] == "managed"}
    off_by_default = {kind for kind in declared if kind.startswith(("google_compute_", "google_kms_"))}
    assert declared - made == off_by_default


def test_a_second_plan_is_empty(life: Life) -> None:
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
    (before,) = life.applied.of(f"storage/b/{PROJECT}-lading-source/o/").values()
    (after,) = life.changed.of(f"storage/b/{PROJECT}-lading-source/o/").values()
    assert before["name"] != after["name"]
    for object, line in ((before, False), (after, True)):
        with zipfile.ZipFile(io.BytesIO(base64.b64decode(object["media"]))) as archive:
            assert archive.read("main.py").endswith(b"# changed\n") is line
    for name in ("registry", "collect"):
        function = life.changed.resources[f"cloudfunctions2/{HERE}/functions/lading-{name}"]
        assert function["buildConfig"]["source"]["storageSource"]["object"] == after["name"]


def test_nothing_is_left_of_it(life: Life) -> None:
    left = set(life.destroyed.resources) - set(life.untouched.resources)
    # Fields are Firestore's own, and go with the database; services of Google stay enabled for others.
    assert {name for name in left if "/collectionGroups/" not in name} == {"service_usage/enabled"}
    assert all("indexConfig" not in field for field in life.destroyed.of("firestore").values())


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

"""The attester of a deployment: what it may do, who calls it, and that the attestor accepts what it signs."""

import re

import google.auth
import pytest

from emulators import Emulators
from lading import settings
from lading.attester.attestation import Image, key_id
from lading.attester.attestations import Attestations, Written
from lading.attester.google_api import GoogleApi
from lading.registry.events.event_types import EVENT_TYPES
from lading_storage.digests import digest_of
from tests.support.binary_authorization import add_attestor
from tests.support.binary_authorization import pem as attestor_pem
from tests.support.fake_iam_world import FakeIamWorld
from tests.terraform.apis import PROJECT
from tests.terraform.calls import recorded
from tests.terraform.deployed_permissions import Runtime, account_of, check, granted, permissions_of, settings_of
from tests.terraform.deployment_lifecycle import DeploymentLifecycle, DeploymentState


def own_bindings(moment: DeploymentState, path: str, member: str) -> dict[str, list[str]]:
    """The permissions that the policy of a resource gives to one member: not all roles of others are known here."""
    bindings = [each for each in moment.policies[path]["bindings"] if member in each["members"]]
    return {member: [each for binding in bindings for each in permissions_of(moment, binding["role"])]}


def test_the_attester_may_do_what_it_calls_and_nothing_elsewhere(
    lives: tuple[DeploymentLifecycle, DeploymentLifecycle], emulators: Emulators, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, everything = lives
    read = settings.load_settings(settings_of(everything.applied, "attest"))
    world = FakeIamWorld(emulators.iam)
    token = add_attestor(world)
    member = f"serviceAccount:{account_of(everything.applied, 'attest')}"
    key = read.attestation_key.partition("/cryptoKeyVersions/")[0]
    resources = {
        "notes": (read.attestation_note, f"container_analysis/{read.attestation_note}"),
        "cryptoKeys": (key, f"kms/{key}"),
        "projects": (PROJECT, f"resource_manager/projects/{PROJECT}"),
    }
    held = {kind: own_bindings(everything.applied, path, member) for kind, (_, path) in resources.items()}
    versions = {"1": attestor_pem("1"), "2": attestor_pem("2")}
    world.fields |= {
        "notes": {read.attestation_note: {"bindings": held["notes"]}},
        "cryptoKeys": {key: {"bindings": held["cryptoKeys"], "versions": versions}},
        "projects": {PROJECT: held["projects"]},
    }
    world.fields["tokens"][token]["email"] = account_of(everything.applied, "attest")
    world.save()
    monkeypatch.setenv("LADING_IAM_EMULATOR_HOST", emulators.iam.url)
    monkeypatch.setenv("GCE_METADATA_HOST", "never.asked")
    monkeypatch.setattr(google.auth, "default", lambda **_: (Runtime(token), PROJECT))  # type: ignore[no-untyped-call]
    image = Image("registry.example.com", "team-a/app", digest_of(b"image"))
    with recorded() as calls:
        for version in ("1", "2"):
            signed = f"{key}/cryptoKeyVersions/{version}"
            assert Attestations(GoogleApi(), read.attestation_note, signed, Written()).attest(image)
    check(calls, granted(everything.applied, "attest"))
    granted_on = {name for name, policy in everything.applied.policies.items() if member in str(policy)}
    assert granted_on == {path for _, path in resources.values()}


def test_only_the_scheduler_and_pub_sub_call_the_attester(
    lives: tuple[DeploymentLifecycle, DeploymentLifecycle],
) -> None:
    applied = lives[1].applied
    place = f"projects/{PROJECT}/locations/europe-west1"
    read = settings.load_settings(settings_of(applied, "attest"))
    (binding,) = applied.policies[f"cloud_run_v2/{place}/services/lading-attest"]["bindings"]
    assert binding == {"role": "roles/run.invoker", "members": [f"serviceAccount:{read.collector}"]}
    subscription = applied.resources[f"pubsub/projects/{PROJECT}/subscriptions/lading-attest"]
    function = applied.resources[f"cloudfunctions2/{place}/functions/lading-attest"]["serviceConfig"]
    job = applied.resources[f"cloud_scheduler/{place}/jobs/lading-attest"]["httpTarget"]
    assert subscription["topic"] == read.events_topic
    assert subscription["pushConfig"]["pushEndpoint"] == function["uri"] == job["uri"]
    callers = {subscription["pushConfig"]["oidcToken"]["serviceAccountEmail"], job["oidcToken"]["serviceAccountEmail"]}
    assert callers == {read.collector}
    assert function["serviceAccountEmail"] == read.attester == account_of(applied, "attest")
    types = set(re.findall(r"dev\.lading\.([a-z.]+)\.v1", subscription["filter"]))
    assert types <= {*EVENT_TYPES, "image.scanned"}


def test_the_attestor_accepts_the_key_that_the_function_signs_with(
    lives: tuple[DeploymentLifecycle, DeploymentLifecycle],
) -> None:
    applied = lives[1].applied
    read = settings.load_settings(settings_of(applied, "attest"))
    (attestor,) = applied.of("binary_authorization/").values()
    note = attestor["userOwnedGrafeasNote"]
    (key,) = note["publicKeys"]
    assert note["noteReference"] == read.attestation_note
    assert key["id"] == key_id(read.attestation_key)
    assert key["pkixPublicKey"]["signatureAlgorithm"] == "ECDSA_P256_SHA256"
    assert key["pkixPublicKey"]["publicKeyPem"].startswith("-----BEGIN PUBLIC KEY-----")
    assert f"container_analysis/{read.attestation_note}" in applied.resources

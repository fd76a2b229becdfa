"""What a deployment grants, as the fake of IAM has it: from the policies and roles that Terraform made."""

import json
from collections import defaultdict
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import unquote

import google.oauth2.credentials

from emulators.iam import IamEmulator
from lading.auth.google.secret_manager import EMULATOR_CREDENTIAL
from tests.support.fake_iam_world import PLATFORM_SCOPE, pem, private_key, public_pem
from tests.terraform.apis import PROJECT
from tests.terraform.calls import Calls
from tests.terraform.deployment_lifecycle import DeploymentState

RUNTIME: Final = "ya29.runtime"
DEVELOPER: Final = "ya29.developer"
"""The tokens of the registry's own account, and of a member of group:team-a@example.com."""

PREDEFINED: Final = {
    "roles/storage.objectViewer": ["storage.objects.get", "storage.objects.list"],
    "roles/storage.objectCreator": ["storage.objects.create"],
    "roles/storage.objectUser": [
        *("storage.objects.get", "storage.objects.list", "storage.objects.create"),
        *("storage.objects.update", "storage.objects.delete"),
    ],
    "roles/storage.admin": ["storage.objects.get", "storage.objects.create", "storage.objects.delete"],
    "roles/containeranalysis.notes.occurrences.viewer": ["containeranalysis.notes.listOccurrences"],
    "roles/pubsub.publisher": ["pubsub.topics.publish"],
}
"""What Google's own roles hold, as far as anybody asks here (https://cloud.google.com/storage/docs/access-control/iam-roles)."""

Bindings = Mapping[str, list[str]]


def account_of(moment: DeploymentState, function: str) -> str:
    """The e-mail address of the account that a function runs as."""
    name = f"cloudfunctions2/projects/{PROJECT}/locations/europe-west1/functions/lading-{function}"
    address: str = moment.resources[name]["serviceConfig"]["serviceAccountEmail"]
    return address


def settings_of(moment: DeploymentState, function: str = "registry") -> Mapping[str, str]:
    """The environment variables of a function."""
    name = f"cloudfunctions2/projects/{PROJECT}/locations/europe-west1/functions/lading-{function}"
    variables: Mapping[str, str] = moment.resources[name]["serviceConfig"]["environmentVariables"]
    return variables


def permissions_of(moment: DeploymentState, role: str) -> list[str]:
    """What a role holds: one that the deployment made, or one of Google's."""
    if role in PREDEFINED:
        return PREDEFINED[role]
    held: list[str] = moment.resources[f"iam_beta/{role}"]["includedPermissions"]
    return held


def bindings_of(moment: DeploymentState, name: str) -> Bindings:
    """The permissions that the policy of a resource gives to each member."""
    held: defaultdict[str, list[str]] = defaultdict(list)
    for binding in moment.policies.get(name, {}).get("bindings", []):
        for member in binding["members"]:
            held[member] += permissions_of(moment, binding["role"])
    return held


def write_iam_world(moment: DeploymentState, iam: IamEmulator) -> None:
    """Let the fake answer as Google would after the deployment."""
    registry = account_of(moment, "registry")
    policies = f"storage/b/{PROJECT}-lading-policies"
    folders = f"{policies}/managedFolders/"
    key = private_key()
    world: dict[str, Any] = {
        "tokens": {
            RUNTIME: {"email": registry, "sub": "1", "azp": "1", "scope": PLATFORM_SCOPE},
            EMULATOR_CREDENTIAL: {"email": registry, "sub": "1", "azp": "1", "scope": PLATFORM_SCOPE},
            DEVELOPER: {"email": "developer@example.com", "sub": "2", "azp": "2", "scope": PLATFORM_SCOPE},
        },
        "groups": {"group:team-a@example.com": ["user:developer@example.com"]},
        "keys": {"1": {"email": registry, "public": public_pem(key), "private": pem(key)}},
        "buckets": {
            f"{PROJECT}-lading-policies": {
                "bindings": bindings_of(moment, policies),
                "managedFolders": {
                    unquote(name.removeprefix(folders)): bindings_of(moment, name) for name in moment.of(folders)
                },
            }
        },
        "serviceAccounts": {registry: bindings_of(moment, f"iam_beta/projects/{PROJECT}/serviceAccounts/{registry}")},
        "secrets": {
            f"{PROJECT}/lading-keys": {
                "bindings": bindings_of(moment, f"secret_manager/projects/{PROJECT}/secrets/lading-keys"),
                "versions": [
                    version["payload"]["data"]
                    for version in moment.of(
                        f"secret_manager/projects/{PROJECT}/secrets/lading-keys/versions/"
                    ).values()
                ],
            }
        },
    }
    iam.world.write_text(json.dumps(world))


def granted(moment: DeploymentState, function: str) -> set[str]:
    """All permissions of a function's account, wherever."""
    member = f"serviceAccount:{account_of(moment, function)}"
    return {
        permission
        for policy in moment.policies.values()
        for binding in policy.get("bindings", [])
        if member in binding["members"]
        for permission in permissions_of(moment, binding["role"])
    }


class Runtime(google.oauth2.credentials.Credentials):
    """Who a function is, as the metadata server would say."""

    service_account_email = ""


def check(calls: Calls, rights: set[str]) -> None:
    assert not calls.unknown, "each call is in the tables of calls.py"
    assert calls.needed - rights == set(), "what it calls and may not"
    assert rights - calls.needed == set(), "what it may and never calls"

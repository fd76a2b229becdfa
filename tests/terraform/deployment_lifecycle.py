"""One deployment, from its first apply to its end."""

import copy
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.terraform.apis import PROJECT, Assumptions, Resource
from tests.terraform.control_plane import ControlPlane
from tests.terraform.terraform_cli import Terraform, without_code, without_protection, without_wait


@dataclass(frozen=True)
class DeploymentState:
    """What there was at Google at one moment, and what Terraform knew."""

    resources: dict[str, Resource]
    policies: dict[str, Resource]
    state: str

    def of(self, collection: str) -> dict[str, Resource]:
        """The resources whose path begins so."""
        return {name: each for name, each in self.resources.items() if name.startswith(collection)}


@dataclass(frozen=True)
class DeploymentLifecycle:
    """One deployment.

    untouched    before anything
    applied      after the first apply
    second_plan  what Terraform wanted to do then
    changed      after the code was changed, and `changes` of variables were made, and applied
    calls        what that apply asked
    third_plan   what Terraform wanted to do then
    destroyed    at the end
    """

    before_apply: DeploymentState
    applied: DeploymentState
    second_plan: subprocess.CompletedProcess[str]
    changed: DeploymentState
    calls: list[str]
    third_plan: subprocess.CompletedProcess[str]
    destroyed: DeploymentState


TEAM: Final = "group:team-a@example.com"


REPOSITORIES: Final = {
    "team-a/": {"writers": [TEAM], "readers": ["domain:example.com"]},
    "team-a/old/": {"admins": [TEAM]},
}


OPTIONS: Final = {
    "domain": "registry.example.com",
    "more_regions": ["us-central1"],
    "armor": {"requests_per_minute": 600, "allowed_ranges": ["192.0.2.0/24"]},
    "cdn_key": "AAECAwQFBgcICQoLDA0ODw==",
    "kms_key": "projects/fake-project/locations/europe-west1/keyRings/r/cryptoKeys/k",
    "kms_keys": {"source": "projects/fake-project/locations/europe-west1/keyRings/r/cryptoKeys/source"},
    "owners": ["group:platform@example.com"],
    "notifications_topic": "gcr",
    "attest": {"repositories": ["team-a/*"]},
}


EXISTING_TOPIC: Final = f"pubsub/projects/{PROJECT}/topics/gcr"
"""The topic that Artifact Registry's users have."""


OTHER_KEY: Final = {"cdn_key": "DwDODQwLCgkIBwYFBAMCAQ=="}


def live(
    terraform: Terraform, source: Path, root: Path, guesses: Assumptions, changes: Resource, **variables: Any
) -> DeploymentLifecycle:
    """Deploy a checkout to a fake control plane of its own, and do all that is done to a deployment."""
    without_protection(without_wait(source))
    with ControlPlane(guesses) as google:
        google.resources[EXISTING_TOPIC] = {"name": EXISTING_TOPIC.partition("/")[2]}

        def moment() -> DeploymentState:
            state = root / "terraform.tfstate"
            known = state.read_text() if state.exists() else ""
            return DeploymentState(copy.deepcopy(google.resources), copy.deepcopy(google.policies), known)

        def do(*command: str) -> DeploymentState:
            terraform.run(root, *command, "-auto-approve", "-input=false", "-no-color", "-parallelism=64")
            return moment()

        def plan() -> subprocess.CompletedProcess[str]:
            return terraform.run(root, "plan", "-detailed-exitcode", "-input=false", "-no-color", fails=True)

        def configure(**changes: Any) -> None:
            settings = {"project_id": PROJECT, "deletion_protection": False, **variables, **changes}
            terraform.root(root, source, google.provider, **settings)

        untouched = moment()
        configure()
        applied = do("apply")
        second_plan = plan()
        asked = len(google.calls)
        configure(**changes)
        without_code(source)  # if it is whole: the plans from here on are made of less
        with (source / "functions" / "main.py").open("a") as code:
            code.write("# changed\n")
        changed = do("apply")
        calls = google.calls[asked:]
        return DeploymentLifecycle(untouched, applied, second_plan, changed, calls, plan(), do("destroy"))

"""Fixtures: Terraform with its providers, and one deployment from its first apply to its end."""

import copy
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.needs import missing, program
from tests.terraform.apis import PROJECT, Resource
from tests.terraform.control_plane import ControlPlane
from tests.terraform.program import Terraform, checkout


@pytest.fixture(scope="session")
def terraform() -> Terraform:
    """The program, and the providers, which the first run on a machine builds."""
    found = program("terraform", "go install github.com/hashicorp/terraform@v1.11.4")
    program("go", "https://go.dev")
    build = Path(__file__).parent / "providers" / "build"
    built = subprocess.run([build], capture_output=True, text=True, timeout=1800, check=False)
    if built.returncode:
        missing(f"the providers cannot be built:\n{built.stderr}")
    return Terraform(found, Path(built.stdout.strip()))


@dataclass(frozen=True)
class Moment:
    """What there was at Google at one moment, and what Terraform knew."""

    resources: dict[str, Resource]
    policies: dict[str, Resource]
    state: str

    def of(self, collection: str) -> dict[str, Resource]:
        """The resources whose path begins so."""
        return {name: each for name, each in self.resources.items() if name.startswith(collection)}


@dataclass(frozen=True)
class Life:
    """One deployment.

    untouched    before anything
    applied      after the first apply
    second_plan  what Terraform wanted to do then
    changed      after a line of code was changed, and applied
    destroyed    at the end
    """

    untouched: Moment
    applied: Moment
    second_plan: subprocess.CompletedProcess[str]
    changed: Moment
    destroyed: Moment


@pytest.fixture(scope="session")
def life(terraform: Terraform, tmp_path_factory: pytest.TempPathFactory) -> Life:
    """A deployment of everything that is there by default, to the fake control plane."""
    folder = tmp_path_factory.mktemp("life")
    source, root = checkout(folder / "checkout"), folder / "root"
    with ControlPlane() as google:

        def moment() -> Moment:
            state = root / "terraform.tfstate"
            known = state.read_text() if state.exists() else ""
            return Moment(copy.deepcopy(google.resources), copy.deepcopy(google.policies), known)

        def do(*command: str) -> Moment:
            terraform.run(root, *command, "-auto-approve", "-input=false", "-no-color", "-parallelism=64")
            return moment()

        untouched = moment()
        provider = {"access_token": "ya29.fake", "batching": [{"enable_batching": False}], **google.endpoints}
        team = "group:team-a@example.com"
        repositories = {
            "team-a/": {"writers": [team], "readers": ["domain:example.com"]},
            "team-a/old/": {"admins": [team]},
        }
        terraform.root(root, source, provider, project_id=PROJECT, repositories=repositories, deletion_protection=False)
        applied = do("apply")
        second_plan = terraform.run(root, "plan", "-detailed-exitcode", "-input=false", "-no-color", fails=True)
        with (source / "functions" / "main.py").open("a") as code:
            code.write("# changed\n")
        return Life(untouched, applied, second_plan, do("apply"), do("destroy"))

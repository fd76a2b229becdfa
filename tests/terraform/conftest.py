"""Fixtures: Terraform with its providers, and one deployment from its first apply to its end."""

import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.requirements import find_program, skip_or_fail
from tests.terraform.apis import Assumptions
from tests.terraform.deployment_lifecycle import OPTIONS, OTHER_KEY, REPOSITORIES, DeploymentLifecycle, live
from tests.terraform.terraform_cli import Terraform


@pytest.fixture(scope="session")
def terraform() -> Terraform:
    """The program, and the providers, which the first run on a machine builds."""
    found = find_program("terraform", "go install github.com/hashicorp/terraform@v1.11.4")
    find_program("go", "https://go.dev")
    build = Path(__file__).parent / "providers" / "build"
    built = subprocess.run([build], capture_output=True, text=True, timeout=1800, check=False)
    if built.returncode:
        skip_or_fail(f"the providers cannot be built:\n{built.stderr}")
    return Terraform(found, Path(built.stdout.strip()))


@pytest.fixture(scope="session")
def lives(
    terraform: Terraform, tmp_path_factory: pytest.TempPathFactory
) -> tuple[DeploymentLifecycle, DeploymentLifecycle]:
    """A deployment as it is by default, and one with all options. Most of their time the provider waits, so at once.

    Of what the fake guesses, each has another answer.
    """
    tag, digest = Assumptions(service_tells_digest=False), Assumptions(service_tells_digest=True)
    with ThreadPoolExecutor(2) as pool:
        default = pool.submit(live, terraform, tmp_path_factory.mktemp("life"), tag, {}, repositories=REPOSITORIES)
        everything = pool.submit(live, terraform, tmp_path_factory.mktemp("all"), digest, OTHER_KEY, **OPTIONS)
        return default.result(), everything.result()


@pytest.fixture(scope="session")
def life(lives: tuple[DeploymentLifecycle, DeploymentLifecycle]) -> DeploymentLifecycle:
    """A deployment of everything that is there by default."""
    return lives[0]

"""Fixtures: two deployments from their first apply to their end, which the tests of this folder share."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.terraform.apis import Assumptions
from tests.terraform.deployment_lifecycle import OPTIONS, OTHER_KEY, REPOSITORIES, DeploymentLifecycle, live
from tests.terraform.terraform_cli import Terraform, checkout


@pytest.fixture(scope="session")
def lives(
    terraform: Terraform, tmp_path_factory: pytest.TempPathFactory
) -> tuple[DeploymentLifecycle, DeploymentLifecycle]:
    """A deployment as it is by default, and one with all options. Most of their time the provider waits, so at once.

    Of what the fake guesses, each has another answer. The default one has the program's code, which its tests run.
    """
    tag, digest = Assumptions(service_tells_digest=False), Assumptions(service_tells_digest=True)
    folder = tmp_path_factory.mktemp("lives")
    whole, evaluated = checkout(folder / "whole", whole=True), checkout(folder / "evaluated")
    with ThreadPoolExecutor(2) as pool:
        default = pool.submit(live, terraform, whole, folder / "default", tag, {}, repositories=REPOSITORIES)
        everything = pool.submit(live, terraform, evaluated, folder / "everything", digest, OTHER_KEY, **OPTIONS)
        return default.result(), everything.result()


@pytest.fixture(scope="session")
def life(lives: tuple[DeploymentLifecycle, DeploymentLifecycle]) -> DeploymentLifecycle:
    """A deployment of everything that is there by default."""
    return lives[0]

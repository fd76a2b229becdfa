"""Envoy as a sidecar: a deployment gets it by one apply, and loses it by another."""

import copy
import json
import re
import subprocess
from dataclasses import dataclass
from typing import Any, Final

import pytest

from lading.server.envoy_config import OPTIONS, bootstrap
from lading.settings import load_settings
from tests.terraform import envoy_file
from tests.terraform.apis import PROJECT, Resource
from tests.terraform.control_plane import ControlPlane
from tests.terraform.terraform_cli import Terraform, checkout, without_wait

IMAGE: Final = f"docker.io/envoyproxy/envoy@sha256:{'0' * 64}"
HERE: Final = f"projects/{PROJECT}/locations/europe-west1"
SERVICE: Final = f"cloud_run_v2/{HERE}/services/lading"
FUNCTION: Final = f"cloudfunctions2/{HERE}/functions/lading-registry"


@dataclass(frozen=True)
class Shape:
    """What there is after an apply, and the plan that follows it."""

    resources: dict[str, Resource]
    next_plan: subprocess.CompletedProcess[str]

    @property
    def containers(self) -> list[Resource]:
        """The containers of the service."""
        containers: list[Resource] = self.resources[SERVICE]["template"]["containers"]
        return containers

    @property
    def source(self) -> str:
        """The name of the function's source, which has its hash."""
        return str(self.resources[FUNCTION]["buildConfig"]["source"]["storageSource"]["object"])


@pytest.fixture(scope="module")
def shapes(terraform: Terraform, tmp_path_factory: pytest.TempPathFactory) -> list[Shape]:
    """A deployment without a sidecar, then with it, then without it again."""
    folder = tmp_path_factory.mktemp("sidecar")
    source, root = without_wait(checkout(folder / "checkout")), folder / "root"
    options = ("-input=false", "-no-color", "-parallelism=64")
    shapes = []
    with ControlPlane() as google:
        for variables in ({}, {"envoy_image": IMAGE}, {}):
            given: dict[str, Any] = {"project_id": PROJECT, "deletion_protection": False, **variables}
            terraform.root(root, source, google.provider, **given)
            terraform.run(root, "apply", "-auto-approve", *options)
            plan = terraform.run(root, "plan", "-detailed-exitcode", *options, fails=True)
            shapes.append(Shape(copy.deepcopy(google.resources), plan))
    return shapes


def variables(container: Resource) -> dict[str, str]:
    """Return the environment variables of a container."""
    return {each["name"]: each["value"] for each in container["env"]}


def test_each_plan_after_an_apply_is_empty(shapes: list[Shape]) -> None:
    for shape in shapes:
        assert shape.next_plan.returncode == 0, shape.next_plan.stdout


def test_requests_go_to_envoy_which_starts_once_the_server_listens(shapes: list[Shape]) -> None:
    envoy, registry = shapes[1].containers
    assert (envoy["name"], envoy["image"]) == ("envoy", IMAGE)
    assert envoy["ports"] == [{"name": "h2c", "containerPort": 8080}]
    assert envoy["startupProbe"]["tcpSocket"] == {"port": 8080}
    assert envoy["dependsOn"] == [registry["name"]] == ["registry"]
    # Only one container may have ports.
    assert not registry.get("ports")
    # A container that another one depends on must have a startup probe.
    assert registry["startupProbe"]["tcpSocket"] == {"port": envoy_file.SERVER_PORT}
    assert load_settings({**variables(registry), "K_SERVICE": "lading"}).port == envoy_file.SERVER_PORT
    for container in (envoy, registry):
        assert container["resources"]["limits"].keys() == {"cpu", "memory"}
        assert container["resources"]["cpuIdle"], "billed only while it handles requests"


def test_the_file_is_what_the_program_declares() -> None:
    assert envoy_file.FILE.read_text() == envoy_file.text(), "run python -m tests.terraform.envoy_file"


def test_envoy_gets_the_configuration_that_the_program_declares(shapes: list[Shape]) -> None:
    envoy, _ = shapes[1].containers
    option, configuration, *options = envoy["args"]
    assert (option, tuple(options)) == ("--config-yaml", OPTIONS)
    assert json.loads(configuration) == bootstrap(8080, envoy_file.SERVER_PORT, None)
    # Cloud Run replaces $(NAME) by a variable, and $$ by one of them.
    assert not re.search(r"\$[($]", " ".join([*envoy["command"], *envoy["args"]]))


def test_a_function_without_envoy_in_its_image_starts_on_its_port(shapes: list[Shape]) -> None:
    """Google starts what it has built, though no request reaches it."""
    addresses = [
        shape.resources[FUNCTION]["serviceConfig"]["environmentVariables"].get("LADING_ADDRESS") for shape in shapes
    ]
    assert addresses == [None, "0.0.0.0:8080", None]
    assert len({shape.source for shape in shapes}) == 2, "another source, without the requirement"


def test_the_way_back_leads_to_what_was_before(shapes: list[Shape]) -> None:
    before, _, after = shapes
    assert before.containers == after.containers
    assert before.source == after.source
    assert len(before.containers) == 1
    assert "LADING_ADDRESS" not in variables(before.containers[0])

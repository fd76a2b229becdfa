"""Fixtures: a docker daemon that has the image, and docker compose."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.client_commands import ProgramRunner
from tests.support.container_daemons import Docker, dockerd
from tests.support.image_build import Compose, build_image
from tests.support.on_premises_files import FOLDER
from tests.support.requirements import find_program


@pytest.fixture(scope="session")
def image_daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a docker daemon that has built the image."""
    with dockerd(tmp_path_factory.mktemp("d"), driver="") as address:
        runner = ProgramRunner(tmp_path_factory.mktemp("home"), timeout=600)
        build_image(Docker(runner, address), tmp_path_factory.mktemp("context"))
        yield address


@pytest.fixture
def docker(image_daemon: str, tmp_path: Path) -> Docker:
    """docker at that daemon, without credentials."""
    return Docker(ProgramRunner(tmp_path), image_daemon)


@pytest.fixture
def volume(docker: Docker, request: pytest.FixtureRequest) -> Iterator[str]:
    """The name of a volume, which is removed afterwards with the containers of the test."""
    name = f"data-{abs(hash(request.node.nodeid)):x}"
    yield name
    if containers := docker("ps", "-aq").split():
        docker("rm", "-f", *containers)
    docker("volume", "rm", "-f", name)


@pytest.fixture
def compose(tmp_path: Path) -> Compose:
    """Run docker compose with the file of terraform/on-premises/; variables are in `environment`."""
    program = find_program("docker-compose", "tests/on_premises/build-compose")

    def compose(*words: str | Path, **environment: str) -> str:
        runner = ProgramRunner(tmp_path)
        for name, value in environment.items():
            runner.set(name, value)
        return runner.run(program, "-f", FOLDER / "compose.yaml", *words)

    return compose

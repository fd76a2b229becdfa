"""Fixtures: docker, containerd, and an image for clients."""

import contextlib
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.support.client_commands import ProgramRunner
from tests.support.container_daemons import Ctr, Docker, buildkitd, containerd, dockerd
from tests.support.kubernetes_runtime import KubernetesRuntime, kubernetes_runtime
from tests.support.oci_layouts import Layout, write_image


@pytest.fixture
def commands(tmp_path: Path) -> ProgramRunner:
    """Runs programs with a home of their own."""
    home = tmp_path / "home"
    home.mkdir()
    return ProgramRunner(home)


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """An image of three layers, of which one is of some megabytes and one is empty, as an OCI layout tagged `v1`."""
    return write_image(tmp_path / "layout", [b"small" * 100, secrets.token_bytes(7_000_001), b""])


@pytest.fixture(scope="session")
def docker_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a docker daemon, for all tests."""
    with dockerd(tmp_path_factory.mktemp("d")) as address:
        yield address


@pytest.fixture
def docker(docker_address: str, commands: ProgramRunner) -> Iterator[Docker]:
    """docker at that daemon, from which all images are removed afterwards."""
    client = Docker(commands, docker_address)
    yield client
    images = client("image", "ls", "-q").split()
    if images:
        client("rmi", "-f", *set(images))


@pytest.fixture
def ctr(commands: ProgramRunner, tmp_path: Path) -> Iterator[Ctr]:
    """ctr, at a containerd that has nothing yet."""
    folder = tmp_path / "containerd"
    folder.mkdir()
    with containerd(folder, commands) as command:
        yield command


@pytest.fixture
def ctr2(commands: ProgramRunner) -> Iterator[Ctr]:
    """ctr, at a containerd 2 that has nothing yet."""
    with TemporaryDirectory() as folder, containerd(Path(folder), commands, "2") as command:
        yield command


@pytest.fixture
def start_buildkit() -> Iterator[Callable[[str], list[str]]]:
    """Starts BuildKit for a registry, which has nothing yet; returns the words of its client."""
    with contextlib.ExitStack() as started:

        def start(host: str) -> list[str]:
            folder = Path(started.enter_context(TemporaryDirectory()))
            return started.enter_context(buildkitd(folder, host))

        yield start


@pytest.fixture
def kubelet() -> Iterator[KubernetesRuntime]:
    """containerd as Kubernetes uses it, to pull."""
    with TemporaryDirectory() as folder, kubernetes_runtime(Path(folder), "no-image-of-pods") as runtime:
        yield runtime


@pytest.fixture
def kubelet2() -> Iterator[KubernetesRuntime]:
    """containerd 2 as Kubernetes uses it, to pull."""
    with TemporaryDirectory() as folder, kubernetes_runtime(Path(folder), "no-image-of-pods", "2") as runtime:
        yield runtime


@pytest.fixture
def content(tmp_path: Path) -> Path:
    """Where that containerd keeps its blobs, in the form of an OCI image layout."""
    return tmp_path / "containerd" / "root" / "io.containerd.content.v1.content"

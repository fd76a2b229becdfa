"""Real clients that pull an image or a chart, and what they print where they are refused."""

import base64
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import grpc
import pytest

from tests.support.client_commands import ProgramRunner
from tests.support.requirements import find_program


@dataclass(frozen=True)
class Puller:
    """A client that pulls: `pull` to a good end, and `fail`, which returns what it prints."""

    pull: Callable[[str], object]
    fail: Callable[[str], str]


@dataclass(frozen=True)
class Node:
    """Where clients pull: their home, a folder for what they pull, and the registry with a user of it."""

    request: pytest.FixtureRequest
    commands: ProgramRunner
    folder: Path
    host: str
    credentials: str = ""

    def pullers(self, *names: str) -> dict[str, Puller]:
        """Return these clients, logged in; without names, all."""
        log_in(self.commands, self.folder, self.host, self.credentials)
        known = CLIENTS | NEWER
        return {name: known[name](self) for name in names or known}


def log_in(commands: ProgramRunner, folder: Path, host: str, credentials: str) -> None:
    """Write the files of docker and podman, which all clients but ctr read; `credentials` is USER:SECRET, or ""."""
    auths = {host: {"auth": base64.b64encode(credentials.encode()).decode()}} if credentials else {}
    configuration = json.dumps({"auths": auths})
    commands.configure_docker(configuration)
    (folder / "auth.json").write_text(configuration)
    commands.set("REGISTRY_AUTH_FILE", str(folder / "auth.json"))


@pytest.fixture
def short_folder() -> Iterator[str]:
    """A folder whose name is short enough for podman."""
    with TemporaryDirectory(prefix="podman") as folder:
        yield folder


def _docker(node: Node) -> Puller:
    docker = node.request.getfixturevalue("docker")
    return Puller(lambda image: docker("pull", image), lambda image: docker.fail("pull", image))


def _buildkit(node: Node) -> Puller:
    """What pulls when an image is built from another one."""
    buildctl = [*node.request.getfixturevalue("start_buildkit")(node.host), "build", "--frontend=dockerfile.v0"]
    context = node.folder / "context"
    context.mkdir()
    output = f"--output=type=oci,dest={node.folder}/built.tar"
    words = [*buildctl, "--no-cache", f"--local=context={context}", f"--local=dockerfile={context}", output]

    def build(run: Callable[..., str], image: str) -> str:
        (context / "Dockerfile").write_text(f"FROM {image}\nLABEL built=again\n")
        return run(*words)

    return Puller(lambda image: build(node.commands.run, image), lambda image: build(node.commands.fail, image))


def _containerd(fixture: str = "ctr", *options: str) -> Callable[[Node], Puller]:
    """Return how to make containerd's own command; with "ctr2", that of containerd 2."""

    def make(node: Node) -> Puller:
        ctr = node.request.getfixturevalue(fixture)
        user = ["--user", node.credentials] if node.credentials else []
        words = ["images", "pull", *options, "--plain-http", "--snapshotter", "native", *user]

        def fail(image: str) -> str:
            with pytest.raises(AssertionError) as error:
                ctr(*words, image)
            return str(error.value)

        return Puller(lambda image: ctr(*words, image), fail)

    return make


def _kubernetes(fixture: str) -> Callable[[Node], Puller]:
    """Return how to make what a kubelet asks of containerd."""

    def make(node: Node) -> Puller:
        runtime = node.request.getfixturevalue(fixture)

        def fail(image: str) -> str:
            with pytest.raises(grpc.RpcError) as error:
                runtime.pull(image, node.credentials)
            return str(error.value)

        return Puller(lambda image: runtime.pull(image, node.credentials), fail)

    return make


def _podman(node: Node) -> Puller:
    place = node.request.getfixturevalue("short_folder")
    places = [f"--root={place}/root", f"--runroot={place}/run", "--storage-driver=vfs", "--cgroup-manager=cgroupfs"]
    return _program("podman", "apt install podman", [*places, "pull", "--tls-verify=false"])(node)


def _regctl(node: Node) -> Puller:
    regctl = find_program("regctl", "go install github.com/regclient/regclient/cmd/regctl@latest")
    node.commands.run(regctl, "registry", "set", "--tls=disabled", node.host)
    return _program("regctl", "go install", ["image", "copy"], ["ocidir://{folder}/regctl"])(node)


def _program(
    name: str, hint: str, before: list[str], after: list[str] | None = None, prefix: str = ""
) -> Callable[[Node], Puller]:
    """Return how to make a client of words, with the image between them; {folder} is where it may write."""

    def make(node: Node) -> Puller:
        words = [each.format(folder=node.folder) for each in (find_program(name, hint), *before)]
        last = [each.format(folder=node.folder) for each in after or []]
        return Puller(
            lambda image: node.commands.run(*words, prefix + image, *last),
            lambda image: node.commands.fail(*words, prefix + image, *last),
        )

    return make


CLIENTS: Final[dict[str, Callable[[Node], Puller]]] = {
    "docker": _docker,
    "containerd": _containerd(),
    "kubernetes": _kubernetes("kubelet"),
    "podman": _podman,
    "skopeo": _program(
        "skopeo",
        "apt install skopeo",
        ["--insecure-policy", "copy", "--src-tls-verify=false"],
        ["dir:{folder}/skopeo"],
        "docker://",
    ),
    "crane": _program("crane", "go install", ["pull"], ["{folder}/crane.tar"]),
    "oras": _program("oras", "go install", ["pull", "--plain-http", "--output", "{folder}/oras"]),
    "regctl": _regctl,
    "helm": _program(
        "helm", "go install helm.sh/helm/v3/cmd/helm@latest", ["pull", "--plain-http", "-d", "{folder}"], [], "oci://"
    ),
}
"""All clients; helm pulls charts, the others images."""

NEWER: Final = {
    "containerd 2": _containerd("ctr2"),
    "containerd 2, without transfers": _containerd("ctr2", "--local"),
    "kubernetes 2": _kubernetes("kubelet2"),
    "buildkit": _buildkit,
}
"""Clients that are built at night."""

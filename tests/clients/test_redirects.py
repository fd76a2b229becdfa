"""Clients that are logged in follow a redirect to the store, and do not send it what they sent to the registry.

The store refuses every request that comes with an Authorization, and every URL that is not signed as it should be.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from emulators import Emulators
from emulators.iam import IamEmulator
from emulators.processes import ProcessGroup
from tests.support.client_commands import ProgramRunner
from tests.support.container_daemons import Ctr, Docker
from tests.support.fake_cloud_services import RedirectingRegistry, redirecting_registry
from tests.support.fake_iam_world import FakeIamWorld
from tests.support.oci_layouts import Layout, read_blobs
from tests.support.requirements import find_program


@pytest.fixture(scope="module")
def iam(tmp_path_factory: pytest.TempPathFactory) -> Iterator[IamEmulator]:
    with ProcessGroup() as family:
        yield IamEmulator.start(family, tmp_path_factory.mktemp("iam"))


@dataclass
class Image:
    """An image in a registry that redirects."""

    name: str
    layout: Layout
    registry: RedirectingRegistry

    @property
    def host(self) -> str:
        return self.registry.server.host

    def was_read_at_the_store(self) -> bool:
        """Whether each of its blobs was, and nothing was refused."""
        storage = self.registry.storage
        assert storage.refused == []
        return storage.read >= len(self.layout.blobs)


@pytest.fixture
def image(
    emulators: Emulators, iam: IamEmulator, commands: ProgramRunner, layout: Layout, tmp_path: Path
) -> Iterator[Image]:
    with redirecting_registry("iam", emulators, FakeIamWorld(iam), tmp_path) as registry:
        name = f"{registry.server.host}/team/app:v1"
        push(commands, layout, name)
        yield Image(name, layout, registry)


def push(commands: ProgramRunner, layout: Layout, name: str) -> None:
    target = ["--dest-tls-verify=false", "--dest-creds=admin:secret", f"oci:{layout.folder}:v1", f"docker://{name}"]
    skopeo = find_program("skopeo", "apt install skopeo")
    commands.run(skopeo, "--insecure-policy", "copy", "--preserve-digests", *target)


def test_docker(image: Image, docker: Docker) -> None:
    docker("login", "-u", "admin", "--password-stdin", image.host, stdin="secret")
    docker("pull", image.name)
    assert image.was_read_at_the_store()


def test_containerd(image: Image, ctr: Ctr, content: Path) -> None:
    ctr("images", "pull", "--plain-http", "--user", "admin:secret", "--snapshotter", "native", image.name)
    assert read_blobs(content) == {**image.layout.blobs, image.layout.digest: image.layout.manifest}
    assert image.was_read_at_the_store()


def test_crane(image: Image, commands: ProgramRunner) -> None:
    crane = find_program("crane", "go install github.com/google/go-containerregistry/cmd/crane@latest")
    commands.run(crane, "auth", "login", "-u", "admin", "-p", "secret", image.host)
    commands.run(crane, "validate", "--remote", image.name)
    assert image.was_read_at_the_store()


def test_skopeo(image: Image, commands: ProgramRunner, tmp_path: Path) -> None:
    skopeo = find_program("skopeo", "apt install skopeo")
    source = ["--src-tls-verify=false", "--src-creds=admin:secret", f"docker://{image.name}", f"oci:{tmp_path}/out:v1"]
    commands.run(skopeo, "--insecure-policy", "copy", "--preserve-digests", *source)
    assert read_blobs(tmp_path / "out") == {**image.layout.blobs, image.layout.digest: image.layout.manifest}
    assert image.was_read_at_the_store()


def test_oras(image: Image, commands: ProgramRunner, tmp_path: Path) -> None:
    oras = find_program("oras", "go install oras.land/oras/cmd/oras@latest")
    commands.run(oras, "login", "--plain-http", "-u", "admin", "--password-stdin", image.host, stdin="secret")
    commands.run(oras, "copy", "--from-plain-http", "--to-oci-layout", image.name, f"{tmp_path}/out:v1")
    assert read_blobs(tmp_path / "out") == {**image.layout.blobs, image.layout.digest: image.layout.manifest}
    assert image.was_read_at_the_store()

"""Clients that are logged in follow a redirect to the store, and do not send it what they sent to the registry.

The store refuses every request that comes with an Authorization, and every URL that is not signed as it should be.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from emulators import Emulators
from emulators.iam import IamEmulator
from emulators.processes import Family
from tests.auth.worlds import World
from tests.clients.commands import Commands
from tests.clients.daemons import Ctr, Docker
from tests.clients.layouts import Layout, read_blobs
from tests.needs import program
from tests.serving.cloud import Redirecting, redirecting

LAYERS = 4
"""Of an image of `layout`, besides its config."""


@pytest.fixture(scope="module")
def iam(tmp_path_factory: pytest.TempPathFactory) -> Iterator[IamEmulator]:
    with Family() as family:
        yield IamEmulator.start(family, tmp_path_factory.mktemp("iam"))


@pytest.fixture
def redirected(
    emulators: Emulators, iam: IamEmulator, commands: Commands, layout: Layout, tmp_path: Path
) -> Iterator[str]:
    """An image in a registry that redirects; afterwards all its blobs have been read at the store, and well."""
    with redirecting("iam", emulators, World(iam), tmp_path) as registry:
        name = f"{registry.server.host}/team/app:v1"
        push(registry, commands, layout, name)
        yield name
        assert registry.storage.refused == []
        assert registry.storage.read >= len(layout.blobs)


def push(registry: Redirecting, commands: Commands, layout: Layout, name: str) -> None:
    target = ["--dest-tls-verify=false", "--dest-creds=admin:secret", f"oci:{layout.folder}:v1", f"docker://{name}"]
    skopeo = program("skopeo", "apt install skopeo")
    commands.run(skopeo, "--insecure-policy", "copy", "--preserve-digests", *target)


def host_of(name: str) -> str:
    return name.partition("/")[0]


def test_docker(redirected: str, docker: Docker) -> None:
    docker("login", "-u", "admin", "--password-stdin", host_of(redirected), stdin="secret")
    docker("pull", redirected)


def test_containerd(redirected: str, ctr: Ctr, content: Path, layout: Layout) -> None:
    ctr("images", "pull", "--plain-http", "--user", "admin:secret", "--snapshotter", "native", redirected)
    assert read_blobs(content) == {**layout.blobs, layout.digest: layout.manifest}


def test_crane(redirected: str, commands: Commands) -> None:
    crane = program("crane", "go install github.com/google/go-containerregistry/cmd/crane@latest")
    commands.run(crane, "auth", "login", "-u", "admin", "-p", "secret", host_of(redirected))
    commands.run(crane, "validate", "--remote", redirected)


def test_skopeo(redirected: str, commands: Commands, layout: Layout, tmp_path: Path) -> None:
    skopeo = program("skopeo", "apt install skopeo")
    source = ["--src-tls-verify=false", "--src-creds=admin:secret", f"docker://{redirected}", f"oci:{tmp_path}/out:v1"]
    commands.run(skopeo, "--insecure-policy", "copy", "--preserve-digests", *source)
    assert read_blobs(tmp_path / "out") == {**layout.blobs, layout.digest: layout.manifest}


def test_oras(redirected: str, commands: Commands, layout: Layout, tmp_path: Path) -> None:
    oras = program("oras", "go install oras.land/oras/cmd/oras@latest")
    login = ["--plain-http", "-u", "admin", "--password-stdin", host_of(redirected)]
    commands.run(oras, "login", *login, stdin="secret")
    commands.run(oras, "copy", "--from-plain-http", "--to-oci-layout", redirected, f"{tmp_path}/out:v1")
    assert read_blobs(tmp_path / "out") == {**layout.blobs, layout.digest: layout.manifest}

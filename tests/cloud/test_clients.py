"""Real clients, as the account that a token of Google's names."""

import secrets
import tarfile
from pathlib import Path

import pytest

from emulators.cloud import Cloud
from tests.support.client_commands import ProgramRunner
from tests.support.container_daemons import Docker
from tests.support.oci_layouts import Layout, read_blobs
from tests.support.requirements import find_program
from tests.support.server_process import Server


def push_and_pull(docker: Docker, name: str, folder: Path) -> None:
    """Push an image of one layer, and pull it again."""
    (folder / "file").write_bytes(secrets.token_bytes(3_000_000))
    with tarfile.open(folder / "root.tar", "w") as archive:
        archive.add(folder / "file", "file")
    image = docker("import", folder / "root.tar", name).strip()
    docker("push", name)
    docker("rmi", "-f", name)

    docker("pull", name)

    assert docker("image", "inspect", "-f", "{{.Id}}", name).strip() == image


@pytest.mark.parametrize(
    ("reached", "user"),
    [("registry", "_dcgcloud_token"), ("through_google", "oauth2accesstoken")],
    indirect=["reached"],
)
def test_docker_with_a_token(reached: Server, cloud: Cloud, docker: Docker, user: str, tmp_path: Path) -> None:
    docker("login", "-u", user, "--password-stdin", reached.host, stdin=cloud.token)

    push_and_pull(docker, f"{reached.host}/team-b/{secrets.token_hex(4)}:v1", tmp_path)

    docker("login", "-u", user, "--password-stdin", reached.host, stdin=cloud.accounts.reader)
    docker("import", tmp_path / "root.tar", f"{reached.host}/team-a/app:v1")
    assert "denied" in docker.fail("push", f"{reached.host}/team-a/app:v1")


def test_docker_with_gclouds_credential_helper(
    cloud: Cloud, docker: Docker, commands: ProgramRunner, tmp_path: Path
) -> None:
    gcloud = find_program("gcloud", "apt install google-cloud-cli")
    commands.set("CLOUDSDK_AUTH_ACCESS_TOKEN", cloud.token)
    commands.set("CLOUDSDK_ARTIFACTS_ALLOW_UNRECOGNIZED_REGISTRY", "true")
    commands.run(gcloud, "auth", "configure-docker", cloud.host, "--quiet")

    push_and_pull(docker, f"{cloud.host}/team-b/{secrets.token_hex(4)}:v1", tmp_path)


def test_crane_with_a_token(
    reached: Server, cloud: Cloud, commands: ProgramRunner, layout: Layout, tmp_path: Path
) -> None:
    path = find_program("crane", "go install github.com/google/go-containerregistry/cmd/crane@latest")
    name = f"{reached.host}/team-b/{secrets.token_hex(4)}:v1"
    commands.run(path, "auth", "login", reached.host, "-u", "oauth2accesstoken", "--password-stdin", stdin=cloud.token)

    commands.run(path, "push", layout.folder, name)
    commands.run(path, "pull", "--format", "oci", name, tmp_path / "out")

    assert commands.run(path, "digest", name).strip() == layout.digest
    assert read_blobs(tmp_path / "out") == {**layout.blobs, layout.digest: layout.manifest}

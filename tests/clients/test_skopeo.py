"""skopeo: copy, inspect, list, sync, delete."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.client_commands import ProgramRunner
from tests.support.oci_layouts import Layout, read_blobs
from tests.support.requirements import find_program
from tests.support.server_process import Server

Skopeo = Callable[..., str]


@pytest.fixture
def skopeo(commands: ProgramRunner) -> Skopeo:
    path = find_program("skopeo", "apt install skopeo")
    return lambda *words: commands.run(path, "--insecure-policy", *words)


def test_images_go_in_and_out(
    skopeo: Skopeo, commands: ProgramRunner, server: Server, layout: Layout, tmp_path: Path
) -> None:
    remote = f"docker://{server.host}/team/app"
    skopeo("copy", "--preserve-digests", "--dest-tls-verify=false", f"oci:{layout.folder}:v1", f"{remote}:v1")

    described = json.loads(skopeo("inspect", "--tls-verify=false", f"{remote}:v1"))
    assert described["Digest"] == layout.digest
    skopeo(
        "copy", "--preserve-digests", "--src-tls-verify=false", f"{remote}@{layout.digest}", f"oci:{tmp_path}/out:v1"
    )
    assert read_blobs(tmp_path / "out") == {**layout.blobs, layout.digest: layout.manifest}

    other = f"docker://{server.host}/other/app:copy"
    skopeo("copy", "--src-tls-verify=false", "--dest-tls-verify=false", f"{remote}:v1", other)
    assert json.loads(skopeo("list-tags", "--tls-verify=false", f"docker://{server.host}/other/app"))["Tags"] == [
        "copy"
    ]
    skopeo("sync", "--src-tls-verify=false", "--src", "docker", "--dest", "dir", f"{server.host}/team/app", tmp_path)

    skopeo("delete", "--tls-verify=false", f"{remote}:v1")
    program_path = find_program("skopeo", "apt install skopeo")
    assert "manifest unknown" in commands.fail(program_path, "inspect", "--tls-verify=false", f"{remote}:v1")
    skopeo("inspect", "--tls-verify=false", other)

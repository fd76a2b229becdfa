"""crane: push, pull, validate, copy, append, index, catalog, delete."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.client_commands import ProgramRunner
from tests.support.oci_layouts import USERS_NAMES, Layout, read_blobs
from tests.support.requirements import find_program
from tests.support.server_process import Server

HOW = "go install github.com/google/go-containerregistry/cmd/crane@latest"
Crane = Callable[..., str]


@pytest.fixture
def crane(commands: ProgramRunner) -> Crane:
    path = find_program("crane", HOW)
    return lambda *words: commands.run(path, *words)


def test_images_go_in_and_out(
    crane: Crane, commands: ProgramRunner, server: Server, layout: Layout, tmp_path: Path
) -> None:
    remote = f"{server.host}/team/app"

    crane("push", layout.folder, f"{remote}:v1")

    assert crane("digest", f"{remote}:v1").strip() == layout.digest
    assert crane("manifest", f"{remote}:v1").encode() == layout.manifest
    crane("validate", "--remote", f"{remote}:v1")
    crane("pull", "--format", "oci", f"{remote}:v1", tmp_path / "out")
    assert read_blobs(tmp_path / "out") == {**layout.blobs, layout.digest: layout.manifest}

    crane("copy", f"{remote}:v1", f"{server.host}/other/app:v1")
    crane("validate", "--remote", f"{server.host}/other/app:v1")
    crane("tag", f"{remote}:v1", "latest")
    assert crane("ls", remote).split() == ["latest", "v1"]
    assert crane("catalog", server.host).split() == ["other/app", "team/app"]

    crane("delete", f"{remote}:latest")
    assert crane("ls", remote).split() == ["v1"]
    crane("delete", f"{remote}@{layout.digest}")
    assert "MANIFEST_UNKNOWN" in commands.fail(find_program("crane", HOW), "manifest", f"{remote}:v1")
    crane("validate", "--remote", f"{server.host}/other/app:v1")


def test_an_index_of_images(crane: Crane, server: Server, layout: Layout) -> None:
    remote = f"{server.host}/team/app"
    crane("push", layout.folder, f"{remote}:amd64")
    crane("mutate", "--set-platform", "linux/arm64", "-t", f"{remote}:arm64", f"{remote}:amd64")

    crane("index", "append", "-m", f"{remote}:amd64", "-m", f"{remote}:arm64", "-t", f"{remote}:all")

    crane("validate", "--remote", f"{remote}:all")
    index = json.loads(crane("manifest", f"{remote}:all"))
    assert [each["digest"] for each in index["manifests"]] == [
        crane("digest", f"{remote}:{name}").strip() for name in ("amd64", "arm64")
    ]
    crane("copy", f"{remote}:all", f"{server.host}/other/app:all")
    crane("validate", "--remote", f"{server.host}/other/app:all")


def test_annotations_have_any_names(crane: Crane, server: Server, layout: Layout) -> None:
    remote = f"{server.host}/team/app"
    crane("push", layout.folder, f"{remote}:v1")
    given = [word for name in USERS_NAMES for word in ("--annotation", f"{name}={name}")]

    crane("mutate", *given, "-t", f"{remote}:v2", f"{remote}:v1")

    assert json.loads(crane("manifest", f"{remote}:v2"))["annotations"] == {name: name for name in USERS_NAMES}
    crane("copy", f"{remote}:v2", f"{server.host}/other/app:v2")

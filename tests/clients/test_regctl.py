"""regctl: the one that sends chunks."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from tests.support.client_commands import ProgramRunner
from tests.support.oci_layouts import USERS_NAMES, Layout, read_blobs
from tests.support.requirements import find_program
from tests.support.server_process import Server

Regctl = Callable[..., str]


@pytest.fixture
def environment(environment: Mapping[str, str]) -> Mapping[str, str]:
    """The same, with a rule by which mirrors may be sparse."""
    return {**environment, "LADING_ALLOW_MISSING": "mirror/*:sparse"}


@pytest.fixture
def regctl(commands: ProgramRunner, server: Server) -> Regctl:
    """regctl, told to send whatever is larger than 1 MiB in chunks of that size."""
    path = find_program("regctl", "go install github.com/regclient/regclient/cmd/regctl@latest")
    chunked = ("--blob-chunk", "1048576", "--blob-max", "1048576")
    commands.run(path, "registry", "set", "--tls", "disabled", *chunked, server.host)
    return lambda *words: commands.run(path, *words)


def test_images_go_in_by_chunks_and_out(regctl: Regctl, server: Server, layout: Layout, tmp_path: Path) -> None:
    remote = f"{server.host}/team/app"

    regctl("image", "copy", f"ocidir://{layout.folder}:v1", f"{remote}:v1")

    log = server.log.read_text()
    assert log.count(" PATCH /v2/team/app/blobs/uploads/") >= 7, "a layer of 7 MB went in chunks of 1 MiB"
    assert regctl("image", "digest", f"{remote}:v1").strip() == layout.digest
    regctl("image", "copy", f"{remote}:v1", f"ocidir://{tmp_path}/out:v1")
    blobs = read_blobs(tmp_path / "out")
    assert {digest: blobs[digest] for digest in layout.blobs} == layout.blobs

    regctl("image", "copy", f"{remote}:v1", f"{server.host}/other/app:v1")
    assert regctl("tag", "ls", f"{server.host}/other/app").split() == ["v1"]
    assert "team/app" in regctl("repo", "ls", server.host).split()
    regctl("tag", "delete", f"{remote}:v1")
    assert regctl("tag", "ls", remote).split() == []


def test_artifacts_refer_to_images(regctl: Regctl, server: Server, layout: Layout, tmp_path: Path) -> None:
    remote = f"{server.host}/team/app:v1"
    regctl("image", "copy", f"ocidir://{layout.folder}:v1", remote)
    (tmp_path / "sbom.json").write_text("{}")

    regctl("artifact", "put", "--artifact-type", "example/sbom", "--subject", remote, "-f", tmp_path / "sbom.json")

    listed = json.loads(regctl("artifact", "list", "--format", "{{json .}}", remote))
    assert [each["artifactType"] for each in listed["descriptors"]] == ["example/sbom"]


def test_annotations_have_any_names(regctl: Regctl, server: Server, layout: Layout) -> None:
    remote = f"{server.host}/team/app"
    regctl("image", "copy", f"ocidir://{layout.folder}:v1", f"{remote}:v1")
    given = [word for name in USERS_NAMES for word in ("--annotation", f"{name}={name}")]

    regctl("image", "mod", f"{remote}:v1", "--create", f"{remote}:v2", *given)

    pulled = json.loads(regctl("manifest", "get", "--format", "raw-body", f"{remote}:v2"))
    assert pulled["annotations"] == {name: name for name in USERS_NAMES}


def test_one_platform_of_an_index_is_copied_where_a_rule_allows_it(
    regctl: Regctl, commands: ProgramRunner, server: Server, layout: Layout
) -> None:
    remote = f"{server.host}/team/app"
    regctl("image", "copy", f"ocidir://{layout.folder}:v1", f"{remote}:amd64")
    regctl("image", "mod", f"{remote}:amd64", "--create", f"{remote}:arm64", "--annotation", "for=arm64")
    refs = [word for name in ("amd64", "arm64") for word in ("--ref", f"{remote}:{name}")]
    regctl("index", "create", f"{remote}:all", *refs)
    digests = [regctl("image", "digest", f"{remote}:{name}").strip() for name in ("amd64", "arm64")]
    path = find_program("regctl", "go install github.com/regclient/regclient/cmd/regctl@latest")
    index = regctl("manifest", "get", "--format", "raw-body", f"{remote}:all")
    put = ("manifest", "put", "--content-type", json.loads(index)["mediaType"])

    for repository in ("mirror/app", "other/app"):
        regctl("image", "copy", f"{remote}@{digests[0]}", f"{server.host}/{repository}:amd64")
    commands.run(path, *put, f"{server.host}/mirror/app:all", stdin=index)
    refusal = commands.fail(path, *put, f"{server.host}/other/app:all", stdin=index)

    assert "MANIFEST_BLOB_UNKNOWN" in refusal
    assert "only the rule other/app:sparse (--allow-missing)" in refusal
    assert regctl("image", "digest", f"{server.host}/mirror/app:all") == regctl("image", "digest", f"{remote}:all")
    regctl("image", "copy", f"{remote}@{digests[1]}", f"{server.host}/mirror/app@{digests[1]}")
    regctl("image", "copy", f"{server.host}/mirror/app:all", f"{server.host}/other/app:all")

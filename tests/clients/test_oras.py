"""oras: artifacts, and what refers to them."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from lading_storage.digests import digest_of
from tests.support.client_commands import ProgramRunner
from tests.support.oci_layouts import USERS_NAMES
from tests.support.requirements import find_program
from tests.support.server_process import Server

HOW = "go install oras.land/oras/cmd/oras@latest"
Oras = Callable[..., str]


@pytest.fixture
def oras(commands: ProgramRunner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Oras:
    path = find_program("oras", HOW)
    monkeypatch.chdir(tmp_path)
    return lambda verb, *words: commands.run(path, *verb.split(), "--plain-http", *words)


def test_artifacts_go_in_and_out_with_what_refers_to_them(
    oras: Oras, commands: ProgramRunner, server: Server, tmp_path: Path
) -> None:
    remote = f"{server.host}/team/thing"
    (tmp_path / "data.bin").write_bytes(bytes(range(256)) * 20_000)
    (tmp_path / "sbom.json").write_text('{"sbom": true}')
    (tmp_path / "signature").write_text("signed")

    oras("push", "--artifact-type", "example/thing", f"{remote}:v1,v2", "data.bin:example/data")
    oras("attach", "--artifact-type", "example/sbom", f"{remote}:v1", "sbom.json")
    oras("attach", "--artifact-type", "example/signature", f"{remote}:v1", "signature")

    assert sorted(oras("repo tags", remote).split()) == ["v1", "v2"]
    found = json.loads(oras("discover", "--format", "json", f"{remote}:v1"))
    kinds = {each["artifactType"] for each in found.get("referrers", found.get("manifests", []))}
    assert kinds == {"example/sbom", "example/signature"}
    found = json.loads(oras("discover", "--format", "json", "--artifact-type", "example/sbom", f"{remote}:v1"))
    assert [each["artifactType"] for each in found.get("referrers", found.get("manifests", []))] == ["example/sbom"]

    (tmp_path / "out").mkdir()
    oras("pull", "-o", tmp_path / "out", f"{remote}:v2")
    assert (tmp_path / "out" / "data.bin").read_bytes() == (tmp_path / "data.bin").read_bytes()

    path = find_program("oras", HOW)
    both = ("--from-plain-http", "--to-plain-http")
    commands.run(path, "cp", "-r", *both, f"{remote}:v1", f"{server.host}/other/thing:v1")
    found = json.loads(oras("discover", "--format", "json", f"{server.host}/other/thing:v1"))
    assert len(found.get("referrers", found.get("manifests", []))) == 2

    oras("blob fetch", "-o", tmp_path / "blob", f"{remote}@{digest_of((tmp_path / 'data.bin').read_bytes())}")
    oras("manifest delete", "-f", f"{remote}:v1")
    assert "not found" in commands.fail(path, "manifest", "fetch", "--plain-http", f"{remote}:v1")
    # With the last manifest that names it the blob is gone, too.
    blob = f"{remote}@{digest_of((tmp_path / 'data.bin').read_bytes())}"
    assert "not found" in commands.fail(path, "blob", "fetch", "--plain-http", "-o", tmp_path / "again", blob)


def test_annotations_have_any_names(oras: Oras, server: Server, tmp_path: Path) -> None:
    """As helm sets them of a manifest, and of a layer."""
    remote = f"{server.host}/team/chart"
    (tmp_path / "chart.tgz").write_bytes(b"a chart")
    named = {name: name for name in USERS_NAMES}
    (tmp_path / "names.json").write_text(json.dumps({"$manifest": named, "chart.tgz": named, "$config": named}))

    words = ("--annotation-file", "names.json", "--artifact-type", "application/vnd.example.chart")
    oras("push", *words, f"{remote}:v1", "chart.tgz:application/vnd.example.chart.tar")

    pulled = json.loads(oras("manifest fetch", f"{remote}:v1"))
    assert pulled["annotations"].items() >= named.items()
    assert pulled["layers"][0]["annotations"].items() >= named.items()
    oras("attach", *words, f"{remote}:v1", "chart.tgz")
    found = json.loads(oras("discover", "--format", "json", f"{remote}:v1"))
    (referrer,) = found.get("referrers", found.get("manifests", []))
    assert referrer["annotations"].items() >= named.items()


def test_a_referrer_is_deleted_that_lists_under_a_tag_have_named(oras: Oras, server: Server, tmp_path: Path) -> None:
    """oras #1228: the former list stays behind without a tag, and names what is to be deleted."""
    remote = f"{server.host}/team/thing"
    by_tag = ("--distribution-spec", "v1.1-referrers-tag")
    (tmp_path / "file").write_text("content")
    oras("push", f"{remote}:v1", "file")
    for kind in ("example/first", "example/second"):
        oras("attach", *by_tag, "--artifact-type", kind, f"{remote}:v1", "file")
    first = _referrers(oras, f"{remote}:v1", *by_tag)["example/first"]

    oras("manifest delete", "-f", *by_tag, f"{remote}@{first}")

    for words in (by_tag, ()):
        assert set(_referrers(oras, f"{remote}:v1", *words)) == {"example/second"}


def _referrers(oras: Oras, reference: str, *words: str) -> dict[str, str]:
    """Return the digests of what refers to a manifest, by type."""
    found = json.loads(oras("discover", "--format", "json", *words, reference))
    return {each["artifactType"]: each["digest"] for each in found.get("referrers", found.get("manifests", []))}

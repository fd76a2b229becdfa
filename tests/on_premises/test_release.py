"""The files of a release: two builds are the same bytes, and the versions agree."""

import hashlib
import importlib.util
import json
import shutil
import subprocess
import tarfile
from pathlib import Path
from types import ModuleType
from typing import Any
from zipfile import ZipFile

import pytest

from tests.support.container_daemons import Docker
from tests.support.image_build import IMAGE
from tests.support.requirements import find_program

ROOT = Path(__file__).parents[2]


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
    assert f"lading_registry-{version}/terraform/on-premises/Containerfile" in packed
    with tarfile.open(folder / f"lading-{version}.tgz") as chart:
        assert {"lading/Chart.yaml", "lading/values.schema.json", "lading/files/push_and_pull.py"} <= set(
            chart.getnames()
        )
    sbom = json.loads((folder / "lading.cdx.json").read_text())
    assert sbom["metadata"]["component"]["version"] == version
    lock = (ROOT / "functions" / "requirements.txt").read_text()
    for component in sbom["components"]:
        assert f"{component['name']}=={component['version']}" in lock
    assert len(sbom["components"]) == lock.count("==") - lock.count("_name ==") - lock.count("platform ==")


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
    subprocess.run(["tar", "-czf", "a.tgz", "run"], cwd=tmp_path, check=True)
    release.normalize(tmp_path / "a.tgz", 86_400)
    with tarfile.open(tmp_path / "a.tgz") as archive:
        (member,) = archive.getmembers()
    assert (member.name, member.mode, member.mtime, member.uid, member.uname) == ("run", 0o755, 86_400, 0, "")


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

"""The packages that syft finds in real package databases are those that are found here (nightly: syft is large)."""

import json
import os
import subprocess
from pathlib import Path
from typing import Final

import pytest

from lading.scanning.packages import APK, DEB, RPM
from tests.scanning.layers import INSTALLED, STATUS, read, tar_of
from tests.scanning.rpm_databases import PUBLIC_KEY, real_databases
from tests.support.go_modules import go_module
from tests.support.requirements import find_program

pytestmark = pytest.mark.skipif(os.environ.get("LADING_NIGHTLY") != "1", reason="nightly only: LADING_NIGHTLY=1")

DIFFERENCES: Final = {
    ("deb", "wantdeinstall_installed", "1.0"): "it is marked for removal, and its files are still there",
}
"""What syft leaves out."""


def inputs() -> dict[str, dict[str, bytes]]:
    """Return the files of images with a real package database each."""
    scalibr = go_module("github.com/google/osv-scalibr", "v0.5.3") / "extractor/filesystem/os"
    images = {
        name: {"etc/os-release": b"ID=rocky\nVERSION_ID=9.0\n", f"var/lib/rpm/{path.name}": path.read_bytes()}
        for name, (path, _) in real_databases().items()
    }
    for name in ("valid", "statusfield", "transitional", "trailingnewlines"):
        content = (scalibr / "dpkg/testdata/dpkg" / name).read_bytes()
        images[f"dpkg {name}"] = {"etc/os-release": b"ID=debian\nVERSION_ID=12\n", STATUS: content}
    content = (scalibr / "apk/testdata/installed").read_bytes()
    images["apk"] = {"etc/os-release": b"ID=alpine\nVERSION_ID=3.18.4\n", INSTALLED: content}
    return images


def packages_of_syft(folder: Path) -> set[tuple[str, str, str]]:
    """Return type, name and version of the packages that syft finds in a folder."""
    syft = find_program("syft", "go install github.com/anchore/syft/cmd/syft@v1.57.1")
    done = subprocess.run(
        [syft, "scan", "-q", f"dir:{folder}", "-o", "syft-json"],
        env={**os.environ, "SYFT_CHECK_FOR_APP_UPDATE": "false"},
        capture_output=True,
        timeout=600,
        check=True,
    )
    found = json.loads(done.stdout)["artifacts"]
    return {(each["type"], each["name"], each["version"]) for each in found if each["type"] in (APK, DEB, RPM)}


def test_syft_finds_the_same_packages(tmp_path: Path) -> None:
    compared = 0
    for name, files in inputs().items():
        for path, content in files.items():
            target = tmp_path / name / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
        found = {
            (each.type, each.name, each.version)
            for packages in read(tar_of(files)).packages.values()
            for each in packages
        }
        expected = {each for each in packages_of_syft(tmp_path / name) if each[1] != PUBLIC_KEY}
        assert found - expected <= DIFFERENCES.keys(), name
        assert expected - found == set(), name
        compared += len(found)
    assert compared > 3600

"""The packages that syft finds in real package databases are those that are found here (nightly: syft is large)."""

import os
from pathlib import Path
from typing import Final

import pytest

from lading.scanning.packages import APK, DEB, RPM
from tests.scanning.layers import INSTALLED, STATUS, read, tar_of
from tests.scanning.reference_inputs import SCALIBR
from tests.scanning.rpm_databases import PUBLIC_KEY, real_databases
from tests.scanning.syft import SYFT, TRIVY, packages_by_folder
from tests.support.go_modules import go_module

pytestmark = pytest.mark.skipif(os.environ.get("LADING_NIGHTLY") != "1", reason="nightly only: LADING_NIGHTLY=1")

DIFFERENCES: Final = {
    ("deb", "wantdeinstall_installed", "1.0"): "it is marked for removal, and its files are still there",
}
"""What syft leaves out."""

RPM_NAMES: Final = ("Packages", "Packages.db", "rpmdb.sqlite")


def inputs() -> dict[str, dict[str, bytes]]:
    """Return the files of images with a real package database each."""
    scalibr = go_module(*SCALIBR) / "extractor/filesystem/os"
    trivy = go_module(*TRIVY) / "pkg/fanal/analyzer/pkg"
    syft = go_module(*SYFT) / "syft/pkg/cataloger/alpine/testdata"
    images = {
        name: {"etc/os-release": b"ID=rocky\nVERSION_ID=9.0\n", f"var/lib/rpm/{path.name}": path.read_bytes()}
        for name, (path, _) in real_databases().items()
    }
    for name in ("valid", "statusfield", "transitional", "trailingnewlines"):
        content = (scalibr / "dpkg/testdata/dpkg" / name).read_bytes()
        images[f"dpkg {name}"] = {"etc/os-release": b"ID=debian\nVERSION_ID=12\n", STATUS: content}
    _, _, content = (trivy / "dpkg/testdata/valid.txtar").read_bytes().partition(b"-- var/lib/dpkg/status --\n")
    images["dpkg Ubuntu"] = {"etc/os-release": b"ID=ubuntu\nVERSION_ID=18.04\n", STATUS: content}
    for path in (
        scalibr / "apk/testdata/installed",
        trivy / "apk/testdata/apk",
        syft / "multiple-1/lib/apk/db/installed",
        syft / "multiple-2/lib/apk/db/installed",
        syft / "very-large-entries",
    ):
        name = f"apk {len(images)}"
        images[name] = {"etc/os-release": b"ID=alpine\nVERSION_ID=3.18.4\n", INSTALLED: path.read_bytes()}
    for path in (*(scalibr / "rpm/testdata" / each for each in RPM_NAMES), trivy / "rpm/testdata/valid"):
        name = path.name if path.name in RPM_NAMES else RPM_NAMES[0]
        images[f"rpm {len(images)}"] = {
            "etc/os-release": b"ID=rhel\nVERSION_ID=8.0\n",
            f"var/lib/rpm/{name}": path.read_bytes(),
        }
    return images


def test_syft_finds_the_same_packages(tmp_path: Path) -> None:
    images = inputs()
    for name, files in images.items():
        for path, content in files.items():
            target = tmp_path / name / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
    theirs = packages_by_folder(tmp_path)

    compared = 0
    for name, files in images.items():
        found = {
            (each.type, each.name, each.version)
            for packages in read(tar_of(files)).packages.values()
            for each in packages
        }
        expected = {each for each in theirs[name] if each[0] in (APK, DEB, RPM) and each[1] != PUBLIC_KEY}
        assert found - expected <= DIFFERENCES.keys(), name
        assert expected - found == set(), name
        compared += len(found)
    assert compared > 4000

"""In real images of several layers syft finds the packages that are found here (nightly: syft is large)."""

import gzip
import io
import json
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from lading.scanning.image_packages import merge
from lading.scanning.packages import ImagePackages
from tests.scanning.layers import read
from tests.scanning.reference_inputs import SCALIBR
from tests.scanning.syft import TRIVY, of_lading, packages_of_syft
from tests.support.go_modules import go_module

pytestmark = pytest.mark.skipif(os.environ.get("LADING_NIGHTLY") != "1", reason="nightly only: LADING_NIGHTLY=1")

OF_SCALIBR: Final = ("alpine", "alpine-with-packages", "delete-file", "recreate-file")
OF_TRIVY: Final = ("alpine-310", "alpine-311", "distroless", "image1", "vuln-image")

PROGRAMS: Final = {("generic", "openssl")}
"""Programs that syft knows by a version in their code."""


def images() -> dict[str, bytes]:
    """Return images as `docker save` writes them."""
    scalibr = go_module(*SCALIBR) / "artifact/image/layerscanning/image/testdata"
    trivy = go_module(*TRIVY) / "pkg/fanal/test/testdata"
    files = {name: scalibr / f"{name}.tar" for name in OF_SCALIBR}
    files |= {name: next(trivy.glob(f"{name}.tar*")) for name in OF_TRIVY}
    return {
        name: gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        for name, path in files.items()
    }


def packages_of(archive: bytes) -> ImagePackages:
    """Return the packages of an image."""
    return merge([read(layer) for layer in layers_of(archive)])


def layers_of(archive: bytes) -> Iterator[bytes]:
    """Yield the layers of an image, the lowest first."""
    with tarfile.open(fileobj=io.BytesIO(archive)) as members:
        manifest = members.extractfile("manifest.json")
        assert manifest
        for name in json.load(manifest)[0]["Layers"]:
            layer = members.extractfile(name)
            assert layer
            yield layer.read()


def test_syft_finds_the_same_packages_in_real_images(tmp_path: Path) -> None:
    compared = 0
    for name, archive in images().items():
        path = tmp_path / f"{name}.tar"
        path.write_bytes(archive)
        image = packages_of(archive)
        ours = {of_lading(each) for each in image.packages}

        assert image.notes == (), name
        assert (
            ours ^ {each for each in packages_of_syft(f"docker-archive:{path}") if each[:2] not in PROGRAMS} == set()
        ), name
        compared += len(ours)
    assert compared > 120

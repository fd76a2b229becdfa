"""The packages of languages that syft finds in the same files are those found here (nightly: syft is large)."""

import json
import os
import re
import subprocess
from importlib.metadata import distributions
from pathlib import Path
from typing import Final

import pytest
from packageurl import PackageURL

from lading.scanning.packages import GO, PYPI, Package
from tests.scanning.layers import read, tar_of
from tests.scanning.reference_inputs import reference_input
from tests.support.requirements import find_program

pytestmark = pytest.mark.skipif(os.environ.get("LADING_NIGHTLY") != "1", reason="nightly only: LADING_NIGHTLY=1")

INPUTS: Final = {
    "bin/app": "golang/gobinary/testdata/binary_with_modules-linux-amd64",
    "bin/replaced": "golang/gobinary/testdata/binary_with_module_replacement-linux-arm64",
    "bin/ingress": "golang/gobinary/testdata/nginx-ingress-controller",
    "bin/json": "rust/cargoauditable/testdata/uses_serde_json/uses_serde_json",
    "opt/guava-31.1-jre.jar": "java/archive/testdata/guava-31.1-jre.jar",
    "opt/App.deps.json": "dotnet/depsjson/testdata/valid",
    "ruby/specifications/yaml-0.2.1.gemspec": "ruby/gemspec/testdata/yaml-0.2.1.gemspec",
    "ruby/specifications/rss-0.2.9.gemspec": "ruby/gemspec/testdata/rss-0.2.9.gemspec",
    "app/node_modules/accepts/package.json": "javascript/packagejson/testdata/deps/accepts/package.json",
    "app/node_modules/undici/package.json": "javascript/packagejson/testdata/undici-package.json",
}
DIFFERENCES: Final = {
    ("npm", "undici", "5.28.3"): "syft cannot read one of its contributors, and leaves the package out",
    ("generic", "nginx-ingress-controller", "1.11.4"): "syft knows this program by a version in its code",
}


def files() -> dict[str, bytes]:
    """Return the reference inputs, what Composer writes of a lock file, and the metadata of what is installed."""
    lock = json.loads(reference_input("php/composerlock/testdata/drupal-packages.json"))
    return {
        **{path: reference_input(name) for path, name in INPUTS.items()},
        "app/vendor/composer/installed.json": json.dumps({"packages": lock["packages"]}).encode(),
        **{
            f"site-packages/{each.name}-{each.version}.dist-info/METADATA": text.encode()
            for each in distributions()
            if (text := each.read_text("METADATA"))
        },
    }


def packages_of_syft(folder: Path) -> set[tuple[str, str, str]]:
    """Return type, name with namespace, and version of what syft finds in a folder as in an image."""
    syft = find_program("syft", "go install github.com/anchore/syft/cmd/syft@v1.57.1")
    done = subprocess.run(
        [syft, "scan", "-q", f"dir:{folder}", "-o", "syft-json", "--override-default-catalogers", "image"],
        env={**os.environ, "SYFT_CHECK_FOR_APP_UPDATE": "false"},
        capture_output=True,
        timeout=600,
        check=True,
    )
    found = [each for each in json.loads(done.stdout)["artifacts"] if each.get("purl")]
    return {_of_syft(PackageURL.from_string(each["purl"]), each["version"]) for each in found}


def _of_syft(url: PackageURL, version: str) -> tuple[str, str, str]:
    name = "/".join(filter(None, (url.namespace, url.name)))
    if url.type == GO:
        name, version = "/".join(filter(None, (name, url.subpath))), version.removeprefix("go")
    return url.type, name, "" if version == "UNKNOWN" else version


def _of_lading(package: Package) -> tuple[str, str, str]:
    name = "/".join(filter(None, (package.namespace, package.name)))
    if package.type == PYPI:
        name = re.sub(r"[-_.]+", "-", name).lower()
    return package.type, name, package.version


def test_syft_finds_the_same_packages_of_languages(tmp_path: Path) -> None:
    for path, content in files().items():
        target = tmp_path / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
        target.chmod(0o755)

    layer = read(tar_of(files()))

    ours = {_of_lading(each) for packages in layer.packages.values() for each in packages}
    assert layer.notes == ()
    assert len(ours) > 150
    assert ours ^ packages_of_syft(tmp_path) <= DIFFERENCES.keys()

"""The packages of languages that syft finds in the same files are those found here (nightly: syft is large)."""

import json
import os
import shutil
from importlib.metadata import distributions
from pathlib import Path
from typing import Final

import pytest

from tests.scanning.layers import read, tar_of
from tests.scanning.reference_inputs import reference_input
from tests.scanning.syft import SYFT, of_lading, packages_of_syft
from tests.support.go_modules import go_module

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
PROGRAMS: Final = ("crane", "helm", "oras", "regctl", "syft")
"""Programs of Go that other tests need, with 700 modules."""

DIFFERENCES: Final = {
    ("npm", "undici", "5.28.3"): "syft cannot read one of its contributors, and leaves the package out",
    ("generic", "nginx-ingress-controller", "1.11.4"): "syft knows this program by a version in its code",
}


def files() -> dict[str, bytes]:
    """Return the reference inputs, programs of Go, what Composer writes of a lock file, and what is installed."""
    dotnet = go_module(*SYFT) / "syft/pkg/cataloger/dotnet/testdata/dir-example-1/TestLibrary.deps.json"
    lock = json.loads(reference_input("php/composerlock/testdata/drupal-packages.json"))
    return {
        **{path: reference_input(name) for path, name in INPUTS.items()},
        **{f"usr/bin/{name}": Path(path).read_bytes() for name in PROGRAMS if (path := shutil.which(name))},
        "opt/TestLibrary.deps.json": dotnet.read_bytes(),
        "app/vendor/composer/installed.json": json.dumps({"packages": lock["packages"]}).encode(),
        **{
            f"site-packages/{each.name}-{each.version}.dist-info/METADATA": text.encode()
            for each in distributions()
            if (text := each.read_text("METADATA"))
        },
    }


def test_syft_finds_the_same_packages_of_languages(tmp_path: Path) -> None:
    for path, content in files().items():
        target = tmp_path / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
        target.chmod(0o755)

    layer = read(tar_of(files()))

    ours = {of_lading(each) for packages in layer.packages.values() for each in packages}
    assert layer.notes == ()
    assert len(ours) > 150
    assert ours ^ packages_of_syft(f"dir:{tmp_path}", "--override-default-catalogers", "image") <= DIFFERENCES.keys()

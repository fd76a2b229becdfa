"""The packages that syft finds, as they are compared with those found here."""

import json
import os
import re
import subprocess
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from packageurl import PackageURL

from lading.scanning.packages import GO, PYPI, Package
from tests.support.requirements import find_program

SYFT: Final = ("github.com/anchore/syft", "v1.57.1")
TRIVY: Final = ("github.com/aquasecurity/trivy", "v0.74.0")
"""Modules with real package databases and images, and their versions."""

Found = tuple[str, str, str]
"""Type, name with namespace, and version."""


def packages_of_syft(source: str, *options: str) -> set[Found]:
    """Return the packages that syft finds in a source such as "dir:/path"."""
    return {_of_syft(each) for each in _artifacts(source, *options) if each.get("purl")}


def packages_by_folder(root: Path) -> Mapping[str, set[Found]]:
    """Return the packages that syft finds in each folder of a folder, by their names without a vendor.

    One run for all takes as long as one for each of them.
    """
    found = defaultdict[str, set[Found]](set)
    for each in _artifacts(f"dir:{root}"):
        for location in each["locations"]:
            found[location["path"].strip("/").partition("/")[0]].add(
                (each["type"], each["name"], each["version"].replace("UNKNOWN", ""))
            )
    return found


def _artifacts(source: str, *options: str) -> list[Any]:
    syft = find_program("syft", f"go install {SYFT[0]}/cmd/syft@{SYFT[1]}")
    done = subprocess.run(
        [syft, "scan", "-q", source, "-o", "syft-json", *options],
        env={**os.environ, "SYFT_CHECK_FOR_APP_UPDATE": "false"},
        capture_output=True,
        timeout=600,
        check=True,
    )
    return list(json.loads(done.stdout)["artifacts"])


def _of_syft(artifact: Mapping[str, Any]) -> Found:
    url, version = PackageURL.from_string(artifact["purl"]), artifact["version"]
    name = "/".join(filter(None, (url.namespace, url.name)))
    if url.type == GO:
        name, version = "/".join(filter(None, (name, url.subpath))), version.removeprefix("go")
    return url.type, name, "" if version == "UNKNOWN" else version


def of_lading(package: Package) -> Found:
    """Return a package that is found here in the same form."""
    name = "/".join(filter(None, (package.namespace, package.name)))
    if package.type == PYPI:
        name = re.sub(r"[-_.]+", "-", name).lower()
    return package.type, name, package.version

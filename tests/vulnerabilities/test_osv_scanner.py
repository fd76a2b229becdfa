"""osv-scanner finds in the same images, with the same dumps, what is found here, but for differences that are named.

Nightly: it is large. Its errors were seen with version 2.5.1, in images of real packages.
"""

import hashlib
import io
import json
import os
import subprocess
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pytest

from lading.scanning.image_packages import merge
from lading.scanning.packages import ImagePackages
from lading.vulnerabilities import ecosystems
from lading.vulnerabilities.import_folder import import_folder
from lading.vulnerabilities.matcher import match
from tests.scanning.layers import INSTALLED, STATUS, member, read, tar, tar_of
from tests.scanning.reference_inputs import SCALIBR, reference_input
from tests.scanning.rpm_databases import header, sqlite_of
from tests.support.go_modules import go_module
from tests.support.osv_dumps import CountedDatabase, affected, record, vulnerable, write_dump
from tests.support.requirements import find_program

pytestmark = pytest.mark.skipif(os.environ.get("LADING_NIGHTLY") != "1", reason="nightly only: LADING_NIGHTLY=1")

VULNDB: Final = ("golang.org/x/vulndb", "v0.0.0-20261105234957-e22db6528018")

RECORDS: Final = (
    vulnerable("SOURCE", "Debian:12", "openssl", "3.0.11-1~deb12u3"),
    vulnerable("BINARY", "Debian:12", "libssl3"),
    vulnerable("OTHER-RELEASE", "Debian:11", "openssl"),
    vulnerable("SOURCE-VERSION", "Debian:12", "built", "5:1.0-1+b1"),
    vulnerable("EPOCH", "Debian:12", "epoch", "1:3.0-1"),
    vulnerable("NO-EPOCH", "Debian:12", "epoch", "3.0-1"),
    vulnerable("APK-SOURCE", "Alpine:v3.18", "openssl", "99-r0"),
    vulnerable("APK-BINARY", "Alpine:v3.18", "libcrypto3"),
    vulnerable("RPM-BINARY", "Rocky Linux:9", "openssl-libs", "1:3.0.7-25.el9"),
    vulnerable("RPM-SOURCE", "Rocky Linux:9", "openssl"),
    vulnerable("RPM-NO-EPOCH", "Rocky Linux:9", "openssl-libs", "3.0.7-25.el9"),
    vulnerable("PILLOW", "PyPI", "Pillow", "10.0.1"),
    vulnerable("ZOPE", "PyPI", "zope-interface", "6"),
    vulnerable("WITHDRAWN", "PyPI", "zope-interface", withdrawn="2026-01-01T00:00:00Z"),
    record("LIST", affected("PyPI", "zope-interface", versions=["5.0"])),
    record("LAST", affected("PyPI", "pillow", {"introduced": "0"}, {"last_affected": "10.0.0"})),
    record("LAST-BEFORE", affected("PyPI", "pillow", {"introduced": "0"}, {"last_affected": "9.9"})),
    vulnerable("GROUP", "Maven", "org.springframework:spring-core", "5.3.18"),
    vulnerable("JACKSON", "Maven", "com.fasterxml:jackson", "2.9.10.4"),
)

OF_LOG4J: Final = (
    "GHSA-2qrg-x229-3v8q",
    "GHSA-65fg-84f6-3jq3",
    "GHSA-f7vh-qwp3-x37m",
    "GHSA-fp5r-v3w9-4333",
    "GHSA-w9p3-5cr8-m3jj",
)

DIFFERENCES: Final = {
    ("SOURCE-VERSION", "tool"): "osv-scanner compares the version of the binary package with that of its source",
    ("PILLOW", "pillow"): "it does not normalise the names of records of PyPI",
    ("GROUP", "spring-core"): "it takes the name for the group of a jar that does not name one",
    **dict.fromkeys(
        [(id, "log4j") for id in OF_LOG4J], "it takes 1.2.17-0 for newer than 1.2.17; to Maven they are the same"
    ),
}
"""What is found here only: the id of a record and the package."""

REAL: Final = ("zeppelin-server", "maven-classifier")
"""Folders of osv-scalibr's tests with records of OSV as they are: 364 of GitHub's advisories, nearly all on Maven."""

OPTIONS: Final = ("--offline", "--offline-vulnerabilities", "--all-vulns", "--format", "json")

DEVELOPMENT: Final = "(devel)"
"""A version that is none: osv-scanner takes it for one below all others; here it makes the result partial."""


def jar(**properties: str) -> bytes:
    """Return a jar, with properties of Maven if they are given."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("META-INF/MANIFEST.MF", "Manifest-Version: 1.0\r\n")
        if properties:
            path = f"META-INF/maven/{properties['groupId']}/{properties['artifactId']}/pom.properties"
            archive.writestr(path, "".join(f"{name}={value}\n" for name, value in properties.items()))
    return stream.getvalue()


def real_records() -> dict[str, Mapping[str, Any]]:
    """Return records of OSV by their ids."""
    folder = go_module(*SCALIBR) / "guidedremediation/internal/strategy/override/testdata"
    lists = (json.loads((folder / name / "vulnerabilities.json").read_text())["vulns"] for name in REAL)
    return {each["id"]: each for found in lists for each in found}


def maven() -> dict[str, bytes]:
    """Return the files of an image with each library of the real records, at each bound and some listed versions."""
    files = {}
    for library in (library for each in real_records().values() for library in each["affected"]):
        if library["package"]["ecosystem"] == "Maven":
            group, _, artifact = library["package"]["name"].partition(":")
            listed = library.get("versions", [])
            events = [event for each in library.get("ranges", ()) for event in each["events"]]
            bounds = {version for each in events for version in each.values()}
            for version in bounds.union(listed[:: len(listed) // 3 + 1], listed[-1:]):
                content = jar(groupId=group, artifactId=artifact, version=version)
                files[f"opt/{group}/{artifact}-{version}.jar"] = content
    return files


def python(name: str, version: str) -> bytes:
    return f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n\n".encode()


def debian() -> dict[str, bytes]:
    """Return the files of an image with programs of Go, Python and Java."""
    packages = (
        ("libssl3", "3.0.11-1~deb12u2", "Source: openssl\n"),
        ("tool", "5:1.0-1+b2", "Source: built (5:1.0-1)\n"),
        ("epoch", "1:2.0-1", ""),
    )
    status = "\n".join(
        f"Package: {name}\nStatus: install ok installed\nArchitecture: amd64\nVersion: {version}\n{source}"
        for name, version, source in packages
    )
    folder = "golang/gobinary/testdata"
    return {
        "etc/os-release": b'ID=debian\nVERSION_ID="12"\n',
        STATUS: status.encode(),
        "bin/app": reference_input(f"{folder}/binary_with_modules-linux-amd64"),
        "bin/replaced": reference_input(f"{folder}/binary_with_module_replacement-linux-amd64"),
        "bin/ingress": reference_input(f"{folder}/nginx-ingress-controller"),
        "lib/site-packages/pillow-10.0.0.dist-info/METADATA": python("Pillow", "10.0.0"),
        "lib/site-packages/zope.interface-5.0.dist-info/METADATA": python("zope.interface", "5.0"),
        "opt/spring-core-5.3.17.jar": jar(),
        "opt/jackson.jar": jar(groupId="com.fasterxml", artifactId="jackson", version="2.9.10"),
    }


def images(folder: Path) -> dict[str, dict[str, bytes]]:
    """Return the files of all images."""
    libraries = header("openssl-libs", "3.0.7", "24.el9", epoch=1, source="openssl-3.0.7-24.el9.src.rpm")
    return {
        "debian": debian(),
        "maven": {"etc/os-release": b'ID=debian\nVERSION_ID="12"\n', **maven()},
        "alpine": {
            "etc/os-release": b"ID=alpine\nVERSION_ID=3.18.4\n",
            INSTALLED: b"P:libcrypto3\nV:3.1.0-r4\nA:x86_64\nL:MIT\no:openssl\n\n",
        },
        "rocky": {
            "etc/os-release": b'ID="rocky"\nVERSION_ID="9.0"\n',
            "var/lib/rpm/rpmdb.sqlite": sqlite_of(folder / "rpmdb.sqlite", libraries),
        },
    }


@pytest.fixture(scope="module")
def dumps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a dump of each ecosystem, as osv-scanner keeps them."""
    root = tmp_path_factory.mktemp("dumps")
    by_ecosystem: dict[str, dict[str, bytes]] = {name: {} for name in ecosystems.SCHEMES}
    for each in RECORDS:
        name = each["affected"][0]["package"]["ecosystem"].partition(":")[0]
        by_ecosystem[name][f"{each['id']}.json"] = json.dumps(each).encode()
    for id, real in real_records().items():
        for name in {package["package"]["ecosystem"] for package in real["affected"]}.intersection(by_ecosystem):
            by_ecosystem[name][f"{id}.json"] = json.dumps(real).encode()
    for path in (go_module(*VULNDB) / "data" / "osv").glob("*.json"):
        by_ecosystem["Go"][path.name] = path.read_bytes()
    for name, members in by_ecosystem.items():
        (root / "osv-scalibr" / name).mkdir(parents=True)
        write_dump(root / "osv-scalibr" / name / "all.zip", members)
    return root


Found = set[tuple[str, str, str]]
"""The id of a record, and the name and version of the package."""


def _found(id: str, name: str, version: str) -> tuple[str, str, str]:
    """Return a finding as both write it: the name without a group, as PyPI normalises it, and the bare version."""
    name = ecosystems.name_in("PyPI", name.rpartition(":")[2])
    return id, name, version.removeprefix("go").removeprefix("v")


def found_here(files: Mapping[str, bytes], dumps: Path, folder: Path) -> tuple[Found, Found, list[str]]:
    """Return what is found, that with the ids of the records that are the same vulnerabilities, and the notes."""
    databases = {each.ecosystem: CountedDatabase(each.path) for each in import_folder(dumps, folder) if each.path}
    image: ImagePackages = merge([read(tar_of(files))])
    matches = match(image, databases.get)
    found = {_found(each.id, each.package.name, each.package.version) for each in matches.findings}
    same = {_found(id, each.package.name, each.package.version) for each in matches.findings for id in each.aliases}
    return found, found | same, [*matches.notes]


def found_by_osv_scanner(files: Mapping[str, bytes], dumps: Path, archive: Path) -> Found:
    """Return what osv-scanner finds in an image as `docker save` writes it."""
    scanner = find_program("osv-scanner", "go install github.com/google/osv-scanner/v2/cmd/osv-scanner@v2.5.1")
    archive.write_bytes(docker_archive(files))
    done = subprocess.run(
        [scanner, "scan", "image", "--archive", archive, *OPTIONS],
        env={**os.environ, "OSV_SCANNER_LOCAL_DB_CACHE_DIRECTORY": str(dumps)},
        capture_output=True,
        timeout=600,
        check=False,
    )
    packages: list[Any] = [each for result in json.loads(done.stdout)["results"] for each in result["packages"]]
    return {
        _found(each["id"], package.get("os_package_name") or package["name"], package["version"])
        for found in packages
        for package in [found["package"]]
        for each in found.get("vulnerabilities", ())
    }


def docker_archive(files: Mapping[str, bytes]) -> bytes:
    """Return an image of one layer."""
    programs = [(member(name, content), content) for name, content in files.items()]
    for info, _ in programs:
        info.mode = 0o755
    layer = tar(*programs)
    rootfs = {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]}
    config = json.dumps({"architecture": "amd64", "os": "linux", "config": {}, "rootfs": rootfs}).encode()
    manifest = [{"Config": "config.json", "RepoTags": ["team/app:v1"], "Layers": ["layer.tar"]}]
    return tar_of({"config.json": config, "layer.tar": layer, "manifest.json": json.dumps(manifest).encode()})


def test_osv_scanner_finds_the_same_vulnerabilities(dumps: Path, tmp_path: Path) -> None:
    compared: Found = set()
    different: set[tuple[str, str]] = set()
    for name, files in images(tmp_path).items():
        (tmp_path / name).mkdir()
        ours, all_ids, notes = found_here(files, dumps, tmp_path / name)
        theirs = found_by_osv_scanner(files, dumps, tmp_path / f"{name}.tar")
        uncompared = {each for each in theirs if each[2] == DEVELOPMENT}

        assert bool(uncompared) == any("version of k8s.io/ingress-nginx is not known" in each for each in notes), name
        assert theirs - all_ids == uncompared, name
        different |= {(id, package) for id, package, _ in ours - theirs}
        compared |= ours & theirs
    assert len(compared) > 11_000
    assert different == DIFFERENCES.keys()

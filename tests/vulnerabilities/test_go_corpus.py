"""The records of Go's own database, from its module: a real dump."""

import json
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from lading.scanning.packages import GO, ImagePackages, Package
from lading.vulnerabilities import database
from lading.vulnerabilities.matcher import match
from tests.support.osv_dumps import CountedDatabase
from tests.support.requirements import find_program, skip_or_fail

MODULE: Final = "golang.org/x/vulndb@v0.0.0-20261105234957-e22db6528018"
"""4,789 records (CC-BY 4.0)."""

INSTALLED: Final = {
    "stdlib": "go1.20",
    "github.com/docker/docker": "v20.10.0+incompatible",
    "golang.org/x/net": "v0.1.0",
    "golang.org/x/crypto": "v0.0.0-20210101000000-abcdefabcdef",
    "k8s.io/kubernetes": "v1.20.0",
    "github.com/containerd/containerd": "v1.5.0",
}


@pytest.fixture(scope="module")
def records() -> Path:
    """Return the folder of the records, in the cache of Go's modules."""
    go = find_program("go", "https://go.dev/dl")
    command = [go, "mod", "download", "-json", MODULE]
    found = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    if found.returncode:
        skip_or_fail(f"needs Go's module {MODULE}: {found.stdout[-300:]}{found.stderr[-300:]}")
    return Path(json.loads(found.stdout)["Dir"]) / "data" / "osv"


@pytest.fixture(scope="module")
def go(records: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[CountedDatabase]:
    folder = tmp_path_factory.mktemp("go")
    with zipfile.ZipFile(folder / "all.zip", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for path in records.glob("*.json"):
            archive.write(path, path.name)
    compiled = database.compile("Go", folder / "all.zip", folder / "go.sqlite")
    assert (compiled.records, compiled.unreadable) == (4_771, 0)
    with CountedDatabase(folder / "go.sqlite") as found:
        yield found


def test_all_records_that_are_not_withdrawn_are_there(go: CountedDatabase, records: Path) -> None:
    withdrawn = sum('"withdrawn"' in path.read_text() for path in records.glob("*.json"))

    assert go.records + withdrawn == len(list(records.glob("*.json"))) == 4_789


def test_it_is_small(go: CountedDatabase, tmp_path: Path) -> None:
    """Files of 20 MB are records of 1.6 MB."""
    size = go._connection.execute("SELECT page_count * 4096 FROM pragma_page_count").fetchone()[0]

    assert size < 2_200_000


def test_modules_are_matched_as_their_events_say(go: CountedDatabase, records: Path) -> None:
    """The same by another way: no index, and the versions as numbers."""
    packages = [Package(type=GO, name=name, version=version) for name, version in INSTALLED.items()]

    found = match(ImagePackages(packages=packages), {"Go": go}.get)

    assert {(each.package.name, each.id) for each in found.findings} == set(expected(records))
    assert len(found.findings) > 200
    assert (go.searches, found.missing, found.notes) == (len(INSTALLED), [], [])


def numbers(version: str) -> tuple[tuple[int, ...], str]:
    """Return a version as numbers, and what orders it before the release: "~" after it."""
    numeric, _, before = version.removeprefix("go").removeprefix("v").partition("+")[0].partition("-")
    parts = [int(each) for each in numeric.split(".")]
    return tuple(parts + [0] * (3 - len(parts))), before or "~"


def expected(records: Path) -> Iterator[tuple[str, str]]:
    for path in records.glob("*.json"):
        record = json.loads(path.read_text())
        for each in [] if "withdrawn" in record else record["affected"]:
            name = each["package"]["name"]
            if name in INSTALLED and any(is_in(INSTALLED[name], found["events"]) for found in each["ranges"]):
                yield name, record["id"]


def is_in(version: str, events: list[dict[str, str]]) -> bool:
    vulnerable = False
    for event in events:
        ((kind, at),) = event.items()
        if at == "0" or numbers(version) >= numbers(at):
            vulnerable = kind == "introduced"
    return vulnerable

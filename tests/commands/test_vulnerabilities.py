"""`lading vulnerabilities`: data becomes artifacts of the registry, and is replaced only where it changed."""

import gzip
import json
import re
import sys
import tomllib
from collections.abc import Callable
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import pytest

from lading.commands.vulnerabilities import PACKAGES
from lading.registry.registry import Registry
from lading.registry.scans.vulnerability_data import see
from lading.scan_composition import EXTRA
from lading.vulnerabilities import database, download
from lading.vulnerabilities.database import Database
from lading.vulnerabilities.download import Update
from lading_storage.records.core import Key, Tag
from tests.commands.tables import json_rows, table
from tests.support.osv_dumps import vulnerable, write_dump
from tests.support.registry_pushes import push_image
from tests.support.scan_results import NOW

Run = Callable[..., str]

REPOSITORY = "lading/vulnerabilities"


@pytest.fixture(autouse=True)
def image(registry: Registry) -> None:
    """An image: commands find no registry in a database where nothing was ever stored."""
    push_image(registry, "team/app", "v1")


@pytest.fixture
def dumps(tmp_path: Path) -> Path:
    """A folder as osv-scanner has it, with the data of PyPI, scores and a catalog."""
    folder = tmp_path / "dumps"
    (folder / "osv-scalibr" / "PyPI").mkdir(parents=True)
    write_dump(folder / "osv-scalibr" / "PyPI" / "all.zip", [vulnerable("PYSEC-1", "PyPI", "flask", "2.0")])
    return folder


def digest_of_tag(registry: Registry, tag: str) -> str:
    key = Key(Tag, tag, REPOSITORY)
    found = registry.metadata.read([key])[key]
    return found.digest if found else ""


def test_an_import_is_an_artifact_that_a_scanner_can_open(
    registry: Registry, dumps: Path, lading: Run, tmp_path: Path
) -> None:
    (row,) = json_rows(lading("vulnerabilities", "import", str(dumps), "--json"))

    assert row == {"ecosystem": "PyPI", "outcome": "updated", "records": 1, "error": ""}
    artifacts = registry.scans.vulnerability_data(REPOSITORY)
    stored = artifacts.current(["PyPI"])["PyPI"]
    (tmp_path / "copy.sqlite").write_bytes(gzip.decompress(b"".join(artifacts.open(stored))))
    with Database(tmp_path / "copy.sqlite") as opened:
        assert [each.id for each in opened.find("flask")] == ["PYSEC-1"]


def test_the_same_data_is_stored_once_and_newer_data_replaces_it(registry: Registry, dumps: Path, lading: Run) -> None:
    lading("vulnerabilities", "import", str(dumps))
    first = digest_of_tag(registry, "pypi")

    assert json_rows(lading("vulnerabilities", "import", str(dumps), "--json"))[0]["outcome"] == "unchanged"
    assert digest_of_tag(registry, "pypi") == first
    write_dump(dumps / "osv-scalibr" / "PyPI" / "all.zip", [vulnerable("PYSEC-2", "PyPI", "flask")])
    assert json_rows(lading("vulnerabilities", "import", str(dumps), "--json"))[0]["outcome"] == "updated"

    assert digest_of_tag(registry, "pypi") not in ("", first)
    assert [row["digest"] for row in json_rows(lading("vulnerabilities", "status", "--json"))] == [
        digest_of_tag(registry, "pypi")
    ]


def test_scores_and_a_catalog_have_names_of_their_own(
    registry: Registry, dumps: Path, lading: Run, tmp_path: Path
) -> None:
    scores, catalog = tmp_path / "scores", tmp_path / "kev"
    scores.write_text("cve,epss,percentile\nCVE-2026-1,0.5,0.9\n")
    catalog.write_text(json.dumps({"vulnerabilities": [{"cveID": "CVE-2026-2"}]}))

    words = ["vulnerabilities", "import", str(dumps), "--epss", str(scores), "--kev", str(catalog)]
    assert [row["ECOSYSTEM"] for row in table(lading(*words))] == ["PyPI", "exploits"]
    assert digest_of_tag(registry, "exploits")
    scores.write_text("nothing")
    failed = lading(*words, "--json", status=1)
    assert failed == "", "the reason is in the row"


def test_without_data_the_status_says_so(registry: Registry, lading: Run) -> None:
    assert lading("vulnerabilities", "status") == "there is no vulnerability data, and no image needs any yet\n"
    assert lading("vulnerabilities", "status", "--json") == ""


def test_a_folder_without_data_is_an_error(registry: Registry, tmp_path: Path, lading: Run) -> None:
    assert "has no data" in lading("vulnerabilities", "import", str(tmp_path), status=1)
    assert "is no folder" in lading("vulnerabilities", "import", str(tmp_path / "absent"), status=1)


def test_an_update_downloads_what_images_need_by_its_version(
    registry: Registry, lading: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: list[Any] = []

    def update(source: str, etags: dict[str, str], folder: Path) -> Any:
        asked.append((source, dict(etags)))
        for name in sorted(etags):
            if name == "npm":
                yield Update(ecosystem=name, error="the source has no data of it")
            elif etags[name]:
                yield Update(ecosystem=name, etag=etags[name])
            else:
                dump = write_dump(tmp_path / "all.zip", [vulnerable("PYSEC-1", name, "flask", "2.0")])
                compiled = database.compile(name, dump, folder / "new.sqlite")
                yield Update(ecosystem=name, etag='"v1"', path=folder / "new.sqlite", compiled=compiled)

    monkeypatch.setattr(download, "update", update)
    monkeypatch.setenv("LADING_VULNERABILITY_SOURCE", "https://mirror.example.com/osv")
    assert "no image needs data yet" in lading("vulnerabilities", "update")
    see(registry.metadata, ["PyPI"], NOW)

    first = json_rows(lading("vulnerabilities", "update", "--json"))
    second = json_rows(lading("vulnerabilities", "update", "--json"))

    outcomes = [(row["ecosystem"], row["outcome"]) for row in (*first, *second)]
    assert outcomes == [("PyPI", "updated"), ("PyPI", "unchanged")]
    assert asked[-2:] == [
        ("https://mirror.example.com/osv", {"PyPI": ""}),
        ("https://mirror.example.com/osv", {"PyPI": '"v1"'}),
    ]
    assert lading("vulnerabilities", "update", "npm", "--json", status=1) == ""
    registry.deletion.manifest(REPOSITORY, digest_of_tag(registry, "pypi"))
    assert [row["DATA"] for row in table(lading("vulnerabilities", "status"))] == ["none", "none"]
    lading("vulnerabilities", "update", status=1)
    assert asked[-1][1] == {"PyPI": "", "npm": ""}, "what was deleted is downloaded again"
    by_name = {row["ECOSYSTEM"]: row for row in table(lading("vulnerabilities", "status"))}
    assert (by_name["npm"]["DATA"], by_name["npm"]["ERROR"]) == ("none", "the source has no data of it")
    assert by_name["PyPI"]["DATA"].startswith("sha256:")


def test_what_cannot_be_downloaded_is_said(registry: Registry, lading: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "Perl is no ecosystem; there are AlmaLinux" in lading("vulnerabilities", "update", "Perl", status=1)
    assert "import DIR" in lading("vulnerabilities", "update", "--vulnerability-source", "none", status=1)
    refused = lading("vulnerabilities", "update", "--vulnerability-source", "http://mirror.example.com", status=1)
    assert "--vulnerability-source: " in refused


def test_without_the_extra_its_installation_is_named(
    registry: Registry, lading: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "cvss", None)

    assert "pip install 'lading-registry[scan]'" in lading("vulnerabilities", "update", status=1)
    assert "no vulnerability data" in lading("vulnerabilities", "status"), "which needs no extra"


def test_the_packages_that_are_looked_for_are_those_of_the_extra() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
    extra = {re.split(r"[^a-z0-9.-]", line)[0] for line in project["project"]["optional-dependencies"]["scan"]}
    distributions = packages_distributions()

    for package in {*EXTRA, *PACKAGES}:
        assert extra & {name.lower() for name in distributions[package]}, package

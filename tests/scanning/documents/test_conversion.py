"""Conversion on request: with the standard library alone, and all fields of JSON documented."""

import dataclasses
import json
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from lading.scanning.documents.cyclonedx import cyclonedx
from lading.scanning.documents.encoding import encode
from lading.scanning.documents.harbor import harbor
from lading.scanning.documents.occurrences import occurrences
from lading.scanning.documents.sarif import sarif
from lading.scanning.documents.scan_document import ScanDocument, Vulnerability, read
from lading.scanning.documents.severities import FORMATS
from lading.scanning.documents.spdx import spdx
from lading.scanning.documents.statement import document_of, statement
from lading.scanning.documents.table import Row, table
from lading.scanning.findings import SEVERITIES
from tests.scanning.documents.costs import calls_of
from tests.scanning.documents.reports import FULL, LOG4SHELL, large_report
from tests.support.documents import DOCS

CONVERT = """
import sys
from pathlib import Path
from lading.scanning.documents import encoding, harbor, occurrences, sarif, scan_document, spdx, table
folder = Path(sys.argv[1])
document = scan_document.read((folder / "statement").read_bytes())
assert encoding.encode(document) and harbor.harbor(document) and sarif.sarif(document) and table.table(document)
assert occurrences.occurrences(document, "registry.example.com/team/app@sha256:1")
assert spdx.spdx((folder / "sbom").read_bytes())
print(*{each.partition(".")[0] for each in sys.modules})
"""


def test_conversion_imports_only_the_standard_library(tmp_path: Path) -> None:
    (tmp_path / "statement").write_bytes(statement(FULL))
    (tmp_path / "sbom").write_bytes(cyclonedx(FULL))
    command = [sys.executable, "-S", "-c", CONVERT, str(tmp_path)]
    path = ":".join(str(Path(__file__).parents[3] / name) for name in ("functions", "storage"))
    run = subprocess.run(command, env={"PYTHONPATH": path}, capture_output=True, text=True, check=True)
    assert set(run.stdout.split()) - sys.stdlib_module_names == {"lading", "__main__"} - sys.stdlib_module_names


def test_json_has_all_fields() -> None:
    value = json.loads(encode(read(statement(FULL))))
    assert set(value) == {each.name for each in dataclasses.fields(ScanDocument)}
    assert all(
        set(each) == {field.name for field in dataclasses.fields(Vulnerability)} for each in value["vulnerabilities"]
    )
    assert value["counts"] == {
        "critical": {"fixable": 1, "unfixable": 0},
        "unknown": {"fixable": 0, "unfixable": 1},
    }


def documented(heading: str) -> list[list[str]]:
    """Return the cells of the tables of a part of docs/scan-formats.md, without backquotes."""
    _, _, text = (DOCS / "scan-formats.md").read_text().partition(f"\n## {heading}\n")
    lines = [line for line in text.partition("\n## ")[0].splitlines() if line.startswith("| ")]
    return [[cell.strip(" `") for cell in line.strip("|").split("|")] for line in lines]


def test_all_fields_are_documented() -> None:
    fields = [row[0] for row in documented("JSON") if row[0] != "field"]
    assert fields == [each.name for kind in (ScanDocument, Vulnerability) for each in dataclasses.fields(kind)]


def test_all_severities_are_documented() -> None:
    rows = {
        severity: [found.sarif, "none" if found.score is None else str(found.score), found.harbor, found.google]
        for severity, found in FORMATS.items()
    }
    assert {row[0]: row[1:] for row in documented("Severities")[1:]} == rows


def test_each_severity_has_a_word_in_each_format() -> None:
    assert set(FORMATS) == set(SEVERITIES)


def test_a_table_has_one_row_for_a_package_in_several_files_and_suppressed_ones_last() -> None:
    other = replace(LOG4SHELL, package=replace(LOG4SHELL.package, path="other.jar"))
    rows = table(document_of(replace(FULL, findings=[*FULL.findings, other])))
    assert rows[0] == Row(
        severity="critical",
        id="CVE-2021-44228",
        package="org.apache.logging.log4j:log4j-core",
        version="2.14.1",
        fixed="2.15.0",
        remarks=("known exploited", "uncertain: the group of the jar is a guess"),
        paths=("app/lib/log4j core.jar", "other.jar"),
        summary="Remote code injection in Log4j",
    )
    assert [(each.id, each.remarks) for each in rows[1:]] == [
        ("DEBIAN-CVE-2024-2511", ()),
        ("CVE-2023-5678", (f"suppressed: {FULL.findings[1].suppressed}",)),
    ]


@pytest.mark.parametrize(
    ("id", "aliases", "cve"),
    [
        ("CVE-2024-1", ("CVE-2024-2",), "CVE-2024-1"),
        ("GHSA-a", ("CVE-2024-2",), "CVE-2024-2"),
        ("RLSA-2024:1", ("CVE-2024-1", "CVE-2024-2"), "RLSA-2024:1"),
        ("GO-2024-1", (), "GO-2024-1"),
    ],
)
def test_a_vulnerability_is_named_by_its_only_cve(id: str, aliases: tuple[str, ...], cve: str) -> None:
    assert Vulnerability(id=id, aliases=aliases, package="p").cve == cve


@pytest.mark.parametrize("convert", [encode, harbor, partial(occurrences, image="team/app"), sarif, table])
def test_the_costs_of_converting_reports_are_linear(convert: object) -> None:
    assert callable(convert)
    small, large = document_of(large_report(100, 100)), document_of(large_report(100, 400))
    assert calls_of(lambda: convert(large)) < 4.4 * calls_of(lambda: convert(small))


def test_the_costs_of_converting_sboms_are_linear() -> None:
    small, large = cyclonedx(large_report(100, 0)), cyclonedx(large_report(400, 0))
    assert calls_of(lambda: spdx(large)) < 4.4 * calls_of(lambda: spdx(small))

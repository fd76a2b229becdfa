"""Severities: the score of CVSS, else a word; and one finding for the records of one vulnerability."""

import gzip
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from lading.scanning.findings import Finding
from lading.scanning.packages import Package
from lading.vulnerabilities import exploits
from lading.vulnerabilities.exploits import Exploits, ExploitsError
from lading.vulnerabilities.merging import merge
from lading.vulnerabilities.severity import rate

V2 = {"type": "CVSS_V2", "score": "AV:N/AC:L/Au:N/C:C/I:C/A:C"}
V3 = {"type": "CVSS_V3", "score": "CVSS:3.1/AV:N/AC:L/PR:N/UI:R/S:U/C:L/I:N/A:N"}
V4 = {"type": "CVSS_V4", "score": "CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N"}
NONE = {"type": "CVSS_V3", "score": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:N"}
GHSA = {"database_specific": {"severity": "MODERATE"}}


@pytest.mark.parametrize(
    ("record", "affected", "expected"),
    [
        ({}, {}, ("unknown", None)),
        ({"severity": [V2]}, {}, ("high", 10.0)),
        ({"severity": [V2, V3]}, {}, ("medium", 4.3)),
        ({"severity": [V3, V4]}, {}, ("critical", 9.3)),
        ({"severity": [NONE]}, {}, ("negligible", 0.0)),
        ({"severity": [V3]}, {"severity": [V4]}, ("critical", 9.3)),
        ({"severity": [V3], "database_specific": {"severity": "LOW"}}, {}, ("medium", 4.3)),
        ({"severity": [{"type": "CVSS_V3", "score": "damaged"}], **GHSA}, {}, ("medium", None)),
        (GHSA, {}, ("medium", None)),
        ({}, {"ecosystem_specific": {"urgency": "high**"}}, ("high", None)),
        ({}, {"ecosystem_specific": {"urgency": "not yet assigned"}}, ("unknown", None)),
        ({"severity": [V4]}, {"ecosystem_specific": {"urgency": "unimportant"}}, ("negligible", 9.3)),
        ({"severity": [{"type": "Ubuntu", "score": "low"}]}, {}, ("low", None)),
        ({"severity": [{"type": "Ubuntu", "score": "negligible"}, V3]}, {}, ("negligible", 4.3)),
        ({"summary": "Important: openssl security update"}, {}, ("high", None)),
        ({"summary": "An Important: one"}, {}, ("unknown", None)),
        ({"id": "MAL-2024-1"}, {}, ("critical", None)),
        ({"severity": "high", "database_specific": ["x"]}, {"ecosystem_specific": 3}, ("unknown", None)),
    ],
)
def test_severity(record: Mapping[str, Any], affected: Mapping[str, Any], expected: tuple[str, float | None]) -> None:
    assert rate(record, affected) == expected


def finding(id: str, *aliases: str, **fields: Any) -> Finding:
    package = Package(type="deb", name="openssl", version="1")
    return Finding(id=id, aliases=aliases, package=package, ecosystem="Debian:12", **fields)


def test_records_of_one_vulnerability_are_one_finding() -> None:
    (found,) = merge(
        [
            finding("PYSEC-1", "CVE-1", summary="words"),
            finding("GHSA-1", "CVE-1", "PYSEC-1", severity="high", score=7.5),
            finding("GHSA-2", "GHSA-1", severity="low", fixed="2"),
        ]
    )

    assert (found.id, found.aliases) == ("GHSA-1", ("CVE-1", "GHSA-2", "PYSEC-1"))
    assert (found.severity, found.score, found.fixed, found.summary) == ("high", 7.5, "2", "words")


def test_groups_that_a_later_record_joins() -> None:
    found = merge([finding("A", "1"), finding("B", "2"), finding("C", "3"), finding("D", "1", "2")])

    assert sorted((each.id, each.aliases) for each in found) == [("A", ("1", "2", "B", "D")), ("C", ("3",))]


def test_a_certain_record_makes_an_uncertain_one_certain() -> None:
    (found,) = merge([finding("A", "1", uncertain="why", severity="critical"), finding("B", "1", severity="low")])
    (doubtful,) = merge([finding("A", "1", uncertain="why"), finding("B", "1", uncertain="other")])

    assert (found.id, found.severity, found.uncertain) == ("B", "low", "")
    assert doubtful.uncertain == "why"


def test_an_advisory_counts_only_what_has_no_record_of_its_own() -> None:
    records = [finding("DEBIAN-CVE-1", "CVE-1"), finding("DEBIAN-CVE-2", "CVE-2")]
    whole, partly = finding("DSA-1", covers=("CVE-1", "CVE-2")), finding("DSA-2", covers=("CVE-1", "CVE-3"))

    assert {each.id for each in merge([*records, whole, partly])} == {"DEBIAN-CVE-1", "DEBIAN-CVE-2", "DSA-2"}


SCORES = (
    b"#model_version:v2025.03.14,score_date:2026-01-01\ncve,epss,percentile\nCVE-1,0.97432,0.999\nCVE-2,0.00042,0.1\n"
)
CATALOG = b'{"vulnerabilities": [{"cveID": "CVE-2"}, {"cveID": "CVE-3"}]}'


@pytest.mark.parametrize("compressed", [False, True])
def test_scores_and_known_exploits(tmp_path: Path, compressed: bool) -> None:
    scores, catalog, target = tmp_path / "epss.csv", tmp_path / "kev.json", tmp_path / "exploits.sqlite"
    scores.write_bytes(gzip.compress(SCORES) if compressed else SCORES)
    catalog.write_bytes(CATALOG)

    version = exploits.compile(scores, catalog, target)

    with Exploits(target) as found:
        assert found.find(("GHSA-1", "CVE-1")) == (0.97, False)
        assert found.find(("RLSA-1", "CVE-1", "CVE-2")) == (0.97, True)
        assert found.find(("CVE-3",)) == (None, True)
        assert found.find(("CVE-4", "GHSA-1")) == (None, False)
        assert found.version == version
    content = target.read_bytes()
    assert exploits.compile(scores, catalog, target) == version
    assert target.read_bytes() == content


@pytest.mark.parametrize(
    ("scores", "catalog"),
    [
        (b"<html>", None),
        (b"cve,epss\nCVE-1,high\n", None),
        (b"\x1f\x8bdamaged", None),
        (b"cve,epss\n\xff,1\n", None),
        (None, b"{}"),
        (None, b"[" * 100_000),
        (None, b'{"vulnerabilities": 3}'),
    ],
)
def test_what_has_neither_scores_nor_a_catalog_is_refused(
    tmp_path: Path, scores: bytes | None, catalog: bytes | None
) -> None:
    def written(name: str, content: bytes | None) -> Path | None:
        (tmp_path / name).write_bytes(content or b"")
        return None if content is None else tmp_path / name

    with pytest.raises(ExploitsError, match=r"scores|catalog"):
        exploits.compile(written("scores", scores), written("catalog", catalog), tmp_path / "exploits.sqlite")
    assert not (tmp_path / "exploits.sqlite").exists()

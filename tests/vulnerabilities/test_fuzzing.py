"""Records, envelopes and documents that are nearly right: each is read, or refused by its own error."""

import json
import os
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Any, Final

import pytest

from lading.scanning.documents import scan_document
from lading.scanning.documents.harbor import harbor
from lading.scanning.documents.sarif import sarif
from lading.scanning.documents.statement import statement
from lading.scanning.findings import DONE, Report
from lading.scanning.packages import NPM, ImagePackages, Package
from lading.signatures.dsse import verify
from lading.signatures.signature import NotVerified
from lading.vulnerabilities import database, openvex, osv, purl_packages, sboms, vulnerability_reports
from lading.vulnerabilities.matcher import match
from lading.vulnerabilities.openvex import VexError
from lading.vulnerabilities.osv import RecordError
from lading.vulnerabilities.reported import SignedReport, merge
from lading.vulnerabilities.sboms import CYCLONEDX, SPDX, SbomError
from lading.vulnerabilities.vulnerability_reports import ReportError
from tests.support.osv_dumps import affected, record, write_dump
from tests.support.scanner_documents import cyclonedx, grype, in_toto, report, spdx, trivy

ROUNDS: Final = 20_000 if os.environ.get("LADING_NIGHTLY") == "1" else 500
TEXTS: Final = ("", "x", "\ud800", "9" * 5000, "1.0.0", "0")
ODD: Final[Sequence[Any]] = (*TEXTS, None, True, 0, -1, 1e400, [], [[]], {}, {"": {}}, [None])

RECORD: Final = record(
    "GHSA-1",
    affected("npm", "a", {"introduced": "0"}, {"fixed": "2.0.0"}, versions=["1.0.0"], severity=[]),
    aliases=["CVE-1"],
    severity=[{"type": "CVSS_V3", "score": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"}],
    database_specific={"severity": "HIGH"},
    published="2026-01-01T00:00:00Z",
)
DOCUMENT: Final[Mapping[str, Any]] = {
    "timestamp": "2026-01-01T00:00:00Z",
    "statements": [
        {
            "vulnerability": {"name": "CVE-1", "aliases": ["GHSA-1"]},
            "products": [{"@id": "pkg:oci/a", "hashes": {"sha-256": "a"}, "subcomponents": [{"@id": "pkg:npm/a"}]}],
            "status": "not_affected",
        }
    ],
}
PACKAGE: Final = "pkg:deb/debian/a@1.0.0?arch=amd64&distro=debian-12&upstream=b%401"
SBOMS: Final[Mapping[str, Mapping[str, Any]]] = {
    CYCLONEDX: cyclonedx(PACKAGE, "pkg:rpm/redhat/a@1-1?epoch=1&upstream=b-1-1.src.rpm", "pkg:golang/a/b@v1"),
    SPDX: spdx(PACKAGE, "pkg:npm/a@1.0.0"),
}
REPORTS: Final[Mapping[str, Any]] = {
    "trivy": report(trivy("CVE-1", "pkg:npm/a@1.0.0", PkgName="a", FixedVersion="2", Title="a")),
    "grype": report(grype("GHSA-1", PACKAGE)),
    "in-toto": report(in_toto("CVE-1", package="a", version="1", fixed="2", aliases=["GHSA-1"])),
}
ENVELOPE: Final[Mapping[str, Any]] = {
    "payloadType": "application/vnd.in-toto+json",
    "payload": "e30=",
    "signatures": [{"keyid": "", "sig": "e30="}],
}


def places_in(value: Any) -> Iterator[tuple[Any, Any]]:
    """Yield each object or array in a value with each of its keys or indexes."""
    for key in list(value) if isinstance(value, dict) else range(len(value) if isinstance(value, list) else 0):
        yield value, key
        yield from places_in(value[key])


def mutations(value: Any) -> Iterator[bytes]:
    """Yield JSON in which some values were replaced, or some bytes of the text."""
    chance = random.Random(21)
    for _ in range(ROUNDS):
        copy = json.loads(json.dumps(value))
        for _ in range(chance.randint(0, 2)):
            container, key = chance.choice(list(places_in(copy)))
            container[key] = deepcopy(chance.choice(ODD))
        content = bytearray(json.dumps(copy).encode())
        for _ in range(chance.randint(0, 2)):
            content[chance.randrange(len(content))] = chance.randrange(256)
        yield bytes(content)


def parse_vex(content: bytes) -> None:
    with suppress(ValueError):
        openvex.parse(json.loads(content))


def parse_sbom(predicate_type: str, content: bytes) -> None:
    with suppress(ValueError):
        for purl in sboms.parse(predicate_type, json.loads(content)).purls:
            if (named := purl_packages.read(purl)) is not None:
                purl_packages.identity(named.package)


def parse_report(content: bytes) -> None:
    with suppress(ValueError):
        report = vulnerability_reports.parse(json.loads(content))
        image = ImagePackages(packages=[Package(type=NPM, name="a", version="1.0.0")])
        found, _ = merge([], image, [SignedReport("signed by a", report.reported)])
        made = Report(digest="sha256:a", state=DONE, image=image, findings=found, at=report.at, scanner="1")
        document = scan_document.read(statement(made))
        assert sarif(document)
        assert harbor(document)


@pytest.mark.parametrize(
    ("value", "read", "refused"),
    [
        (RECORD, lambda content: osv.parse(content, "npm"), RecordError),
        (DOCUMENT, parse_vex, VexError),
        (ENVELOPE, lambda content: verify(content, {}, "sha256:a"), NotVerified),
        *((value, partial(parse_sbom, kind), SbomError) for kind, value in SBOMS.items()),
        *((value, parse_report, ReportError) for value in REPORTS.values()),
    ],
    ids=["record", "document", "envelope", "cyclonedx", "spdx", *REPORTS],
)
def test_what_is_nearly_right(value: Any, read: Callable[[bytes], object], refused: type[Exception]) -> None:
    outcomes = set()
    for content in mutations(value):
        try:
            read(content)
            outcomes.add("read")
        except refused:
            outcomes.add("refused")

    assert "refused" in outcomes


def test_images_are_compared_with_whatever_was_compiled(tmp_path: Path) -> None:
    members = {f"{number}.json": content for number, content in enumerate(mutations(RECORD))}
    compiled = database.compile("npm", write_dump(tmp_path / "odd.zip", members), tmp_path / "odd.sqlite")
    assert compiled.records + compiled.unreadable <= ROUNDS
    assert min(compiled.records, compiled.unreadable) > 0
    with database.Database(tmp_path / "odd.sqlite") as odd:
        found = match(ImagePackages(packages=[Package(type=NPM, name="a", version="1.5.0")]), {"npm": odd}.get)

    assert found.findings

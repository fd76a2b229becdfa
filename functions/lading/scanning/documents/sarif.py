"""Scan document in SARIF 2.1.0 (https://docs.oasis-open.org/sarif/sarif/v2.1.0/), as GitHub's code scanning reads it.

A rule for each vulnerability, a result for each package that has it. A scan that is not complete was not successful and
has a notification of level "error" for each gap (annex I, detecting incomplete results); of an image that was not
compared, there are no results rather than an empty list of them (section 3.14.23). All results have `suppressions`, or
none may (section 3.27.23).
"""

from collections.abc import Iterator, Sequence
from hashlib import sha256
from typing import Any, Final
from urllib.parse import quote

from lading.json_values import rfc3339
from lading.scanning.documents.encoding import encode
from lading.scanning.documents.scan_document import ScanDocument, Vulnerability
from lading.scanning.documents.severities import FORMATS
from lading.scanning.findings import DONE, SEVERITIES

SCHEMA: Final = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
RECORDS: Final = "https://osv.dev/vulnerability/"
BASE: Final = "IMAGE"
"""Names the root of the image's file system, to which paths are relative."""

MIN_SCORE: Final = 0.1
"""The lowest score that GitHub takes."""


def sarif(document: ScanDocument) -> bytes:
    """Return a scan document as a SARIF log of one run."""
    by_id = dict[str, list[Vulnerability]]()
    for each in document.vulnerabilities:
        by_id.setdefault(each.id, []).append(each)
    numbers = {id: number for number, id in enumerate(by_id)}
    run = {
        "tool": {
            "driver": {
                "name": "Lading",
                "version": document.scanner or "unknown",
                "rules": [_rule(vulnerabilities) for vulnerabilities in by_id.values()],
            }
        },
        "invocations": [_invocation(document)],
        "originalUriBaseIds": {BASE: {"description": {"text": f"The file system of the image {document.digest}."}}},
        "results": [_result(each, numbers[each.id]) for each in document.vulnerabilities],
        "columnKind": "unicodeCodePoints",
        "properties": {
            "digest": document.digest,
            "state": document.state,
            "counts": document.counts,
            "data": document.data,
            "missing": document.missing,
        },
    }
    if document.counts is None:
        del run["results"]
    return encode({"$schema": SCHEMA, "version": "2.1.0", "runs": [run]})


def _invocation(document: ScanDocument) -> dict[str, Any]:
    level = "note" if document.state == DONE else "error"
    invocation = {
        "executionSuccessful": document.state == DONE,
        "toolExecutionNotifications": [{"level": level, "message": {"text": f"{gap}."}} for gap in document.gaps],
    }
    return invocation if document.at is None else {**invocation, "endTimeUtc": rfc3339(document.at, "milliseconds")}


def _rule(vulnerabilities: Sequence[Vulnerability]) -> dict[str, Any]:
    """Return the rule of a vulnerability, by the severest of the packages that have it."""
    worst = min(vulnerabilities, key=lambda each: (SEVERITIES.index(each.severity), -(each.score or 0)))
    title = f"{worst.cve}: {worst.summary}" if worst.summary else worst.cve
    properties: dict[str, Any] = {
        "tags": ["security", "vulnerability", worst.severity],
        "aliases": (*worst.aliases, *worst.covers),
    }
    if worst.epss is not None:
        properties["epss"] = worst.epss
    if worst.known_exploited:
        properties["tags"].append("known-exploited")
    if (score := worst.score or FORMATS[worst.severity].score) is not None:
        properties["security-severity"] = f"{max(score, MIN_SCORE):.1f}"
    return {
        "id": worst.id,
        "shortDescription": {"text": title},
        "defaultConfiguration": {"level": FORMATS[worst.severity].sarif},
        "helpUri": f"{RECORDS}{quote(worst.id, safe='', errors='replace')}",
        "properties": properties,
    }


def _result(vulnerability: Vulnerability, rule: int) -> dict[str, Any]:
    identity = (vulnerability.id, vulnerability.purl or vulnerability.package, vulnerability.path)
    suppressed = vulnerability.suppressed
    return {
        "ruleId": vulnerability.id,
        "ruleIndex": rule,
        "level": FORMATS[vulnerability.severity].sarif,
        "message": {"text": " ".join(_sentences(vulnerability))},
        "locations": [_location(vulnerability)],
        "partialFingerprints": {"lading/v1": sha256(encode(identity)).hexdigest()},
        "suppressions": [{"kind": "external", "status": "accepted", "justification": suppressed}] if suppressed else [],
        "properties": {
            "purl": vulnerability.purl,
            "fixed": vulnerability.fixed,
            "ecosystem": vulnerability.ecosystem,
            **({"source": vulnerability.source} if vulnerability.source else {}),
        },
    }


def _sentences(vulnerability: Vulnerability) -> Iterator[str]:
    """Yield what a person should know of a result."""
    version = f" {vulnerability.version}" if vulnerability.version else ""
    package = vulnerability.package or "The image"
    yield f"{package}{version} has {vulnerability.cve}, of {vulnerability.severity} severity."
    yield f"Update it to {vulnerability.fixed}." if vulnerability.fixed else "No version is known that fixes it."
    if vulnerability.known_exploited:
        yield "It is known to be exploited."
    if vulnerability.uncertain:
        yield f"It may be false: {vulnerability.uncertain}."
    if vulnerability.source:
        yield f"A document says so that is {vulnerability.source}."


def _location(vulnerability: Vulnerability) -> dict[str, Any]:
    """Return the file that declares the package. GitHub takes no result without a line, and none has a better one."""
    name = vulnerability.package or "image"
    qualified = vulnerability.purl or name
    location: dict[str, Any] = {
        "logicalLocations": [{"kind": "package", "name": name, "fullyQualifiedName": qualified}]
    }
    if vulnerability.path:
        artifact = {"uri": quote(vulnerability.path, safe="/", errors="replace"), "uriBaseId": BASE}
        location["physicalLocation"] = {"artifactLocation": artifact, "region": {"startLine": 1}}
    return location

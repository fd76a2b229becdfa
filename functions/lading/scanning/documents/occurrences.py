"""Scan document as occurrences of Google's Container Analysis v1, in the form in which that API lists them.

https://cloud.google.com/container-analysis/docs/reference/rest/v1/projects.occurrences#Occurrence

    occurrences[0]   kind DISCOVERY      whether the scan is complete: without FINISHED_SUCCESS no list is of all
    occurrences[1:]  kind VULNERABILITY  one for each vulnerability, with an issue for each package that has it

Nothing is sent to Google: the names of occurrences and notes are of a project `lading` that is not there.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final
from urllib.parse import quote
from uuid import NAMESPACE_URL, uuid5

from lading.json_values import rfc3339
from lading.scanning.documents.encoding import encode
from lading.scanning.documents.scan_document import ScanDocument, Vulnerability
from lading.scanning.documents.severities import FORMATS
from lading.scanning.findings import DONE, FAILED, PARTIAL, UNSUPPORTED, WAITING
from lading.scanning.packages import Distribution

PROJECT: Final = "projects/lading"
RECORDS: Final = "https://osv.dev/vulnerability/"

STATUSES: Final = {
    DONE: "FINISHED_SUCCESS",
    PARTIAL: "FINISHED_FAILED",
    FAILED: "FINISHED_FAILED",
    UNSUPPORTED: "FINISHED_UNSUPPORTED",
    WAITING: "PENDING",
}
"""Statuses of the analysis, by state. A part of it has failed: consumers read FINISHED_SUCCESS as all that there is."""

INCOMPLETE: Final = 9
"""google.rpc.Code FAILED_PRECONDITION, of an analysis that is not complete."""

PACKAGE_TYPES: Final = {
    "deb": "OS",
    "rpm": "OS",
    "apk": "OS",
    "maven": "MAVEN",
    "golang": "GO",
    "pypi": "PYPI",
    "npm": "NPM",
    "nuget": "NUGET",
    "gem": "RUBYGEMS",
    "cargo": "RUST",
    "composer": "COMPOSER",
}
"""Types of packages, by the type of a package URL (PackageData.packageType)."""

CPES: Final = {
    "debian": "cpe:/o:debian:debian_linux:{}",
    "ubuntu": "cpe:/o:canonical:ubuntu_linux:{}",
    "alpine": "cpe:/o:alpinelinux:alpine_linux:{}",
    "rhel": "cpe:/o:redhat:enterprise_linux:{}",
}
"""CPEs of distributions, by the ids of their os-release files."""

OS_VERSION: Final = re.compile(r"(?:(?P<epoch>[0-9]{1,9}):)?(?P<name>.+?)(?:-(?P<revision>[^-]+))?")


def occurrences(document: ScanDocument, image: str) -> bytes:
    """Return a scan document as a list of occurrences.

    Args:
        document: the result of a scan.
        image: HOST/REPOSITORY@DIGEST; without HOST/ where that is not known.
    """
    uri = f"https://{image}"
    found = [_discovery(document, uri), *_vulnerabilities(document, uri)]
    return encode({"occurrences": found})


def _occurrence(document: ScanDocument, uri: str, note: str, kind: str, more: str = "") -> dict[str, Any]:
    """Return the fields of an occurrence of any kind. Its id is the same for the same image and note."""
    times = {} if document.at is None else {"createTime": rfc3339(document.at), "updateTime": rfc3339(document.at)}
    name = quote(note, safe="", errors="replace")
    return {
        "name": f"{PROJECT}/occurrences/{uuid5(NAMESPACE_URL, ascii(f'{uri} {note} {more}'))}",
        "resourceUri": uri,
        "noteName": f"{PROJECT}/notes/{name}",
        "kind": kind,
        **times,
    }


def _discovery(document: ScanDocument, uri: str) -> dict[str, Any]:
    scanned = document.at is not None
    discovery: dict[str, Any] = {
        "continuousAnalysis": "ACTIVE" if scanned else "INACTIVE",
        "analysisStatus": STATUSES.get(document.state, "ANALYSIS_STATUS_UNSPECIFIED"),
    }
    if document.at is not None:
        discovery["lastScanTime"] = rfc3339(document.at)
    if document.state not in (DONE, WAITING):
        discovery["analysisStatusError"] = {"code": INCOMPLETE, "message": f"{'. '.join(document.gaps)}."}
    if cpe := _cpe(document.distribution):
        discovery["cpe"] = cpe
    return _occurrence(document, uri, "PACKAGE_VULNERABILITY", "DISCOVERY") | {"discovery": discovery}


def _vulnerabilities(document: ScanDocument, uri: str) -> Iterable[dict[str, Any]]:
    """Yield an occurrence for each vulnerability, the worst first; what is suppressed has its own."""
    groups: dict[tuple[str, str], list[Vulnerability]] = {}
    for each in document.vulnerabilities:
        groups.setdefault((each.id, each.suppressed), []).append(each)
    for (_, suppressed), group in groups.items():
        occurrence = _occurrence(document, uri, group[0].cve, "VULNERABILITY", f"{group[0].id} {suppressed}")
        yield occurrence | {"vulnerability": _vulnerability(group, document)}


def _vulnerability(group: list[Vulnerability], document: ScanDocument) -> dict[str, Any]:
    first = group[0]
    severity = FORMATS[first.severity].google
    vulnerability: dict[str, Any] = {
        "type": _package_type(first),
        "severity": severity,
        "effectiveSeverity": severity,
        "shortDescription": first.cve,
        "longDescription": first.summary,
        "fixAvailable": any(each.fixed for each in group),
        "packageIssue": [_issue(each, document) for each in group],
        "relatedUrls": [{"url": f"{RECORDS}{quote(first.id, safe='', errors='replace')}", "label": "OSV"}],
    }
    if first.score is not None:
        vulnerability["cvssScore"] = first.score
    risk: dict[str, Any] = {} if first.epss is None else {"epss": {"score": first.epss}}
    if first.known_exploited:
        risk["cisaKev"] = {}
    if risk:
        vulnerability["risk"] = risk
    if first.suppressed:
        vulnerability["vexAssessment"] = {
            "vulnerabilityId": first.cve,
            "state": "NOT_AFFECTED",
            "justification": {"details": first.suppressed},
        }
    return vulnerability


def _issue(each: Vulnerability, document: ScanDocument) -> dict[str, Any]:
    kind = _package_type(each)
    cpe = _cpe(document.distribution) if kind == "OS" else ""
    issue = {
        "affectedPackage": each.package,
        "affectedVersion": _version(each.version, kind),
        "fixedPackage": each.package,
        "fixedVersion": _version(each.fixed, kind) if each.fixed else {"kind": "MAXIMUM"},
        "fixAvailable": bool(each.fixed),
        "packageType": kind,
        "effectiveSeverity": FORMATS[each.severity].google,
    }
    if cpe:
        issue |= {"affectedCpeUri": cpe, "fixedCpeUri": cpe}
    if each.path:
        issue["fileLocation"] = [{"filePath": each.path}]
    return issue


def _version(text: str, kind: str) -> Mapping[str, Any]:
    """Return a version: that of a package of a distribution in its parts, any other as a whole."""
    found = OS_VERSION.fullmatch(text) if kind == "OS" else None
    if not text:
        return {"kind": "VERSION_KIND_UNSPECIFIED"}
    version: dict[str, Any] = {"kind": "NORMAL", "name": found["name"] if found else text, "fullName": text}
    if found and found["epoch"]:
        version["epoch"] = int(found["epoch"])
    if found and found["revision"]:
        version["revision"] = found["revision"]
    return version


def _package_type(vulnerability: Vulnerability) -> str:
    kind = vulnerability.purl.removeprefix("pkg:").partition("/")[0]
    return PACKAGE_TYPES.get(kind, "PACKAGE_TYPE_UNSPECIFIED")


def _cpe(distribution: Distribution) -> str:
    """Return the CPE of a distribution, or "" where it is not known."""
    return CPES[distribution.id].format(distribution.version) if distribution.id in CPES else ""

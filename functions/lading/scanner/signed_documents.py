"""Signed documents of a claim: the registry has verified their signatures, and only that.

VEX     ─▶ statements, which suppress findings
SBOMs   ─▶ packages, which are compared as those of the image
reports ─▶ vulnerabilities, which are added to the findings
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final

from lading.quantity import counted
from lading.registry.scans.claim import Claim, SignedDocument
from lading.scanning.image_packages import order
from lading.scanning.packages import ImagePackages
from lading.vulnerabilities import openvex, purl_packages, sboms, vulnerability_reports
from lading.vulnerabilities.openvex import MAX_REASON, VexError, VexStatement
from lading.vulnerabilities.purl_packages import NamedPackage, identity
from lading.vulnerabilities.reported import SignedReport
from lading.vulnerabilities.sboms import SbomError
from lading.vulnerabilities.vulnerability_reports import ReportError, VulnerabilityReport

MAX_TYPES: Final = 5
"""Types of packages that a remark lists."""


@dataclass(slots=True)
class SignedContent:
    """What the documents of a claim say.

    Attributes:
        statements: of VEX; their reasons name the key that signed them.
        packages: of SBOMs; their origins do.
        reports: the newest one of each scanner and key.
        notes: what makes the result partial: a signed SBOM or report that cannot be read.
        remarks: what does not count for other reasons.
    """

    statements: list[VexStatement] = field(default_factory=list)
    packages: list[NamedPackage] = field(default_factory=list)
    reports: list[SignedReport] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)


def read(claim: Claim) -> SignedContent:
    """Return what the documents of a claim say."""
    content = SignedContent(notes=[*claim.notes], remarks=[*claim.remarks])
    reports: list[tuple[SignedDocument, VulnerabilityReport]] = []
    for document in claim.signed:
        try:
            predicate = json.loads(document.content)
            if document.predicate_type.startswith(openvex.PREDICATE):
                content.statements += _statements(document, predicate)
            elif document.predicate_type.startswith(sboms.PREDICATES):
                _add_sbom(content, document, predicate)
            else:
                reports.append((document, vulnerability_reports.parse(predicate)))
        except VexError as error:
            content.remarks.append(f"the VEX document {_named(document)}, does not count: {error}")
        except (SbomError, ReportError) as error:
            content.notes.append(f"the document {_named(document)}, cannot be read: {error}")
        except (ValueError, RecursionError):
            content.notes.append(f"the document {_named(document)}, cannot be read: it is not JSON")
    content.reports = [SignedReport(_origin(document), report.reported) for document, report in _newest(reports)]
    return content


def with_packages(image: ImagePackages, signed: SignedContent) -> ImagePackages:
    """Return what an image contains, with the packages that only SBOMs name.

    The distribution is that of the image if it has one, since that is what its packages were made for.
    """
    known = {identity(each) for each in image.packages}
    added: dict[tuple[str, str, str], NamedPackage] = {}
    for named in signed.packages:
        if identity(named.package) not in known:
            added.setdefault(identity(named.package), named)
    if not added:
        return image
    named_distributions = (each.distribution for each in added.values() if each.distribution.id)
    distribution = image.distribution if image.distribution.id else next(named_distributions, image.distribution)
    packages = sorted((*image.packages, *(each.package for each in added.values())), key=order)
    return replace(image, packages=packages, distribution=distribution, is_supported=True)


def _origin(document: SignedDocument) -> str:
    return f"signed by {document.key}"


def _named(document: SignedDocument) -> str:
    return f"{document.digest}, {_origin(document)}"


def _statements(document: SignedDocument, predicate: Mapping[str, Any]) -> Iterator[VexStatement]:
    """Yield statements with the key in their reasons. Raises VexError."""
    signed = f", {_origin(document)}"
    for each in openvex.parse(predicate):
        yield replace(each, reason=each.reason[: MAX_REASON - len(signed)] + signed)


def _add_sbom(content: SignedContent, document: SignedDocument, predicate: Mapping[str, Any]) -> None:
    """Add the packages of an SBOM, and a remark about those that cannot be compared. Raises SbomError."""
    sbom = sboms.parse(document.predicate_type, predicate)
    others = Counter[str]()
    for purl in sbom.purls:
        if (named := purl_packages.read(purl, _origin(document))) is not None:
            content.packages.append(named)
        else:
            others[purl.removeprefix("pkg:").partition("/")[0][:20]] += 1
    if sbom.unnamed:
        others["no type"] += sbom.unnamed
    if others:
        types = ", ".join(name for name, _ in others.most_common(MAX_TYPES))
        packages = counted(others.total(), "package")
        verb = "is" if others.total() == 1 else "are"
        content.remarks.append(f"{packages} of the SBOM {_named(document)}, {verb} not compared: of {types}")


def _newest(
    reports: list[tuple[SignedDocument, VulnerabilityReport]],
) -> Iterator[tuple[SignedDocument, VulnerabilityReport]]:
    """Yield the reports that none of the same scanner and key is newer than, by the time that they themselves name."""
    latest: dict[tuple[str, str], datetime] = {}
    for document, report in reports:
        scanner = document.key, report.scanner
        latest[scanner] = max(report.at, latest.get(scanner, report.at))
    return (each for each in reports if each[1].at == latest[each[0].key, each[1].scanner])

"""SBOMs of other scanners: the package URLs that they name, in CycloneDX and SPDX, as predicates of signed statements.

https://cyclonedx.org/docs/1.6/json/, https://spdx.github.io/spdx-spec/v2.3/
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

CYCLONEDX: Final = "https://cyclonedx.org/bom"
SPDX: Final = "https://spdx.dev/Document"
PREDICATES: Final = (CYCLONEDX, SPDX)
"""Beginnings of the types of predicates that are SBOMs."""

MAX_COMPONENTS: Final = 50_000
"""Components that are read, nested ones among them."""

PACKAGES: Final = ("application", "framework", "library")
"""Types of components of CycloneDX that may be packages; the others are files, devices and operating systems."""


UNREADABLE: Final = (TypeError, KeyError, AttributeError, ValueError)
"""What a document of another form raises."""


class SbomError(Exception):
    """A document is no SBOM that can be read; the message is a clause that says why."""


@dataclass(frozen=True, slots=True)
class Sbom:
    """What an SBOM names.

    Attributes:
        purls: package URLs, each once.
        unnamed: the number of packages without a package URL.
    """

    purls: tuple[str, ...]
    unnamed: int


def essential(predicate_type: str, predicate: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return an SBOM with nothing but what `parse` reads: syft lists 30 files for each package of Debian.

    What cannot be read is returned as it is, so that `parse` says why.
    """
    try:
        purls = list(islice(_purls(predicate_type, predicate), MAX_COMPONENTS + 1))
    except UNREADABLE:
        return predicate
    if predicate_type.startswith(CYCLONEDX):
        return {"bomFormat": "CycloneDX", "components": [{"type": "library", "purl": each} for each in purls]}
    references = ([{"referenceType": "purl", "referenceLocator": each}] if each else [] for each in purls)
    return {"spdxVersion": "SPDX-2.3", "packages": [{"externalRefs": each} for each in references]}


def parse(predicate_type: str, predicate: Mapping[str, Any]) -> Sbom:
    """Return what an SBOM names. Raises SbomError."""
    try:
        purls, unnamed = dict[str, None](), 0
        for number, purl in enumerate(_purls(predicate_type, predicate)):
            if number >= MAX_COMPONENTS:
                raise SbomError(f"it has more than {MAX_COMPONENTS} components")
            if purl:
                purls[purl] = None
            else:
                unnamed += 1
    except UNREADABLE:
        raise SbomError("it is not an SBOM in JSON") from None
    return Sbom(tuple(purls), unnamed)


def _purls(predicate_type: str, predicate: Mapping[str, Any]) -> Iterator[str]:
    """Yield a package URL of each package, "" for one without; what is no SBOM raises one of UNREADABLE."""
    return _of_cyclonedx(predicate) if predicate_type.startswith(CYCLONEDX) else _of_spdx(predicate)


def _of_cyclonedx(document: Mapping[str, Any]) -> Iterator[str]:
    """Yield the package URL of each component, "" for a package without one."""
    if document["bomFormat"] != "CycloneDX":
        raise ValueError
    pending = [document.get("components") or []]
    while pending:
        for component in pending.pop():
            if nested := component.get("components"):
                pending.append(nested)
            purl = component.get("purl") or ""
            if purl or component.get("type") in PACKAGES:
                yield _text(purl)


def _of_spdx(document: Mapping[str, Any]) -> Iterator[str]:
    """Yield the package URLs of each package, "" for one without any, but for the image itself."""
    if not document["spdxVersion"].startswith("SPDX-2"):
        raise ValueError
    described = {*(document.get("documentDescribes") or ())}
    for each in document.get("relationships") or ():
        if each.get("relationshipType") == "DESCRIBES":
            described.add(each.get("relatedSpdxElement"))
    for package in document.get("packages") or ():
        references = package.get("externalRefs") or ()
        purls = [_text(each["referenceLocator"]) for each in references if each.get("referenceType") == "purl"]
        if package.get("SPDXID") in described or package.get("primaryPackagePurpose") in NO_PACKAGES:
            yield from (each for each in purls if not each.startswith(IMAGES))
        else:
            yield from purls or [""]


IMAGES: Final = ("pkg:docker/", "pkg:oci/")
"""Package URLs of images: syft and Trivy name that of the whole image."""

NO_PACKAGES: Final = ("CONTAINER", "FILE", "OPERATING-SYSTEM", "OPERATING_SYSTEM")
"""Purposes of SPDX that no package has."""


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value

"""SBOMs of other scanners: the package URLs that they name, in CycloneDX and SPDX, as predicates of signed statements.

https://cyclonedx.org/docs/1.6/json/, https://spdx.github.io/spdx-spec/v2.3/
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

CYCLONEDX: Final = "https://cyclonedx.org/bom"
SPDX: Final = "https://spdx.dev/Document"
PREDICATES: Final = (CYCLONEDX, SPDX)
"""Beginnings of the types of predicates that are SBOMs."""

MAX_COMPONENTS: Final = 50_000
"""Components that are read, nested ones among them."""

PACKAGES: Final = ("application", "framework", "library")
"""Types of components of CycloneDX that may be packages; the others are files, devices and operating systems."""


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


def parse(predicate_type: str, predicate: Mapping[str, Any]) -> Sbom:
    """Return what an SBOM names. Raises SbomError."""
    try:
        found = _of_cyclonedx(predicate) if predicate_type.startswith(CYCLONEDX) else _of_spdx(predicate)
        purls, unnamed = dict[str, None](), 0
        for number, purl in enumerate(found):
            if number >= MAX_COMPONENTS:
                raise SbomError(f"it has more than {MAX_COMPONENTS} components")
            if purl:
                purls[purl] = None
            else:
                unnamed += 1
    except (TypeError, KeyError, AttributeError, ValueError):
        raise SbomError("it is not an SBOM in JSON") from None
    return Sbom(tuple(purls), unnamed)


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
        if purls or not (package.get("SPDXID") in described or package.get("primaryPackagePurpose") in NO_PACKAGES):
            yield from purls or [""]


NO_PACKAGES: Final = ("CONTAINER", "FILE", "OPERATING-SYSTEM", "OPERATING_SYSTEM")
"""Purposes of SPDX that no package has."""


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value

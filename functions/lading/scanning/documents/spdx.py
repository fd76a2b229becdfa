"""SBOM in SPDX 2.3 (https://spdx.github.io/spdx-spec/v2.3/), made of a CycloneDX document by Lading."""

import json
import uuid
from datetime import datetime
from typing import Any, Final

from lading.json_values import rfc3339
from lading.scanning.documents.encoding import encode

NAMESPACES: Final = uuid.UUID("f1bb3f5b-6fd5-5b1c-8a54-4f0e8e0a3f13")
"""Namespace of the ids in the documents' own namespaces."""

DOCUMENT: Final = "SPDXRef-DOCUMENT"
UNKNOWN: Final = "NOASSERTION"
PURPOSES: Final = {"container": "CONTAINER", "library": "LIBRARY", "operating-system": "OPERATING_SYSTEM"}
"""Purposes of packages by the types of components."""
COMMENTS: Final = {
    "lading:scan:state": "State of the scan: {}.",
    "lading:scan:note": "Not complete: {}.",
    "lading:scan:missing-data": "There is no vulnerability data of {}.",
}
"""Comments by the properties of a CycloneDX document."""


def spdx(sbom: bytes) -> bytes:
    """Return an SBOM in SPDX format.

    Raises:
        ValueError: the SBOM was not made by Lading.
    """
    try:
        return encode(_document(json.loads(sbom)))
    except (LookupError, TypeError, AttributeError) as error:
        raise ValueError(f"the SBOM is none by Lading ({error!r})") from error


def _document(bom: dict[str, Any]) -> dict[str, Any]:
    metadata = bom["metadata"]
    image = metadata["component"]
    parts = bom["components"]
    (tool,) = metadata["tools"]["components"]
    comment = "\n".join(COMMENTS[each["name"]].format(each["value"]) for each in metadata["properties"])
    created = rfc3339(datetime.fromisoformat(metadata["timestamp"]), "seconds")
    return {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": DOCUMENT,
        "name": image["name"],
        "documentNamespace": f"urn:uuid:{uuid.uuid5(NAMESPACES, bom['serialNumber'])}",
        "comment": comment,
        "creationInfo": {"created": created, "creators": [f"Tool: {tool['name']}-{_line(tool['version'])}"]},
        "packages": [_package(each) for each in (image, *parts)],
        "relationships": [
            _relationship(DOCUMENT, "DESCRIBES", image),
            *(_relationship(_id(image), "CONTAINS", each) for each in parts),
        ],
    }


def _id(component: dict[str, Any]) -> str:
    return f"SPDXRef-{component['bom-ref']}"


def _line(text: str) -> str:
    return " ".join(text.split())


def _relationship(element: str, kind: str, related: dict[str, Any]) -> dict[str, str]:
    return {"spdxElementId": element, "relationshipType": kind, "relatedSpdxElement": _id(related)}


def _package(component: dict[str, Any]) -> dict[str, Any]:
    """Return a component as a package, without what is not known of it."""
    group = component.get("group")
    package: dict[str, Any] = {
        "SPDXID": _id(component),
        "name": f"{group}/{component['name']}" if group else component["name"],
        "downloadLocation": UNKNOWN,
        "filesAnalyzed": False,
        "primaryPackagePurpose": PURPOSES[component["type"]],
        "versionInfo": component.get("version"),
        **_licenses(component),
    }
    if purl := component.get("purl"):
        package["externalRefs"] = [
            {"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": purl}
        ]
    if evidence := component.get("evidence"):
        paths = (each["location"] for each in evidence["occurrences"])
        package["sourceInfo"] = f"declared by {', '.join(paths)}"
    return {name: value for name, value in package.items() if value is not None}


def _licenses(component: dict[str, Any]) -> dict[str, str]:
    """Return the license if it is one of SPDX's or an expression of them, and the others as a comment.

    How several licenses of a package are meant, as a choice or together, files do not say.
    """
    declared = component.get("licenses", [])
    if not declared:
        return {}
    only = declared[0] if len(declared) == 1 else {}
    expression = only.get("expression") or only.get("license", {}).get("id")
    if expression:
        return {"licenseDeclared": expression}
    texts = (each["license"].get("id") or each["license"]["name"] for each in declared)
    return {"licenseDeclared": UNKNOWN, "licenseComments": f"declared: {'; '.join(texts)}"}

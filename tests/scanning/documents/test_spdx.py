"""SBOMs in SPDX 2.3, by what chapters 6 to 11 of its specification require."""

import json
import re
from dataclasses import replace
from typing import Any, Final
from uuid import UUID

import pytest
from hypothesis import given, settings

from lading.scanning.documents.cyclonedx import cyclonedx
from lading.scanning.documents.spdx import spdx
from lading.scanning.findings import Report
from tests.scanning.documents.reports import DIGEST, FULL, IN_PART, LOG4J, STATES, random_reports

FIELDS: Final = {
    "SPDXID",
    "downloadLocation",
    "externalRefs",
    "filesAnalyzed",
    "licenseComments",
    "licenseDeclared",
    "name",
    "primaryPackagePurpose",
    "sourceInfo",
    "versionInfo",
}
ID: Final = re.compile(r"SPDXRef-[A-Za-z0-9.-]+")


def check_package(package: Any) -> None:
    assert set(package) <= FIELDS
    assert ID.fullmatch(package["SPDXID"])
    assert isinstance(package["name"], str)
    assert package["downloadLocation"] == "NOASSERTION"
    assert package["primaryPackagePurpose"] in ("CONTAINER", "LIBRARY", "OPERATING_SYSTEM")
    assert package["filesAnalyzed"] is False
    for each in package.get("externalRefs", []):
        assert (each["referenceCategory"], each["referenceType"]) == ("PACKAGE-MANAGER", "purl")
        assert re.fullmatch(r"pkg:[!-~]+", each["referenceLocator"])


def check(document: Any) -> Any:
    """Check a document, and return it."""
    assert document["spdxVersion"] == "SPDX-2.3"
    assert document["dataLicense"] == "CC0-1.0"
    assert document["SPDXID"] == "SPDXRef-DOCUMENT"
    assert document["name"]
    UUID(document["documentNamespace"].removeprefix("urn:uuid:"))
    creation = document["creationInfo"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", creation["created"])
    assert all(re.fullmatch(r"Tool: lading-.*", each) for each in creation["creators"])
    for each in document["packages"]:
        check_package(each)
    ids = [document["SPDXID"], *(each["SPDXID"] for each in document["packages"])]
    assert len(set(ids)) == len(ids)
    for each in document["relationships"]:
        assert {each["spdxElementId"], each["relatedSpdxElement"]} <= set(ids)
    return document


def document_of(report: Report) -> Any:
    return check(json.loads(spdx(cyclonedx(report))))


def test_the_document_describes_the_image_which_contains_the_packages() -> None:
    document = document_of(FULL)
    assert [each["name"] for each in document["packages"]] == [
        DIGEST,
        "debian",
        "libssl3",
        "org.apache.logging.log4j/log4j-core",
        "@types/node",
    ]
    relationships = [each["relationshipType"] for each in document["relationships"]]
    assert relationships == ["DESCRIBES", *["CONTAINS"] * 4]
    assert document["relationships"][0]["relatedSpdxElement"] == "SPDXRef-image"


def test_a_package_has_its_url_license_and_file() -> None:
    package = document_of(FULL)["packages"][4]
    assert package.pop("SPDXID").startswith("SPDXRef-package-")
    assert package == {
        "name": "@types/node",
        "versionInfo": "20.1.0",
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": False,
        "primaryPackagePurpose": "LIBRARY",
        "licenseDeclared": "MIT OR Apache-2.0",
        "externalRefs": [
            {
                "referenceCategory": "PACKAGE-MANAGER",
                "referenceType": "purl",
                "referenceLocator": "pkg:npm/%40types/node@20.1.0",
            }
        ],
        "sourceInfo": "declared by app/node_modules/@types/node/package.json",
    }


@pytest.mark.parametrize(
    ("declared", "expected"),
    [
        ([], {}),
        (["apache-2.0"], {"licenseDeclared": "Apache-2.0"}),
        (["Own terms"], {"licenseDeclared": "NOASSERTION", "licenseComments": "declared: Own terms"}),
        (["MIT", "Own terms"], {"licenseDeclared": "NOASSERTION", "licenseComments": "declared: MIT; Own terms"}),
    ],
)
def test_only_licenses_of_spdx_are_declared(declared: list[str], expected: dict[str, str]) -> None:
    packages = [replace(LOG4J, licenses=tuple(declared))]
    package = document_of(replace(FULL, image=replace(FULL.image, packages=packages)))["packages"][-1]
    assert {name: value for name, value in package.items() if name.startswith("license")} == expected


@pytest.mark.parametrize("state", STATES)
def test_the_state_is_part_of_the_document(state: str) -> None:
    assert document_of(STATES[state])["comment"].startswith(f"State of the scan: {state}.")


def test_each_gap_is_part_of_the_document() -> None:
    assert document_of(IN_PART)["comment"].splitlines()[1:] == [
        "Not complete: usr/bin/tool: could not be read: it is packed.",
        "Not complete: version x of y cannot be compared.",
        "There is no vulnerability data of npm.",
    ]


@settings(max_examples=30)
@given(random_reports())
def test_any_report_makes_a_valid_document(report: Report) -> None:
    packages = len(dict.fromkeys(report.image.packages)) + bool(report.image.distribution.id) + 1
    assert len(document_of(report)["packages"]) == packages


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"metadata":{"component":{}}}', b"\xff"])
def test_other_sboms_are_refused(content: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        spdx(content)

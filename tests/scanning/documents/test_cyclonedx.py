"""SBOMs in CycloneDX format, checked by the validator of its library."""

import json
from dataclasses import replace
from functools import cache
from importlib import import_module
from typing import Any, Final
from unittest.mock import Mock

import pytest
from cyclonedx.model.bom import Bom
from cyclonedx.schema import SchemaVersion
from hypothesis import given, settings

from lading.scanning.documents import cyclonedx as module
from lading.scanning.documents.cyclonedx import MAX_EXPRESSIONS, cyclonedx
from lading.scanning.documents.package_url import package_url
from lading.scanning.findings import DONE, Report
from lading.scanning.packages import APK, COMPOSER, DEB, GO, PYPI, RPM, Distribution, Package
from tests.scanning.documents.costs import calls_of, peak_of
from tests.scanning.documents.reports import (
    DEBIAN,
    FULL,
    LOG4J,
    NODE_TYPES,
    OPENSSL,
    STATES,
    large_report,
    random_reports,
)

ALPINE: Final = Distribution(id="alpine", version="3.18.4")
ROCKY: Final = Distribution(id="rocky", version="9.2")
RHEL: Final = Distribution(id="rhel", version="9.2")


@cache
def validator() -> Any:
    """The library's, whose import compiles 38 grammars of URIs: each process of pytest imports this module."""
    return import_module("cyclonedx.validation.json").JsonStrictValidator(SchemaVersion.V1_6)


def sbom_of(report: Report) -> Any:
    content = cyclonedx(report)
    assert validator().validate_str(content.decode()) is None
    return json.loads(content)


def component(report: Report, package: Package) -> Any:
    """Return a package, in an SBOM of it alone."""
    image = replace(report.image, packages=[package])
    return sbom_of(replace(report, image=image))["components"][-1]


def test_a_package_has_its_url_license_and_file() -> None:
    sbom = sbom_of(FULL)
    assert [each["name"] for each in sbom["components"]] == ["debian", "libssl3", "log4j-core", "node"]
    assert len({each.pop("bom-ref") for each in sbom["components"]}) == 4
    assert sbom["components"][3] == {
        "type": "library",
        "group": "@types",
        "name": "node",
        "version": "20.1.0",
        "licenses": [{"expression": "MIT OR Apache-2.0"}],
        "purl": "pkg:npm/%40types/node@20.1.0",
        "evidence": {"occurrences": [{"location": NODE_TYPES.path}]},
    }


def test_the_library_reads_the_sbom() -> None:
    bom = Bom.from_json(sbom_of(FULL))  # type: ignore[attr-defined] # its decorator adds it
    assert {str(each.purl) for each in bom.components if each.purl} == {
        package_url(each, DEBIAN) for each in FULL.image.packages
    }
    assert bom.metadata.timestamp == FULL.at


def test_the_image_is_the_subject() -> None:
    metadata = sbom_of(FULL)["metadata"]
    assert metadata["component"] == {
        "type": "container",
        "bom-ref": "image",
        "name": FULL.digest,
        "version": FULL.digest,
    }
    assert metadata["tools"]["components"] == [{"type": "application", "name": "lading", "version": "0.1.0"}]


@pytest.mark.parametrize("state", STATES)
def test_the_state_is_part_of_the_sbom(state: str) -> None:
    report = STATES[state]
    sbom = sbom_of(report)
    properties = [(each["name"], each["value"]) for each in sbom["metadata"]["properties"]]
    assert properties == [
        ("lading:scan:state", state),
        *(("lading:scan:note", each) for each in (*report.image.notes, *report.notes)),
        *(("lading:scan:missing-data", each) for each in report.missing),
    ]
    assert sbom["compositions"][0]["aggregate"] == ("unknown" if state == DONE else "incomplete")


def test_equal_reports_have_the_same_bytes_and_others_another_serial_number() -> None:
    later = replace(FULL, at=FULL.at.replace(minute=31))
    assert cyclonedx(FULL) == cyclonedx(replace(FULL))
    assert sbom_of(FULL)["serialNumber"] != sbom_of(later)["serialNumber"]


@pytest.mark.parametrize(
    ("package", "distribution", "url"),
    [
        (OPENSSL, DEBIAN, "pkg:deb/debian/libssl3@3.0.11-1~deb12u2?arch=amd64&distro=debian-12&upstream=openssl"),
        (
            Package(
                type=DEB, namespace="debian", name="g++", version="4:12.2.0-3", source="gcc", source_version="1.203"
            ),
            DEBIAN,
            "pkg:deb/debian/g%2B%2B@4:12.2.0-3?distro=debian-12&upstream=gcc%401.203",
        ),
        (
            Package(
                type=APK, namespace="alpine", name="libcrypto3", version="3.1.4-r1", arch="x86_64", source="openssl"
            ),
            ALPINE,
            "pkg:apk/alpine/libcrypto3@3.1.4-r1?arch=x86_64&distro=alpine-3.18.4&upstream=openssl",
        ),
        (
            Package(
                type=RPM,
                namespace="rocky",
                name="openssl-libs",
                version="1:3.0.7-24.el9",
                arch="x86_64",
                source="openssl",
            ),
            ROCKY,
            "pkg:rpm/rocky/openssl-libs@3.0.7-24.el9?arch=x86_64&distro=rocky-9.2&epoch=1&upstream=openssl-3.0.7-24.el9.src.rpm",
        ),
        (
            Package(type=RPM, namespace="rhel", name="bash", version="5.1.8-6.el9"),
            RHEL,
            "pkg:rpm/redhat/bash@5.1.8-6.el9?distro=rhel-9.2",
        ),
        (Package(type=GO, name="golang.org/x/net", version="v0.17.0"), DEBIAN, "pkg:golang/golang.org/x/net@v0.17.0"),
        (Package(type=GO, name="stdlib", version="1.21.0"), DEBIAN, "pkg:golang/stdlib@1.21.0"),
        (LOG4J, DEBIAN, "pkg:maven/org.apache.logging.log4j/log4j-core@2.14.1"),
        (NODE_TYPES, DEBIAN, "pkg:npm/%40types/node@20.1.0"),
        (Package(type=PYPI, name="Django_Extensions", version="3.2"), DEBIAN, "pkg:pypi/django-extensions@3.2"),
        (Package(type=COMPOSER, namespace="symfony", name="http-kernel"), DEBIAN, "pkg:composer/symfony/http-kernel"),
        (Package(type=PYPI, name="//"), DEBIAN, ""),
    ],
)
def test_package_urls(package: Package, distribution: Distribution, url: str) -> None:
    assert package_url(package, distribution) == url


@pytest.mark.parametrize(
    ("declared", "expected"),
    [
        (["apache-2.0"], [{"license": {"id": "Apache-2.0"}}]),
        (["MIT", "Ruby", "MIT"], [{"license": {"id": "MIT"}}, {"license": {"id": "Ruby"}}]),
        (["GPL-2.0-only WITH Classpath-exception-2.0"], [{"expression": "GPL-2.0-only WITH Classpath-exception-2.0"}]),
        (["GPLv2+ and see COPYING"], [{"license": {"name": "GPLv2+ and see COPYING"}}]),
        (["MIT OR " * 40 + "MIT"], [{"license": {"name": "MIT OR " * 40 + "MIT"}}]),
    ],
)
def test_licenses(declared: list[str], expected: list[Any]) -> None:
    assert component(FULL, replace(LOG4J, licenses=tuple(declared)))["licenses"] == expected


def test_a_hostile_image_has_few_license_expressions_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    parse = Mock(return_value=True)
    monkeypatch.setattr(module, "is_expression", parse)
    packages = [replace(LOG4J, name=f"p{n}", licenses=(f"MIT OR x{n % 1500}",)) for n in range(3000)]
    cyclonedx(replace(FULL, image=replace(FULL.image, packages=packages)))
    assert parse.call_count == MAX_EXPRESSIONS


@settings(max_examples=20)
@given(random_reports())
def test_any_report_makes_a_valid_sbom(report: Report) -> None:
    sbom = sbom_of(report)
    references = [each["bom-ref"] for each in sbom["components"]]
    assert len(references) == len(set(references))


def test_the_costs_of_a_large_image_are_linear_and_bounded() -> None:
    """The model of the library makes 25,000 bytes of objects of a package, and compares each with all."""
    small, large = large_report(250, 0), large_report(1000, 0)
    assert calls_of(lambda: cyclonedx(large)) < 4.4 * calls_of(lambda: cyclonedx(small))
    assert peak_of(lambda: cyclonedx(large)) < 1000 * 4000

"""Matching: which records are about a package of an image. What is not known is said, and never called clean."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from lading.scanning import findings as severities
from lading.scanning.packages import (
    APK,
    CARGO,
    COMPOSER,
    DEB,
    GEM,
    GO,
    MAVEN,
    NPM,
    NUGET,
    PYPI,
    RPM,
    Distribution,
    ImagePackages,
    Package,
)
from lading.vulnerabilities import matcher as matcher_module
from lading.vulnerabilities.matcher import MAX_NOTES, Matcher, Matches, match
from tests.support.osv_dumps import MakeDatabases, affected, record, vulnerable

DEBIAN = Distribution(id="debian", version="12", codename="bookworm")
UNKNOWN = Distribution()


def package(type: str, name: str, version: str, **fields: Any) -> Package:
    return Package(type=type, name=name, version=version, **fields)


def image(*packages: Package, distribution: Distribution = UNKNOWN) -> ImagePackages:
    return ImagePackages(packages=packages, distribution=distribution)


def ids(matches: Matches) -> set[str]:
    return {each.id for each in matches.findings}


def of(id: str, version: str) -> Distribution:
    return Distribution(id=id, version=version)


@pytest.mark.parametrize(
    ("distribution", "ecosystem", "type"),
    [
        (DEBIAN, "Debian:12", DEB),
        (Distribution(id="debian", codename="trixie"), "Debian:13", DEB),
        (of("ubuntu", "22.04"), "Ubuntu:22.04:LTS", DEB),
        (of("ubuntu", "24.10"), "Ubuntu:24.10", DEB),
        (of("ubuntu", "18.04"), "Ubuntu:Pro:18.04:LTS", DEB),
        (of("alpine", "3.18.4"), "Alpine:v3.18", APK),
        (of("wolfi", "20230201"), "Wolfi", APK),
        (of("chainguard", ""), "Chainguard", APK),
        (of("rocky", "9.2"), "Rocky Linux:9", RPM),
        (of("almalinux", "9.4"), "AlmaLinux:9", RPM),
        (of("rhel", "9.4"), "Red Hat:enterprise_linux:9::baseos", RPM),
        (of("sles", "15.5"), "SUSE:Linux Enterprise Module for Basesystem 15 SP5", RPM),
        (of("opensuse-leap", "15.5"), "openSUSE:Leap 15.5", RPM),
        (of("opensuse-tumbleweed", "20240101"), "openSUSE:Tumbleweed", RPM),
        (of("openEuler", "24.03"), "openEuler:24.03-LTS", RPM),
        (of("azurelinux", "3.0"), "Azure Linux:3", RPM),
        (of("mageia", "9"), "Mageia:9", RPM),
    ],
)
def test_a_release_has_records_of_its_own(
    databases_of: MakeDatabases, distribution: Distribution, ecosystem: str, type: str
) -> None:
    data = ecosystem.partition(":")[0]
    databases = databases_of(vulnerable("X-1", ecosystem, "openssl", "99"), vulnerable("X-2", f"{data}:0", "openssl"))

    found = match(image(package(type, "openssl", "3.0.1-r1"), distribution=distribution), databases.get)

    assert [(each.id, each.ecosystem, each.fixed) for each in found.findings] == [("X-1", ecosystem, "99")]
    assert (found.missing, found.notes, list(found.data)) == ([], [], [data])


@pytest.mark.parametrize(
    ("distribution", "type", "missing"),
    [
        (of("debian", "14"), DEB, "Debian:14"),  # there is data, but of other releases
        (Distribution(id="debian", codename="sid"), DEB, "debian:sid"),
        (of("alpine", "3.2.1"), APK, "Alpine:v3.2"),
        (of("amzn", "2023"), RPM, "amzn:2023"),
        (of("ubuntu", "22.04"), DEB, "Ubuntu:22.04"),
        (Distribution(), DEB, "deb"),
        (of("debian", "12"), RPM, "debian:12"),
    ],
)
def test_a_distribution_without_data_is_missing(
    databases_of: MakeDatabases, distribution: Distribution, type: str, missing: str
) -> None:
    databases = databases_of(
        vulnerable("D-1", "Debian:12", "openssl"),
        vulnerable("A-1", "Alpine:v3.18", "openssl"),
        vulnerable("A-2", "Alpine:v3.20", "openssl"),
    )

    found = match(image(package(type, "openssl", "1-r1"), distribution=distribution), databases.get)

    assert (found.findings, found.missing) == ([], [missing])


def test_a_language_without_data_is_missing(databases_of: MakeDatabases) -> None:
    """Data without any record is none."""
    empty = databases_of(record("G-1", affected("NuGet", "x", {"introduced": "0"}), withdrawn="2026-01-01T00:00:00Z"))

    found = match(image(package(NUGET, "x", "1.0"), package(CARGO, "serde", "1.0.0")), empty.get)

    assert (found.missing, found.data) == (["NuGet", "crates.io"], {})


@pytest.mark.parametrize(
    ("type", "distribution"), [(DEB, DEBIAN), (APK, of("alpine", "3.18.4")), (RPM, of("sles", "15.5"))]
)
def test_records_name_source_packages(databases_of: MakeDatabases, type: str, distribution: Distribution) -> None:
    ecosystem = {DEB: "Debian:12", APK: "Alpine:v3.18", RPM: "SUSE:Linux Enterprise Server 15 SP5"}[type]
    databases = databases_of(
        vulnerable("SOURCE", ecosystem, "openssl", "2.0-r0"),
        vulnerable("BINARY", ecosystem, "libssl3"),
        vulnerable("SAME", ecosystem, "curl", "2.0-r0"),
    )
    installed = (
        # gcc-12-base 12.2.0-14 is built from gcc-12 with another version.
        package(type, "libssl3", "9.0-r0", source="openssl", source_version="1.0-r0"),
        package(type, "curl", "1.0-r0"),
    )

    assert ids(match(image(*installed, distribution=distribution), databases.get)) == {"SOURCE", "SAME"}


def test_records_of_red_hats_family_name_installed_packages_with_epochs(databases_of: MakeDatabases) -> None:
    databases = databases_of(
        vulnerable("RLSA-SRC", "Rocky Linux:9", "openssl"),
        vulnerable("RLSA-BIN", "Rocky Linux:9", "openssl-libs", "1:3.0.7-25.el9"),
        vulnerable("RLSA-OLD", "Rocky Linux:9", "openssl-libs", "0:9.0.0-1.el9"),
    )
    installed = package(RPM, "openssl-libs", "1:3.0.7-24.el9", source="openssl", source_version="3.0.7-24.el9")

    assert ids(match(image(installed, distribution=of("rocky", "9.2")), databases.get)) == {"RLSA-BIN"}


@pytest.mark.parametrize(
    ("installed", "ecosystem", "name"),
    [
        (package(PYPI, "Zope.Interface", "1.0"), "PyPI", "zope-interface"),
        (package(PYPI, "zope_interface", "1.0"), "PyPI", "Zope.Interface"),
        (package(NPM, "node", "1.0.0", namespace="@types"), "npm", "@types/node"),
        (package(COMPOSER, "HttpFoundation", "v1.0", namespace="symfony"), "Packagist", "symfony/httpfoundation"),
        (package(NUGET, "newtonsoft.json", "1.0"), "NuGet", "Newtonsoft.Json"),
        (package(MAVEN, "log4j-core", "1.0", namespace="org.apache"), "Maven", "org.apache:log4j-core"),
        (package(GO, "github.com/Azure/go", "v1.0.0"), "Go", "github.com/Azure/go"),
        (package(CARGO, "serde_json", "1.0.0"), "crates.io", "serde_json"),
        (package(GEM, "nokogiri", "1.13.10-x86_64-linux"), "RubyGems", "nokogiri"),
    ],
)
def test_names_of_languages(databases_of: MakeDatabases, installed: Package, ecosystem: str, name: str) -> None:
    databases = databases_of(vulnerable("X-1", ecosystem, name, "1.13.11"))

    found = match(image(installed, distribution=DEBIAN), databases.get)

    assert [(each.id, each.severity, each.uncertain) for each in found.findings] == [("X-1", "unknown", "")]
    assert found.missing == []


@pytest.mark.parametrize("version", ["(devel)", ""])
def test_an_unknown_version_is_noted_where_there_are_records(databases_of: MakeDatabases, version: str) -> None:
    """The main module of a program that was built from a checkout has none."""
    databases = databases_of(vulnerable("GO-1", "Go", "example.com/app", "1.2.3"))
    modules = package(GO, "example.com/app", version, path="bin/app"), package(GO, "example.com/x", version)

    found = match(image(*modules), databases.get)

    assert (found.findings, found.notes) == ([], ["bin/app: the version of example.com/app is not known"])


@pytest.mark.parametrize(
    ("version", "vulnerable"), [("go1.21rc1", True), ("1.21rc2", False), ("go1.21.0", False), ("1.20.9", True)]
)
def test_versions_of_go_itself(databases_of: MakeDatabases, version: str, vulnerable: bool) -> None:
    events = {"introduced": "0"}, {"fixed": "1.21.0-rc.2"}
    databases = databases_of(record("GO-1", affected("Go", "stdlib", *events)))

    assert bool(match(image(package(GO, "stdlib", version)), databases.get).findings) == vulnerable


def jar(name: str, version: str, group: str = "") -> Package:
    return package(MAVEN, name, version, namespace=group, guessed=True, path=f"{name}.jar")


def test_a_guessed_group_matches_the_only_one(databases_of: MakeDatabases) -> None:
    """Else Spring4Shell is missed: the jars of Spring have no pom.properties."""
    databases = databases_of(vulnerable("GHSA-36p3", "Maven", "org.springframework:spring-beans", "5.3.18"))

    for group in ("", "spring-beans", "org.springframework"):
        (found,) = match(image(jar("spring-beans", "5.3.17", group)), databases.get).findings
        assert (found.id, found.uncertain) == ("GHSA-36p3", "the group of the jar is a guess")
    assert match(image(jar("spring-beans", "5.3.18")), databases.get).findings == []
    assert match(image(jar("spring-core", "5.3.17")), databases.get).notes == []


def test_one_of_several_groups_is_no_guess(databases_of: MakeDatabases) -> None:
    databases = databases_of(
        vulnerable("G-1", "Maven", "org.a:core", "2"), vulnerable("G-2", "Maven", "org.b:core", "2")
    )

    unknown = match(image(jar("core", "1", "core")), databases.get)
    known = match(image(jar("core", "1", "org.b")), databases.get)

    assert (unknown.findings, unknown.notes) == (
        [],
        ["core.jar: the group of core is not known, of which there are several"],
    )
    assert (ids(known), known.notes) == ({"G-2"}, [])


def test_a_version_that_cannot_be_compared_is_a_finding(databases_of: MakeDatabases) -> None:
    databases = databases_of(
        vulnerable("P-1", "PyPI", "pytz", "2020.1", severity=[CRITICAL]),
        record("P-2", affected("PyPI", "pytz", versions=["2004d"])),
        record("P-3", affected("PyPI", "pytz", versions=["2004e"])),
        vulnerable("P-4", "PyPI", "pytz", severity=[CRITICAL]),
    )

    found = match(image(package(PYPI, "pytz", "2004d")), databases.get)

    assert [(each.id, each.severity, each.score, each.uncertain) for each in found.findings] == [
        ("P-4", severities.CRITICAL, 9.8, ""),  # each version is vulnerable
        ("P-1", severities.UNKNOWN, None, "version 2004d cannot be compared"),
        ("P-2", severities.UNKNOWN, None, ""),
    ]


CRITICAL: Mapping[str, str] = {"type": "CVSS_V3", "score": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"}


def test_the_worst_findings_are_first(databases_of: MakeDatabases) -> None:
    low: Mapping[str, Any] = {"database_specific": {"severity": "LOW"}}
    databases = databases_of(
        vulnerable("A", "npm", "a", **low),
        vulnerable("B", "npm", "b"),
        vulnerable("C", "npm", "c", severity=[CRITICAL]),
    )

    found = match(image(*(package(NPM, name, "1.0.0") for name in "abc")), databases.get)

    assert [(each.id, each.severity) for each in found.findings] == [("C", "critical"), ("B", "unknown"), ("A", "low")]


def test_records_that_could_not_be_read_are_noted(databases_of: MakeDatabases) -> None:
    databases = databases_of(vulnerable("A", "npm", "a"), record("B", affected("npm", "b", {"introduced": 3})))  # type: ignore[dict-item]

    assert match(image(package(NPM, "x", "1.0.0")), databases.get).notes == [
        "1 record of the data of npm could not be read"
    ]


def test_packages_that_images_share_are_searched_once(databases_of: MakeDatabases) -> None:
    databases = databases_of(vulnerable("D-1", "Debian:12", "openssl", "2"), vulnerable("N-1", "npm", "a", "2"))
    shared = [package(DEB, f"lib{number}", "1", source="openssl") for number in range(10)]
    matcher = Matcher(databases.get)

    for number in range(1000):
        own = package(NPM, "a", f"1.0.{number % 10}")
        found = matcher.match(image(*shared, own, distribution=DEBIAN))
        assert [each.package for each in found.findings] == [*shared, own]

    assert (databases["Debian"].searches, databases["npm"].searches) == (1, 10)


def test_what_is_kept_is_bounded(databases_of: MakeDatabases, monkeypatch: pytest.MonkeyPatch) -> None:
    databases = databases_of(vulnerable("N-1", "npm", "a"))
    monkeypatch.setattr(matcher_module, "MAX_KEPT", 10)
    matcher = Matcher(databases.get)

    for number in range(100):
        assert ids(matcher.match(image(package(NPM, "a", f"1.0.{number}")))) == {"N-1"}
        assert len(matcher._kept) + len(matcher._placed) <= 10
    matcher.match(image(package(NPM, "a", "1.0.99")))

    assert databases["npm"].searches == 100


def test_releases_do_not_share_what_was_found(databases_of: MakeDatabases) -> None:
    databases = databases_of(vulnerable("D-1", "Debian:12", "openssl"), vulnerable("D-2", "Debian:13", "openssl"))
    matcher = Matcher(databases.get)
    installed = package(DEB, "openssl", "1")

    for release in ("12", "13"):
        found = matcher.match(image(installed, distribution=of("debian", release)))
        assert [each.ecosystem for each in found.findings] == [f"Debian:{release}"]


def test_notes_are_bounded(databases_of: MakeDatabases) -> None:
    databases = databases_of(vulnerable("GO-1", "Go", "x"))
    modules = (package(GO, "x", "", path=f"bin/{number}") for number in range(MAX_NOTES + 7))

    notes = match(image(*modules), databases.get).notes

    assert (len(notes), notes[-1]) == (MAX_NOTES + 1, "7 more packages could not be compared")


def test_findings_are_bounded_and_that_is_noted(databases_of: MakeDatabases, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matcher_module, "MAX_FINDINGS", 3)
    found = databases_of(*(vulnerable(f"GHSA-{number}", "npm", "left-pad", "9") for number in range(2)))

    matches = match(image(*(package(NPM, "left-pad", f"1.0.{number}") for number in range(4))), found.get)

    assert len(matches.findings) == 2
    assert "further packages were not compared" in matches.notes[0]


def test_damaged_data_is_missing(databases_of: MakeDatabases, tmp_path: Path) -> None:
    databases = databases_of(vulnerable("N-1", "npm", "a"))
    databases["npm"].close()

    found = match(image(package(NPM, "a", "1.0.0")), databases.get)

    assert (found.findings, found.missing) == ([], ["npm"])
    assert found.notes[0].startswith("the data of npm cannot be used: it is damaged")

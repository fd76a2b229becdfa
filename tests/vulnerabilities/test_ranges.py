"""Ranges of versions, and the schemes by which versions are ordered."""

import pytest

from lading.vulnerabilities import versions
from lading.vulnerabilities.ecosystems import APK, DOTNET, DPKG, JAVA, PHP, PYTHON, RPM, RUBY, SEMVER
from lading.vulnerabilities.osv import Affected, Range
from lading.vulnerabilities.ranges import Verdict, compare
from lading.vulnerabilities.versions import VersionError


def verdict(version: str, *ranges: Range, versions: tuple[str, ...] = (), scheme: str = SEMVER) -> Verdict:
    found = Affected(name="x", release="", ranges=ranges, versions=versions, severity="unknown", score=None)
    return compare(found, version, scheme)


def events(*pairs: str) -> Range:
    """Return events of "introduced 1.0"…"""
    return [(kind, version) for kind, _, version in (each.partition(" ") for each in pairs)]


@pytest.mark.parametrize(
    ("version", "vulnerable", "fixed"),
    [
        ("0.9.9", False, ""),
        ("1.0.0", True, "1.2.0"),
        ("1.2.0-rc.1", True, "1.2.0"),
        ("1.2.0", False, ""),
        ("1.9.0", False, ""),
        ("2.0.0", True, "2.0.5"),
        ("2.0.5", False, ""),
    ],
)
def test_several_branches_in_one_range(version: str, vulnerable: bool, fixed: str) -> None:
    """Events are in any order."""
    found = verdict(version, events("fixed 2.0.5", "introduced 2.0.0", "introduced 1.0.0", "fixed 1.2.0"))

    assert (found.vulnerable, found.fixed) == (vulnerable, fixed)


@pytest.mark.parametrize(("version", "vulnerable"), [("1.0.0", True), ("1.5.0", True), ("1.5.1", False)])
def test_the_last_affected_version_is_affected(version: str, vulnerable: bool) -> None:
    assert verdict(version, events("introduced 0", "last_affected 1.5.0")) == Verdict(vulnerable)


@pytest.mark.parametrize(
    ("version", "vulnerable"), [("1.0.0", True), ("1.4.9", True), ("1.5.0", False), ("3.0.0", False)]
)
def test_a_limit_ends_all(version: str, vulnerable: bool) -> None:
    assert verdict(version, events("introduced 0", "limit 1.5.0")) == Verdict(vulnerable)
    assert verdict(version, events("introduced 0", "limit *")) == Verdict(vulnerable=True)


def test_versions_and_ranges_are_a_union() -> None:
    range = events("introduced 1.0.0", "fixed 1.2.0")

    assert verdict("0.5.0", range, versions=("0.5.0",)) == Verdict(vulnerable=True, fixed="1.2.0")
    assert verdict("0.5.1", range, versions=("0.5.0",)) == Verdict(vulnerable=False)
    assert verdict("3.0.0", range, events("introduced 3.0.0")) == Verdict(vulnerable=True)


def test_a_range_without_end_needs_no_comparison() -> None:
    assert verdict("no version", events("introduced 0")) == Verdict(vulnerable=True)


@pytest.mark.parametrize("version", ["latest", "", "9" * 300])
def test_what_cannot_be_compared_may_be_vulnerable(version: str) -> None:
    found = verdict(version, events("introduced 0", "fixed 1.0.0"))

    assert (found.vulnerable, found.fixed) == (True, "")
    assert found.uncomparable == version[: versions.MAX_LENGTH]


def test_a_damaged_event_leaves_other_ranges_in_force() -> None:
    damaged, whole = events("introduced 0", "fixed ???"), events("introduced 0", "fixed 2.0.0")

    assert verdict("1.0.0", damaged, whole) == Verdict(vulnerable=True, fixed="2.0.0")
    assert verdict("3.0.0", damaged, whole).uncomparable == "???"


@pytest.mark.parametrize(
    ("scheme", "ordered"),
    [
        (SEMVER, "1.0.0-alpha 1.0.0-alpha.1 1.0.0-beta.2 1.0.0-beta.11 1.0.0-rc.1 1.0.0 1.0.10 v2.0.0+incompatible"),
        (PYTHON, "1.0.dev1 1.0a1 1.0b2 1.0rc1 1.0 1.0.post1 1.10 1!0.1"),
        (JAVA, "1.0-alpha-1 1.0-SNAPSHOT 1.0 1.0-sp 1.0.1 1.10"),
        (RUBY, "1.0.0.beta1 1.0.0 1.0.10 2"),
        (DOTNET, "1.0.0-beta 1.0.0 1.0.0.1 1.0.10"),
        (PHP, "1.0.0-dev 1.0.0-alpha1 1.0-beta2 1.0.0RC1 1.0 1.0.0-p1 1.0.1 1.0.1.2 1.0.1.10 20230101"),
        (DPKG, "1.0~rc1-1 1.0-1 1.0-1+deb12u1 1.0-1.1 1.0a-1 1.10-1 1:0.1-1"),
        (RPM, "1.0~rc1-1.el9 1.0-1.el9 1.0-1.el9_1 1.0^git1-1.el9 1.0a-1.el9 1.10-1.el9 1:0.1-1.el9"),
        (
            APK,
            "1.05-r0 1.1_alpha2-r0 1.1_beta-r0 1.1_pre1-r0 1.1_rc1-r0 1.1-r0 1.1-r1 1.1_git20230101-r0 1.1_p1-r0 "
            "1.1b-r0 1.1.1-r0 1.10-r0 10-r0",
        ),
    ],
)
def test_versions_are_ordered(scheme: str, ordered: str) -> None:
    keys = [versions.key(scheme, each) for each in ordered.split()]

    for index, one in enumerate(keys):
        assert [one < other for other in keys] == [False] * (index + 1) + [True] * (len(keys) - index - 1)


@pytest.mark.parametrize(
    ("scheme", "one", "other"),
    [
        (SEMVER, "2.0.0", "2.0.0+incompatible"),
        (PYTHON, "1.0", "1.0.0"),
        (PHP, "v1.0", "1.0.0.0"),
        (RPM, "1.0-1.el9", "0:1.0-1.el9"),
        (DPKG, "1.0-1", "0:1.0-1"),
        (DOTNET, "1.0.0", "1.0.0.0"),
    ],
)
def test_versions_are_equal(scheme: str, one: str, other: str) -> None:
    keys = versions.key(scheme, one), versions.key(scheme, other)

    assert not keys[0] < keys[1]
    assert not keys[1] < keys[0]


@pytest.mark.parametrize(
    ("scheme", "version"),
    [
        (SEMVER, "latest"),
        (PYTHON, "2004d"),
        (PHP, "dev-main"),
        (APK, "1.0-beta"),
        (RPM, "-"),
        (RUBY, "x y"),
        (DPKG, ""),
    ],
)
def test_what_is_no_version_has_no_key(scheme: str, version: str) -> None:
    with pytest.raises(VersionError) as caught:
        versions.key(scheme, version)
    assert str(caught.value) == version

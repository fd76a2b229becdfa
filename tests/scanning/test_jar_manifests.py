"""The group of a jar that Maven does not describe: 179 real libraries as Maven Central has them, and odd manifests.

`real_jars.tsv` has a library in each line, as Gradle, Ant, Ivy, sbt or bnd built it, without a pom.properties: its
coordinates, the package of its classes, and the fields of its manifest that a guess may rest upon.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from lading.scanning.extractors.maven_groups import group_of
from lading.scanning.packages import Package
from tests.scanning.layers import jar, read, tar_of

DIFFERENCES: Final = {
    ("com.carrotsearch.thirdparty", "simple-xml-safe"): "its classes are those of the library that it is a fork of",
}
"""Real libraries whose group is guessed wrong."""


def library(path: str, manifest: str, *classes: str) -> Package:
    """Return the only library of a jar with a manifest and classes."""
    members = {"META-INF/MANIFEST.MF": manifest.encode(), **dict.fromkeys(classes, b"\xca\xfe\xba\xbe")}
    (found,) = [each for packages in read(tar_of({path: jar(members)})).packages.values() for each in packages]
    return found


def real_jars() -> Iterator[tuple[str, str, str, str, str]]:
    """Yield group, artifact, version, package of the classes and manifest."""
    for line in Path(__file__).with_name("real_jars.tsv").read_text().splitlines():
        group, artifact, version, classes, *fields = line.split("\t")
        yield group, artifact, version, classes, "\r\n".join([*fields, ""])


def test_the_groups_of_real_libraries_are_guessed() -> None:
    rows = list(real_jars())
    wrong = set()
    for group, artifact, version, classes, manifest in rows:
        folder = f"{classes}/" if classes else ""
        found = library(f"{artifact}-{version}.jar", manifest, f"{folder}A.class", f"{folder}internal/b/C.class")
        assert (found.name, found.version, found.guessed) == (artifact, version, True)
        if found.namespace != group:
            wrong.add((group, artifact))
    assert wrong == DIFFERENCES.keys()
    assert len(wrong) < len(rows) / 50


@pytest.mark.parametrize(
    ("artifact", "version", "group"),
    [
        ("spring-core", "5.3.17", "org.springframework"),
        ("spring-boot-starter-web", "2.6.6", "org.springframework.boot"),
        ("spring-security-oauth2", "2.0", "org.springframework.security.oauth"),
        ("spring-security-oauth2-client", "5.7", "org.springframework.security"),
        ("tomcat-embed-core", "9.0.60", "org.apache.tomcat.embed"),
        ("tomcat-coyote", "9.0.60", "org.apache.tomcat"),
        ("commons-io", "2.11.0", "commons-io"),
        ("rxjava", "1.3.8", "io.reactivex"),
        ("rxjava", "2.2.21", "io.reactivex.rxjava2"),
        ("rxjava", "3.1.3", "io.reactivex.rxjava3"),
        ("rxjava", "", "io.reactivex"),
        ("dom4j", "1.6.1", "dom4j"),
        ("dom4j", "2.1.3", "org.dom4j"),
        ("hibernate-core", "5.6.15.Final", "org.hibernate"),
        ("hibernate-core", "6.0.0.Final", "org.hibernate.orm"),
        ("c3p0", "0.9.1.2", "c3p0"),
        ("c3p0", "0.9.5.4", "com.mchange"),
        ("lz4-java", "1.8.0", "org.lz4"),
        ("lz4-java", "1.8.1", "at.yawk.lz4"),
        ("spring", "-", "org.springframework"),
        ("spring-shells-core", "1", ""),
        ("springy-core", "1", ""),
        ("-", "9" * 5000, ""),
        ("a" + "-a" * 5000, "1", ""),
    ],
)
def test_a_group_may_be_that_of_all_versions_or_of_newer_ones(artifact: str, version: str, group: str) -> None:
    assert group_of(artifact, version) == group


@pytest.mark.parametrize(
    ("path", "manifest", "group"),
    [
        ("x-core-1.jar", "Automatic-Module-Name: x.core", "org.y.z"),
        ("x-core-1.jar", "Automatic-Module-Name: org.x.core", "org.x"),
        ("x-core-1.jar", "Implementation-Title: com.x#x-core;1.0", "com.x"),
        ("x-core-1.jar", "Implementation-Title: com.x#server;1.0\nBundle-SymbolicName: org.z", "com.x"),
        ("x-core-1.jar", "Bundle-SymbolicName: com.x.x-core", "com.x"),
        ("x-core-1.jar", "Bundle-SymbolicName: com.y.x.core", "com.y.x"),
        ("x-core_2.13-1.jar", "Bundle-SymbolicName: com.y.x-core", "com.y"),
        ("x-y-z-1.jar", "Bundle-SymbolicName: com.x.x.y.z", "com.x"),
        ("x-y-z-1.jar", "Bundle-SymbolicName: org.x.y.z", "org.x"),
        ("ivy2-1.jar", "Bundle-SymbolicName: org.apache.ivy2", "org.apache.ivy2"),
        ("marker-1.jar", "Bundle-SymbolicName: org.marker.marker;singleton:=true", "org.marker"),
        ("x-1.jar", "Implementation-Vendor-Id: com.y\nBundle-SymbolicName: com.y.x", "com.y"),
        ("x-1.jar", "Implementation-Vendor-Id: org.apache\nBundle-SymbolicName: org.apache.x", "org.apache.x"),
        ("x-1.jar", "Main-Class: org.y.Main", "org.y"),
        ("x-1.jar", "Bundle-Activator: org.y.Activator", "org.y"),
        ("x-1.jar", "", "org.y.z"),
    ],
)
def test_manifests_and_classes_suggest_a_group(path: str, manifest: str, group: str) -> None:
    classes = ("org/y/z/a/A.class", "org/y/z/b/B.class", "META-INF/versions/9/M.class")
    assert library(path, manifest, *classes).namespace == group


@pytest.mark.parametrize("classes", [("A.class",), ("org/y/A.class", "com/y/A.class"), ("antlr/A.class",), ()])
def test_without_any_suggestion_the_artifact_is_the_group(classes: tuple[str, ...]) -> None:
    assert library("x-1.jar", "", *classes).namespace == "x"


def test_a_line_break_in_a_name_is_part_of_the_version() -> None:
    # A search for a version that begins anew after each hyphen takes seconds for a name of 64 KiB.
    found = library("guava-31.1-jre\n-1.jar", "", "A.class")

    assert (found.name, found.version) == ("guava", "31.1-jre\N{REPLACEMENT CHARACTER}-1")

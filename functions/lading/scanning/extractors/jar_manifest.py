"""Library of a jar that no pom.properties describes, as its manifest and file name suggest."""

import re
from collections.abc import Iterator, Mapping
from posixpath import basename, splitext
from typing import Final

from lading.scanning.extractors import maven_groups
from lading.scanning.packages import MAVEN, Package

VERSIONED: Final = tuple(
    re.compile(rf"(.+?)[{each}]((?:\d|build\d|rc?\d+(?![A-Za-z])).*)", re.DOTALL) for each in ("-", "_.")
)
"""File names with a version, guava-31.1-jre, or else ant_1.10.14. What looks like one ends the search, also before a
line break: with each further one it would begin anew, for seconds in a name of 64 KiB."""
BUNDLE: Final = "Bundle-SymbolicName"
VENDOR: Final = "Implementation-Vendor-Id"
MODULE: Final = "Automatic-Module-Name"
CLASSES: Final = ("Bundle-Activator", "Main-Class")
GROUPS: Final = (BUNDLE, "Extension-Name", VENDOR, "Implementation-Title", CLASSES[0], MODULE, CLASSES[1])
"""Fields of a manifest that often begin with the group, the most reliable first."""
TITLES: Final = ("Implementation-Title", "Specification-Title", "Bundle-Name")
VERSIONS: Final = ("Implementation-Version", "Specification-Version", "Plugin-Version", "Bundle-Version")
GROUP: Final = re.compile(r"[\w-]+(?:\.[\w-]+)+")
DOMAIN: Final = re.compile(r"(?:com|org|net|edu|gov|info|io|dev|javax|jakarta|[a-z]{2})\.")
"""What a group begins with; modules are also named `spring.core`, and then the name has no group."""
IVY: Final = re.compile(r"([\w-]+(?:\.[\w-]+)*)#[\w.-]+;")
SCALA: Final = re.compile(r"_\d[\d.]*$")
"""The version of Scala at the end of an artifact."""
UMBRELLAS: Final = ("org.apache", "org.eclipse")
"""Vendors that are groups of no library."""
IDENTIFIER: Final = re.compile(r"[\w.-]+")


def parse(text: str) -> dict[str, str]:
    """Return the main section (https://docs.oracle.com/en/java/javase/21/docs/specs/jar/jar.html#jar-manifest)."""
    fields: dict[str, str] = {}
    section = re.split(r"\r?\n[ \t]*\r?\n", text.lstrip("\ufeff\r\n"), maxsplit=1)[0]
    for line in re.sub(r"\r?\n ", "", section).splitlines():
        name, colon, value = line.partition(":")
        if colon:
            fields.setdefault(name.strip().lower(), value.strip())
    return fields


def has_version(path: str) -> bool:
    """Return whether the name of a file has a version."""
    return _versioned(path) is not None


def library(manifest: Mapping[str, str], path: str, classes: str = "") -> Package:
    """Return the library of a jar, of which the group is a guess.

    Args:
        manifest: the fields by their names in lower case, as `parse` returns them.
        path: of the jar.
        classes: the package that all its classes are in, such as "io.minio", or "".
    """
    versioned = _versioned(path)
    title = next((value for each in TITLES if IDENTIFIER.fullmatch(value := manifest.get(each.lower(), ""))), "")
    version = next((value for each in VERSIONS if (value := manifest.get(each.lower(), ""))), "").split(" ")[0]
    artifact = versioned[1] if versioned else title or _stem(path)
    version = versioned[2] if versioned else version
    return Package(
        type=MAVEN,
        namespace=_group(manifest, artifact, version, classes),
        name=artifact,
        version=version,
        path=path,
        guessed=True,
        licenses=tuple(filter(None, (manifest.get("bundle-license", ""),))),
    )


def _stem(path: str) -> str:
    return splitext(basename(path))[0]


def _versioned(path: str) -> re.Match[str] | None:
    return next(filter(None, (each.fullmatch(_stem(path)) for each in VERSIONED)), None)


def _group(manifest: Mapping[str, str], artifact: str, version: str, classes: str) -> str:
    """Return the group that is known of an artifact, or else the first that the manifest suggests.

    Without any it is the package of the classes, or else the artifact: old libraries are their own group.
    """
    suggestions = (
        maven_groups.group_of(artifact, version),
        _of_ivy(manifest),
        _of_vendor(manifest),
        *_suggested(manifest, artifact),
        _without(classes, artifact) if DOMAIN.match(classes) else "",
        artifact.rpartition(".")[0],
        artifact,
    )
    return next(filter(None, suggestions))


def _of_ivy(manifest: Mapping[str, str]) -> str:
    """Return the group in GROUP#ARTIFACT;VERSION, as plugins of Gradle write it."""
    found = IVY.match(manifest.get(TITLES[0].lower(), ""))
    return found[1] if found else ""


def _of_vendor(manifest: Mapping[str, str]) -> str:
    """Return the vendor with which the name of a bundle begins."""
    vendor, bundle = manifest.get(VENDOR.lower(), ""), manifest.get(BUNDLE.lower(), "").partition(";")[0]
    return vendor if f"{bundle}.".startswith(f"{vendor}.") and "." in vendor and vendor not in UMBRELLAS else ""


def _suggested(manifest: Mapping[str, str], artifact: str) -> Iterator[str]:
    """Yield what fields of a manifest suggest as the group."""
    for field in GROUPS:
        found = GROUP.match(manifest.get(field.lower(), ""))
        if found is None or (field == MODULE and not DOMAIN.match(found[0])):
            continue
        name = found[0].rpartition(".")[0] if field in CLASSES else found[0]
        yield _without(name, SCALA.sub("", artifact)).lower()


def _without(name: str, artifact: str) -> str:
    """Return the group in the name of a bundle or module, which may end with the artifact, or with its last part.

    An artifact of one word is often the end of its group as well: org.apache.ivy:ivy is the bundle org.apache.ivy. It
    is only its own part where it stands twice, as in org.freemarker.freemarker.
    """
    group, _, last = name.rpartition(".")
    if "-" not in artifact:
        return group if last == artifact == group.rpartition(".")[2] else name
    if f"{group.rpartition('.')[2]}-{last}" == artifact:
        return group
    if name.endswith(f".{artifact}"):
        return group
    if name.endswith(f".{artifact.replace('-', '.')}"):
        whole = name.removesuffix(f".{artifact.replace('-', '.')}")
        return whole if "." in whole else f"{whole}.{artifact.partition('-')[0]}"
    return name

"""Libraries of Java in jars, wars and ears, as Maven, or else their manifests and file names, name them."""

import re
from collections.abc import Iterable, Iterator, Mapping
from io import BytesIO
from posixpath import basename, splitext
from typing import BinaryIO, Final
from zipfile import BadZipFile, ZipInfo

from lading.scanning.extractors.extractor import File
from lading.scanning.extractors.zip_archive import Budget, ZipArchive
from lading.scanning.limits import (
    MAX_HEADERS,
    MAX_JAR,
    MAX_JAR_DEPTH,
    MAX_JAR_DIRECTORY,
    MAX_NESTED_DIRECTORY,
    MAX_NESTED_JAR,
)
from lading.scanning.packages import MAVEN, Package

SUFFIXES: Final = (".jar", ".war", ".ear", ".par", ".sar", ".nar", ".jpi", ".hpi", ".kar", ".lpkg")
POM: Final = "pom.properties"
MANIFEST: Final = "META-INF/MANIFEST.MF"
VERSIONED: Final = tuple(re.compile(rf"(.+?)[{each}]((?:\d|build\d|rc?\d+(?![A-Za-z])).*)") for each in ("-", "_."))
"""File names with a version, guava-31.1-jre, or else ant_1.10.14."""
GROUPS: Final = (
    "Bundle-SymbolicName",
    "Extension-Name",
    "Implementation-Vendor-Id",
    "Implementation-Title",
    "Bundle-Activator",
    "Automatic-Module-Name",
    "Main-Class",
)
"""Fields of a manifest that often begin with the group, the most reliable first."""
TITLES: Final = ("Implementation-Title", "Specification-Title", "Bundle-Name")
VERSIONS: Final = ("Implementation-Version", "Specification-Version", "Plugin-Version", "Bundle-Version")
GROUP: Final = re.compile(r"[\w-]+(?:\.[\w-]+)+")
IDENTIFIER: Final = re.compile(r"[\w.-]+")


class JavaArchive:
    """Reads what a jar contains, and the jars in it.

    Each pom.properties is a library: a jar that contains others in unpacked form ("shaded") has several. A jar without
    any is one library, whose name and version are those of its file or of its manifest, and whose group is a guess;
    none, if it has neither a version nor classes.
    """

    name = "jar"
    limit = MAX_JAR

    def wants(self, path: str, size: int, head: bytes) -> bool:
        """Return whether the name is that of a jar."""
        return path.lower().endswith(SUFFIXES)

    def packages(self, file: File) -> Iterable[Package]:
        """Yield the libraries; none of an empty file, a placeholder. What is nested is `PATH!/PATH`, as in Java's URLs.

        Raises:
            BadZipFile: it is no zip archive, or a damaged one.
            ArchiveTooLargeError: it takes too much to read.
        """
        return _Jar(file, file.path, file.content, Budget(), 1).libraries() if file.size else ()


class _Jar:
    """A jar, of the layer or within another one."""

    def __init__(self, file: File, path: str, content: BinaryIO, budget: Budget, depth: int) -> None:
        self._file, self._path, self._budget, self._depth = file, path, budget, depth
        self._archive = ZipArchive(content, budget, MAX_JAR_DIRECTORY if depth == 1 else MAX_NESTED_DIRECTORY)

    def libraries(self) -> Iterator[Package]:
        libraries: dict[tuple[str, str, str], Package] = {}
        manifest: Mapping[str, str] = {}
        has_classes = False
        for member in self._archive.members:
            if basename(member.filename) == POM:
                if library := _of_pom(_properties(self._text(member)), self._path):
                    libraries[library.namespace, library.name, library.version] = library
            elif member.filename.upper() == MANIFEST:
                manifest = _manifest(self._text(member))
            elif member.filename.lower().endswith(SUFFIXES) and member.file_size:
                yield from self._nested(member)
            else:
                has_classes = has_classes or member.filename.endswith(".class")
        guess = _of_manifest(manifest, self._path)
        if not libraries and (guess.version or has_classes):
            yield guess
        yield from libraries.values()

    def _nested(self, member: ZipInfo) -> Iterator[Package]:
        """Yield the libraries of a jar in this one. A damaged one is noted, and the others are read."""
        if self._depth == MAX_JAR_DEPTH:
            self._note(member, f"is nested deeper than {MAX_JAR_DEPTH} archives, and was not read")
            return
        path = f"{self._path}!/{member.filename}"
        try:
            content = BytesIO(self._archive.read(member, MAX_NESTED_JAR))
            yield from _Jar(self._file, path, content, self._budget, self._depth + 1).libraries()
        except BadZipFile as error:
            self._note(member, f"could not be read: {error}")

    def _text(self, member: ZipInfo) -> str:
        """Return the text of a member; "" with a note if it cannot be read."""
        try:
            return self._archive.read(member, MAX_HEADERS).decode("utf-8", "replace")
        except BadZipFile as error:
            self._note(member, f"could not be read: {error}")
            return ""

    def _note(self, member: ZipInfo, text: str) -> None:
        """Note what is wrong with a member, by its path in the file, with which each note begins anyway."""
        self._file.note(f"{self._path}!/{member.filename} {text}".removeprefix(f"{self._file.path}!/"))


def _properties(text: str) -> dict[str, str]:
    """Return properties, one in each line (https://docs.oracle.com/javase/8/docs/api/java/util/Properties.html)."""
    return {
        key.strip(): value.strip()
        for key, equals, value in (line.partition("=") for line in text.splitlines())
        if equals
    }


def _of_pom(properties: Mapping[str, str], path: str) -> Package | None:
    group, artifact, version = (properties.get(each, "") for each in ("groupId", "artifactId", "version"))
    if not (IDENTIFIER.fullmatch(group) and IDENTIFIER.fullmatch(artifact)):
        return None
    version = "" if " " in version or "${" in version else version
    return Package(type=MAVEN, namespace=group, name=artifact, version=version, path=path)


def _manifest(text: str) -> dict[str, str]:
    """Return the main section (https://docs.oracle.com/en/java/javase/21/docs/specs/jar/jar.html#jar-manifest)."""
    fields: dict[str, str] = {}
    section = re.split(r"\r?\n[ \t]*\r?\n", text.lstrip("\ufeff\r\n"), maxsplit=1)[0]
    for line in re.sub(r"\r?\n ", "", section).splitlines():
        name, colon, value = line.partition(":")
        if colon:
            fields.setdefault(name.strip().lower(), value.strip())
    return fields


def _of_manifest(manifest: Mapping[str, str], path: str) -> Package:
    """Return the library that file name and manifest suggest."""
    stem = splitext(basename(path))[0]
    versioned = next(filter(None, (each.fullmatch(stem) for each in VERSIONED)), None)
    title = next((value for each in TITLES if IDENTIFIER.fullmatch(value := manifest.get(each.lower(), ""))), "")
    version = next((value for each in VERSIONS if (value := manifest.get(each.lower(), ""))), "")
    artifact = versioned[1] if versioned else title or stem
    return Package(
        type=MAVEN,
        namespace=_group(manifest, artifact),
        name=artifact,
        version=versioned[2] if versioned else version.split(" ")[0],
        path=path,
        guessed=True,
        licenses=tuple(filter(None, (manifest.get("bundle-license", ""),))),
    )


def _group(manifest: Mapping[str, str], artifact: str) -> str:
    """Return the group that a manifest suggests, or else an artifact, of which old ones are their own group."""
    for each in GROUPS:
        found = GROUP.match(manifest.get(each.lower(), ""))
        if found:
            return found[0].lower()
    return artifact.rpartition(".")[0] or artifact

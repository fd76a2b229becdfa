"""Libraries of Java in jars, wars and ears, as Maven, or else their manifests and file names, name them."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from io import BytesIO
from itertools import takewhile
from posixpath import basename, dirname
from typing import BinaryIO, Final
from zipfile import BadZipFile, ZipInfo

from lading.scanning.extractors import jar_manifest
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
IDENTIFIER: Final = re.compile(r"[\w.-]+")


class JavaArchive:
    """Reads what a jar contains, and the jars in it.

    Each pom.properties is a library: a jar that contains others in unpacked form ("shaded") has several. A jar that
    none describes is a library whose name and version are those of its file or of its manifest, and whose group is a
    guess; none, if it has neither a version nor classes.
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
        classes: str | None = None
        for member in self._archive.members:
            if basename(member.filename) == POM:
                if library := _of_pom(_properties(self._text(member, self._archive.read)), self._path):
                    libraries[library.namespace, library.name, library.version] = library
            elif member.filename.upper() == MANIFEST:
                manifest = jar_manifest.parse(self._text(member, self._archive.head))
            elif member.filename.lower().endswith(SUFFIXES) and member.file_size:
                yield from self._nested(member)
            elif member.filename.endswith(".class") and not member.filename.startswith("META-INF/"):
                folder = dirname(member.filename)
                classes = folder if classes is None else _common(classes, folder)
        guess = jar_manifest.library(manifest, self._path, (classes or "").replace("/", "."))
        if (guess.version or classes is not None) and not self._is_described(guess, libraries.values()):
            yield guess
        yield from libraries.values()

    def _is_described(self, guess: Package, libraries: Iterable[Package]) -> bool:
        """Return whether the jar itself is one of the libraries that it contains, or may be.

        It is not where its file has a name and a version of which no library has one: guice-4.1.0.jar contains cglib.
        """
        if not jar_manifest.has_version(self._path):
            return any(True for _ in libraries)
        return any(guess.name == each.name or guess.version == each.version for each in libraries)

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

    def _text(self, member: ZipInfo, read: Callable[[ZipInfo, int], bytes]) -> str:
        """Return the text of a member; "" with a note if it cannot be read."""
        try:
            return read(member, MAX_HEADERS).decode("utf-8", "replace")
        except BadZipFile as error:
            self._note(member, f"could not be read: {error}")
            return ""

    def _note(self, member: ZipInfo, text: str) -> None:
        """Note what is wrong with a member, by its path in the file, with which each note begins anyway."""
        self._file.note(f"{self._path}!/{member.filename} {text}".removeprefix(f"{self._file.path}!/"))


def _common(folder: str, other: str) -> str:
    """Return the folder that contains two others."""
    if folder == other or other.startswith(f"{folder}/"):
        return folder
    parts = zip(folder.split("/"), other.split("/"), strict=False)
    return "/".join(each for each, _ in takewhile(lambda pair: pair[0] == pair[1], parts))


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

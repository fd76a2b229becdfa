"""Packages of Red Hat, SUSE, Azure Linux and their derivatives, as the database of rpm lists them."""

import re
from collections.abc import Iterable, Iterator
from posixpath import basename
from typing import Final

from lading.scanning.extractors.extractor import File
from lading.scanning.extractors.lines import lines
from lading.scanning.extractors.rpm_databases import SQLITE_MAGIC, headers
from lading.scanning.extractors.rpm_header import parse
from lading.scanning.limits import MAX_DATABASE
from lading.scanning.packages import RPM, Package

FOLDERS: Final = ("var/lib/rpm", "usr/lib/sysimage/rpm", "usr/share/rpm")
"""Of the database, by the distribution and its age; the last one is for images of ostree."""
NAMES: Final = ("Packages", "Packages.db", "rpmdb.sqlite")
"""Of the database: Berkeley DB, ndb, SQLite."""
WRITE_AHEAD_LOG: Final = "rpmdb.sqlite-wal"
PATHS: Final = tuple(f"{folder}/{name}" for folder in FOLDERS for name in (*NAMES, WRITE_AHEAD_LOG))
OSTREE: Final = re.compile(r"(?:^|/)ostree/repo/objects/[0-9a-f]{2}/[0-9a-f]{62}\.file$")
"""A file of ostree's, of which the database is another name (hard link)."""
MANIFEST: Final = "var/lib/rpmmanifest/container-manifest-2"
"""Of images of Azure Linux without rpm, a line of tabs for each package."""
SOURCE: Final = re.compile(r"(.+)-([^-]+-[^-]+)\.(?:no)?src\.rpm")
PUBLIC_KEY: Final = "gpg-pubkey"
"""rpm's database lists trusted keys as packages of this name."""


class Rpm:
    """Reads the database of rpm."""

    name = "database of rpm"
    limit = MAX_DATABASE

    def wants(self, path: str, size: int, head: bytes) -> bool:
        """Return whether the path is one of rpm's, or may be its database under the name that ostree gave it."""
        return path in PATHS or path == MANIFEST or (head.startswith(SQLITE_MAGIC) and bool(OSTREE.search(path)))

    def packages(self, file: File) -> Iterable[Package]:
        """Yield the installed packages."""
        if file.path == MANIFEST:
            return _of_manifest(file)
        if basename(file.path) == WRITE_AHEAD_LOG:
            if file.size:
                file.note("changes to the database of rpm that are only in this log were not read")
            return ()
        return _of_database(file)


def _of_database(file: File) -> Iterator[Package]:
    """Yield the packages of a database; a damaged header is noted."""
    if not file.size:
        return  # rpm creates an empty one where its format is another
    for header in headers(file.content, file.size):
        try:
            fields = parse(header)
        except ValueError as error:
            file.note(str(error))
            continue
        if fields.get("name") != PUBLIC_KEY:
            yield _package(fields, file.path)


def _of_manifest(file: File) -> Iterator[Package]:
    """Yield the packages of a manifest.

    Its columns are NAME, VERSION-RELEASE, INSTALLTIME, BUILDTIME, VENDOR, EPOCH, SIZE, ARCH, EPOCHNUM and SOURCERPM, as
    rpm names the tags.
    """
    for line in filter(bytes.strip, lines(file.content)):
        columns = line.decode("utf-8", "replace").rstrip("\n").split("\t")
        if len(columns) < 10:
            file.note("a line without ten columns was left out")
            continue
        name, version, *_, epoch, arch = (columns[at] for at in (0, 1, 5, 7))
        fields = {"name": name, "arch": arch, "source": columns[9]}
        fields["version"], _, fields["release"] = version.partition("-")
        if epoch.isdecimal():
            fields["epoch"] = epoch
        yield _package(fields, file.path)


def _package(fields: dict[str, str], path: str) -> Package:
    epoch = f"{fields['epoch']}:" if "epoch" in fields else ""
    version = f"{epoch}{fields.get('version', '')}-{fields.get('release', '')}".rstrip("-")
    source = SOURCE.fullmatch(fields.get("source", ""))
    source_version = f"{epoch}{source[2]}" if source else ""
    return Package(
        type=RPM,
        name=fields.get("name", ""),
        version=version,
        arch=fields.get("arch", ""),
        source=source[1] if source and source[1] != fields.get("name") else "",
        source_version=source_version if source_version != version else "",
        path=path,
        licenses=(fields["license"],) if fields.get("license") else (),
    )

"""Files of vulnerability data: local copies of the artifacts that a registry keeps, decompressed, one of each digest.

    artifact (gzip) ──▶ FOLDER/{digest of the artifact}.sqlite ──▶ Database

A file is complete once it has its name, so that several processes can share the folder. A process that is killed leaves
at worst a temporary file. A later run removes that, and the file before, once the tag points to other data.
"""

import gzip
import hashlib
import logging
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Final, Protocol, TypeVar

from lading.registry.errors import BLOB_UNKNOWN, RegistryError
from lading.registry.scans.vulnerability_data import DataArtifact
from lading.vulnerabilities.database import Database
from lading.vulnerabilities.exploits import Exploits
from lading.vulnerabilities.sqlite_files import DatabaseError

T = TypeVar("T")

EXPLOITS: Final = "exploits"
"""The ecosystem whose data is EPSS and KEV."""

MAX_FILE: Final = 4 * 1024**3
"""Bytes of one decompressed file; the largest one of OSV has some 300 MiB."""

MAX_LOOKS: Final = 2
"""How often an artifact is looked up, where updates remove it meanwhile."""

TEMPORARY: Final = "new-"
MAX_FETCH_SECONDS: Final = 3600.0
"""After this time, a temporary file is one that a killed process has left."""

CHUNK_SIZE: Final = 1024 * 1024

log = logging.getLogger("lading")


class DataError(Exception):
    """An artifact is not what its manifest says. The text is the reason."""


class Artifacts(Protocol):
    """The artifacts of a registry: lading.registry.scans.vulnerability_data.VulnerabilityArtifacts, or over HTTP."""

    def current(self, ecosystems: Sequence[str]) -> Mapping[str, DataArtifact]:
        """Return the data of those of some ecosystems that have any."""
        ...

    def open(self, artifact: DataArtifact) -> Iterator[bytes]:
        """Return the bytes of the data, as stored."""
        ...


class DatabaseFiles:
    """The files in one folder. See DataSource."""

    def __init__(self, artifacts: Artifacts, folder: Path) -> None:
        """Keep the data of `artifacts` in `folder`, which is created if it is missing."""
        self._artifacts = artifacts
        self._folder = folder

    @contextmanager
    def opened(self) -> "Iterator[OpenedFiles]":
        """See DataSource."""
        self._folder.mkdir(parents=True, exist_ok=True)
        opened = OpenedFiles(self._artifacts, self._folder)
        try:
            yield opened
        finally:
            opened.close()


class OpenedFiles:
    """The data during one run. See OpenedData."""

    def __init__(self, artifacts: Artifacts, folder: Path) -> None:
        """Open what is needed of `artifacts`."""
        self._artifacts = artifacts
        self._folder = folder
        self._databases: dict[str, Database | None] = {}
        self._exploits: list[Exploits | None] = []
        self.unusable: set[str] = set()
        """See OpenedData."""

    def database(self, ecosystem: str) -> Database | None:
        """See OpenedData. Raises StorageError where the registry cannot be read."""
        if ecosystem not in self._databases:
            self._databases[ecosystem] = self._open(ecosystem, Database)
        return self._databases[ecosystem]

    def exploits(self) -> Exploits | None:
        """See OpenedData."""
        if not self._exploits:
            self._exploits.append(self._open(EXPLOITS, Exploits))
        return self._exploits[0]

    def close(self) -> None:
        """Close all files."""
        for opened in (*self._databases.values(), *self._exploits):
            if opened is not None:
                opened.close()

    def _open(self, ecosystem: str, kind: Callable[[Path], T]) -> T | None:
        """Open the data of an ecosystem; None if there is none, or it cannot be used."""
        reason = ""
        for _ in range(MAX_LOOKS):
            artifact = self._artifacts.current([ecosystem]).get(ecosystem)
            if artifact is None:
                return None
            try:
                return self._opened(ecosystem, artifact, kind)
            except RegistryError as error:
                reason = str(error)
                if error.descriptor != BLOB_UNKNOWN:
                    break
            except (DataError, DatabaseError, OSError) as error:
                reason = str(error)
                break
        log.warning("the vulnerability data of %s cannot be used: %s", ecosystem, reason)
        self.unusable.add(ecosystem)
        return None

    def _opened(self, ecosystem: str, artifact: DataArtifact, kind: Callable[[Path], T]) -> T:
        """Open the data of an artifact.

        Raises:
            RegistryError: BLOB_UNKNOWN if an update has removed it meanwhile.
            DataError, DatabaseError, OSError, StorageError: it cannot be used, or not now.
        """
        prefix = hashlib.sha256(ecosystem.encode()).hexdigest()[:16]
        path = self._folder / f"{prefix}-{artifact.digest.partition(':')[2]}.sqlite"
        if not path.exists():
            self._fetch(artifact, path)
        self._remove_others(prefix, path)
        try:
            return kind(path)
        except (DatabaseError, OSError):
            path.unlink(missing_ok=True)
            raise

    def _remove_others(self, prefix: str, path: Path) -> None:
        """Remove the files of an ecosystem but one, and but temporary ones that another process may be writing."""
        for each in self._folder.glob(f"{prefix}-*"):
            is_temporary = each.name.startswith(f"{prefix}-{TEMPORARY}")
            if each != path and not (is_temporary and time.time() - each.stat().st_mtime < MAX_FETCH_SECONDS):
                each.unlink(missing_ok=True)

    def _fetch(self, artifact: DataArtifact, path: Path) -> None:
        """Copy an artifact to a file, decompressed. Raises DataError, RegistryError, StorageError."""
        with tempfile.NamedTemporaryFile(
            dir=self._folder, prefix=f"{path.name.partition('-')[0]}-{TEMPORARY}", delete=False
        ) as stored:
            temporary = Path(stored.name)
        target = temporary.with_suffix(".plain")
        try:
            with temporary.open("wb") as file:
                _copy_verified(self._artifacts.open(artifact), artifact, file)
            with temporary.open("rb") as source, target.open("wb") as plain:
                _decompress(source, plain)
            target.replace(path)
        finally:
            for each in (temporary, target):
                with suppress(FileNotFoundError):
                    each.unlink()


def _copy_verified(chunks: Iterator[bytes], artifact: DataArtifact, file: IO[bytes]) -> None:
    """Copy the data as stored. Raises DataError unless it has the digest of its descriptor."""
    algorithm, _, expected = artifact.layer.digest.partition(":")
    digest, size = hashlib.new(algorithm), 0
    for chunk in chunks:
        digest.update(chunk)
        size += len(chunk)
        if size > artifact.layer.size:
            break
        file.write(chunk)
    if digest.hexdigest() != expected:
        raise DataError("its bytes are not those of its digest")


def _decompress(source: IO[bytes], target: IO[bytes]) -> None:
    """Copy a file decompressed. Raises DataError."""
    size = 0
    try:
        with gzip.open(source) as plain:
            while chunk := plain.read(CHUNK_SIZE):
                size += len(chunk)
                if size > MAX_FILE:
                    raise DataError(f"it has more than {MAX_FILE} bytes")
                target.write(chunk)
    except (gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise DataError(f"it cannot be decompressed: {error}") from None

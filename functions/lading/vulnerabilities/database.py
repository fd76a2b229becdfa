"""Database: the records of one ecosystem, compiled from OSV's dump into a file of SQLite.

    all.zip ──compile──▶ debian.sqlite ──Database──▶ records of a package, by its name

The same records compile to the same bytes, so that data that did not change has the same digest.
"""

import hashlib
import json
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Self

from lading.vulnerabilities import dump, osv
from lading.vulnerabilities.osv import Affected
from lading.vulnerabilities.sqlite_files import FORMAT, DatabaseError, created, damage, opened

_TABLES: Final = """
CREATE TABLE about (name TEXT, value TEXT);
CREATE TABLE release (number INTEGER PRIMARY KEY, name TEXT);
CREATE TABLE vulnerability (
    number INTEGER PRIMARY KEY, id TEXT, aliases TEXT, covers TEXT, summary TEXT, published TEXT
);
CREATE TABLE affected (
    name TEXT, release INTEGER, vulnerability INTEGER, ranges TEXT, versions TEXT, severity TEXT, score REAL
);
"""

_BY_NAME: Final = "CREATE INDEX affected_name ON affected (name)"
"""Created last: an index that is built from all rows at once is compact."""

_EVENTS: Final = {"i": "introduced", "f": "fixed", "a": "last_affected", "l": "limit"}
_INITIALS: Final = {event: initial for initial, event in _EVENTS.items()}
"""Events by the letters that stand for them: half of the data is events."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """Vulnerability of a package, see osv.Vulnerability and osv.Affected."""

    id: str
    aliases: tuple[str, ...]
    covers: tuple[str, ...]
    summary: str
    published: str
    affected: Affected


@dataclass(frozen=True, slots=True, kw_only=True)
class Compiled:
    """What was compiled.

    Attributes:
        version: identifies the content; it begins with the time of its newest record.
        records: the number of records in the database.
        unreadable: the number of those that could not be read, and are missing in it.
    """

    version: str
    records: int
    unreadable: int


def compile(ecosystem: str, source: Path, target: Path) -> Compiled:
    """Compile the dump of an ecosystem.

    A record that cannot be read is counted: what was compared with the data then is so in part only.

    Args:
        ecosystem: its name without a release, such as "Debian".
        source: the zip file.
        target: the file to create. It is not there if compiling fails.

    Raises:
        DumpError: the dump cannot be read.
    """
    with created(target, _TABLES) as connection:
        return _Compiler(connection, ecosystem).run(source)


class _Compiler:
    """Writes the records of a dump into the tables."""

    def __init__(self, connection: sqlite3.Connection, ecosystem: str) -> None:
        self._connection = connection
        self._ecosystem = ecosystem
        self._hash = hashlib.sha256(f"{FORMAT} {ecosystem}\0".encode())
        self._newest = ""
        self._unreadable = 0
        self._releases: dict[str, int] = {}

    def run(self, source: Path) -> Compiled:
        """Write all. Raises DumpError."""
        records = 0
        for records, found in enumerate(self._vulnerabilities(source), 1):
            self._insert(records, found)
        self._connection.executemany(
            "INSERT INTO release VALUES (?, ?)", ((number, name) for name, number in self._releases.items())
        )
        self._connection.execute(_BY_NAME)
        version = "-".join(filter(None, (self._newest, self._hash.hexdigest()[:16])))
        about = {"ecosystem": self._ecosystem, "version": version, "records": records, "unreadable": self._unreadable}
        self._connection.executemany("INSERT INTO about VALUES (?, ?)", about.items())
        return Compiled(version=version, records=records, unreadable=self._unreadable)

    def _vulnerabilities(self, source: Path) -> Iterator[osv.Vulnerability]:
        for name, content in dump.records(source):
            self._hash.update(f"{name}\0{len(content or b'')}\0".encode(errors="replace"))
            self._hash.update(content or b"")
            try:
                found = osv.parse(content or b"", self._ecosystem)
            except osv.RecordError:
                self._unreadable += 1
            else:
                if found:
                    self._newest = max(self._newest, found.modified)
                    yield found

    def _insert(self, number: int, found: osv.Vulnerability) -> None:
        self._connection.execute(
            "INSERT INTO vulnerability VALUES (?, ?, ?, ?, ?, ?)",
            (number, found.id, _text(found.aliases), _text(found.covers), found.summary, found.published),
        )
        self._connection.executemany(
            "INSERT INTO affected VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                (
                    each.name,
                    self._releases.setdefault(each.release, len(self._releases)),
                    number,
                    _text([[f"{_INITIALS[kind]}{version}" for kind, version in events] for events in each.ranges]),
                    _text(each.versions),
                    each.severity,
                    each.score,
                )
                for each in found.affected
            ),
        )


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


class Database:
    """Compiled records of one ecosystem, read-only. Not thread-safe.

    Attributes:
        ecosystem: its name without a release.
        version: see Compiled.
        records: see Compiled.
        unreadable: see Compiled.
        releases: those that its records are about, such as "12".
    """

    def __init__(self, path: Path) -> None:
        """Open the file that `compile` made. It must not change while it is open.

        Raises:
            DatabaseError: it is none, or of another version of Lading.
        """
        self._connection = opened(path)
        try:
            with damage():
                about = dict(self._connection.execute("SELECT name, value FROM about"))
                self.ecosystem = str(about["ecosystem"])
                self.version = str(about["version"])
                self.records = int(about["records"])
                self.unreadable = int(about["unreadable"])
                self.releases = frozenset(str(name) for (name,) in self._connection.execute("SELECT name FROM release"))
        except DatabaseError:
            self._connection.close()
            raise

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def find(self, name: str, covers: Callable[[str], bool] = lambda _: True) -> list[Record]:
        """Return the records of a package, in the order of the dump.

        Args:
            name: as `ecosystems.name_of` returns it.
            covers: whether a release counts, see Ecosystem.

        Raises:
            DatabaseError: the file is damaged.
        """
        with damage():
            return [_record(row) for row in self._connection.execute(_FIND, (name,)) if covers(row[_RELEASE])]

    def names(self, artifact: str) -> Sequence[str]:
        """Return the names of packages of Maven, GROUP:ARTIFACT, that have an artifact's name. Raises DatabaseError."""
        return self._by_artifact.get(artifact, ())

    @cached_property
    def _by_artifact(self) -> Mapping[str, Sequence[str]]:
        found: dict[str, list[str]] = {}
        with damage():
            for (name,) in self._connection.execute("SELECT DISTINCT name FROM affected ORDER BY name"):
                found.setdefault(name.rpartition(":")[2], []).append(name)
        return found


_FIND: Final = """
SELECT id, aliases, covers, summary, published, affected.name, release.name, ranges, versions, severity, score
FROM affected JOIN vulnerability ON vulnerability.number = affected.vulnerability
JOIN release ON release.number = affected.release
WHERE affected.name = ? ORDER BY affected.rowid
"""


_RELEASE: Final = 6
"""Column of the release."""


def _record(row: Sequence[Any]) -> Record:
    id, aliases, covers, summary, published, name, release, ranges, versions, severity, score = row
    return Record(
        id=id,
        aliases=tuple(json.loads(aliases)),
        covers=tuple(json.loads(covers)),
        summary=summary,
        published=published,
        affected=Affected(
            name=name,
            release=release,
            ranges=[[(_EVENTS[event[0]], event[1:]) for event in events] for events in json.loads(ranges)],
            versions=json.loads(versions),
            severity=severity,
            score=score,
        ),
    )

"""Records and dumps of OSV, made by hand, and the databases that they compile to."""

import json
import zipfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from lading.vulnerabilities import database
from lading.vulnerabilities.database import Database

Events = Iterable[Mapping[str, str]]


def affected(ecosystem: str, name: str, *events: Mapping[str, str], **fields: Any) -> dict[str, Any]:
    """Return a member of "affected": with one range, unless `events` is empty."""
    kind = "SEMVER" if ecosystem in ("Go", "npm", "crates.io") else "ECOSYSTEM"
    ranges = [{"type": kind, "events": list(events)}] if events else []
    return {"package": {"ecosystem": ecosystem, "name": name}, "ranges": ranges, **fields}


def record(id: str, *packages: Mapping[str, Any], **fields: Any) -> dict[str, Any]:
    """Return a record."""
    modified = "2026-01-01T00:00:00Z"
    return {"schema_version": "1.6.0", "id": id, "modified": modified, "summary": id, "affected": packages, **fields}


def vulnerable(id: str, ecosystem: str, name: str, fixed: str = "", **fields: Any) -> dict[str, Any]:
    """Return a record of a package of which all versions below `fixed` are vulnerable, or all."""
    events = [{"introduced": "0"}, *([{"fixed": fixed}] if fixed else [])]
    return record(id, affected(ecosystem, name, *events), **fields)


def write_dump(path: Path, members: Iterable[Mapping[str, Any]] | Mapping[str, bytes]) -> Path:
    """Write a dump with records, or with members of these names and contents."""
    named = members if isinstance(members, Mapping) else {f"{each['id']}.json": json.dumps(each) for each in members}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in named.items():
            archive.writestr(name, content)
    return path


class CountedDatabase(Database):
    """Database that counts how often it is searched."""

    searches = 0

    def find(self, name: str, covers: Callable[[str], bool] = lambda _: True) -> list[database.Record]:
        """See Database.find."""
        self.searches += 1
        return super().find(name, covers)


Databases = dict[str, CountedDatabase]
MakeDatabases = Callable[..., Databases]


def make_databases(folder: Path, *records: Mapping[str, Any]) -> Databases:
    """Compile databases of all ecosystems that records name."""
    names = {each["package"]["ecosystem"].partition(":")[0] for found in records for each in found["affected"]}
    made: Databases = {}
    for name in sorted(names):
        source = write_dump(folder / f"{name}.zip", records)
        database.compile(name, source, folder / f"{name}.sqlite")
        made[name] = CountedDatabase(folder / f"{name}.sqlite")
    return made

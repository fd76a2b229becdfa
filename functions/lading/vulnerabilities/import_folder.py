"""Import of data from a folder, for sites without internet.

    FOLDER/osv-scalibr/Debian/all.zip             as osv-scanner stores it for offline use,
    FOLDER/osv-scanner/Debian/all.zip             and as it did before,
    FOLDER/Debian/all.zip                         or a copy of OSV's bucket
    FOLDER/epss_scores-2026-01-01.csv.gz          scores of EPSS, as FIRST publishes them; of several, the last by name
    FOLDER/known_exploited_vulnerabilities.json   catalog of CISA

https://google.github.io/osv-scanner/usage/offline-mode/
"""

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from lading.connection_errors import reason_of
from lading.vulnerabilities import database, exploits
from lading.vulnerabilities.download import NO_RECORDS, Update
from lading.vulnerabilities.dump import DumpError
from lading.vulnerabilities.ecosystems import SCHEMES
from lading.vulnerabilities.exploits import ExploitsError

EXPLOITS: Final = "exploits"
"""Name of the data on exploits, beside the names of ecosystems."""

FOLDERS: Final = ("osv-scalibr", "osv-scanner", "")

SCORES: Final = "epss*.csv*"
CATALOG: Final = "known_exploited_vulnerabilities.json"


def dumps_in(folder: Path) -> Mapping[str, Path]:
    """Return the dumps in a folder by the names of their ecosystems, of those of which packages are scanned."""
    places = ((name, folder / place / name / "all.zip") for place in reversed(FOLDERS) for name in sorted(SCHEMES))
    return {name: path for name, path in places if path.is_file()}


def import_folder(source: Path, folder: Path) -> Iterator[Update]:
    """Yield a result for each dump in a folder, and one for EXPLOITS if there are any; none if there is no data.

    Args:
        source: the folder to read.
        folder: for the databases.
    """
    for name, dump in dumps_in(source).items():
        try:
            etag = f"sha256:{_digest(dump)}"
            target = folder / f"{name}.sqlite"
            compiled = database.compile(name, dump, target)
            if compiled.records:
                yield Update(ecosystem=name, etag=etag, path=target, compiled=compiled)
            else:
                target.unlink()
                yield Update(ecosystem=name, error=NO_RECORDS)
        except (DumpError, OSError) as error:
            yield Update(ecosystem=name, error=_reason(error))
    yield from _exploits(source, folder)


def _exploits(source: Path, folder: Path) -> Iterator[Update]:
    scores = max(source.glob(SCORES), default=None)
    catalog = source / CATALOG if (source / CATALOG).is_file() else None
    if scores or catalog:
        yield import_exploits(scores, catalog, folder)


def import_exploits(scores: Path | None, catalog: Path | None, folder: Path) -> Update:
    """Return the result for EXPLOITS, of files with any names.

    Args:
        scores: of EPSS, or None.
        catalog: of CISA, or None.
        folder: for the database.
    """
    try:
        target = folder / f"{EXPLOITS}.sqlite"
        return Update(ecosystem=EXPLOITS, etag=exploits.compile(scores, catalog, target), path=target)
    except (ExploitsError, OSError) as error:
        return Update(ecosystem=EXPLOITS, error=_reason(error))


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _reason(error: Exception) -> str:
    return f"the file cannot be read: {reason_of(error)}" if isinstance(error, OSError) else str(error)

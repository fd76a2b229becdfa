"""`lading vulnerabilities`: the data with which the packages of images are compared."""

import argparse
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final

from lading.commands import exit_status
from lading.commands.options import STORES, CommandError, Commands, add, add_group, registry, registry_errors
from lading.commands.output import Column, Printer, add_output_options
from lading.jobs.stored_data import FAILED, StoredData
from lading.settings import Settings
from lading_storage.records.scans import VulnerabilityData

if TYPE_CHECKING:
    from lading.registry.scans.vulnerability_data import VulnerabilityArtifacts
    from lading.vulnerabilities.download import Update

EXTRA: Final = "pip install 'lading-registry[scan]'"

PACKAGES: Final = ("cvss", "univers")
"""Import packages of the extra that read the data; they are looked for, and not imported."""

OPTIONS: Final = (*STORES, "vulnerability-repository")

EXPLOITS: Final = "exploits"
"""The data on exploits, among the names of ecosystems (lading.vulnerabilities.import_folder, which needs the extra)."""


@dataclass(frozen=True, slots=True)
class DataRow:
    """Data of one ecosystem.

    digest   of the artifact that has it, or "" while there is none
    seen     when an image first needed it, or it was first stored
    updated  when it last changed, or null
    checked  when the source was last asked, or null
    error    why that failed, or ""
    """

    ecosystem: str
    digest: str
    seen: datetime
    updated: datetime | None
    checked: datetime | None
    error: str

    @classmethod
    def of(cls, record: VulnerabilityData, digest: str) -> "DataRow":
        """Return the row of a record; `digest` is that of the data, or "" where it was deleted."""
        return cls(record.id, digest, record.seen, record.updated, record.checked, record.error)


UPDATE_COLUMNS: Final[tuple[Column[StoredData], ...]] = (
    Column("ECOSYSTEM", lambda row: row.ecosystem, width=16),
    Column("OUTCOME", lambda row: row.outcome, width=9),
    Column("RECORDS", lambda row: row.records, width=8, right=True),
    Column("ERROR", lambda row: row.error),
)

DATA_COLUMNS: Final[tuple[Column[DataRow], ...]] = (
    Column("ECOSYSTEM", lambda row: row.ecosystem),
    Column("DATA", lambda row: row.digest or "none"),
    Column("UPDATED", lambda row: row.updated),
    Column("CHECKED", lambda row: row.checked),
    Column("ERROR", lambda row: row.error),
)


def add_to(commands: Commands) -> None:
    """Add the commands."""
    group = add_group(commands, "vulnerabilities", "the data with which the packages of images are compared")
    update = add(
        group,
        "update",
        "download what changed of the data that images need",
        _update,
        (*OPTIONS, "vulnerability-source"),
    )
    update.add_argument("ecosystems", nargs="*", metavar="ECOSYSTEM", help="also this data, such as Debian or PyPI")
    add_output_options(update, StoredData)
    imported = add(group, "import", "store data from a folder, for a registry without internet", _import, OPTIONS)
    imported.add_argument("folder", metavar="DIR", help="with ECOSYSTEM/all.zip, as OSV's bucket or osv-scanner has it")
    imported.add_argument("--epss", metavar="FILE", help="scores of EPSS, CSV or csv.gz; default: those in DIR")
    imported.add_argument("--kev", metavar="FILE", help="CISA's catalog of known exploited vulnerabilities, JSON; same")
    add_output_options(imported, StoredData)
    status = add(group, "status", "show the age of the data that images need", _status, OPTIONS)
    add_output_options(status, DataRow)


def _update(parsed: argparse.Namespace, settings: Settings) -> int:
    with _artifacts(settings) as artifacts:
        _require_extra()
        from lading.addresses import AddressRefused
        from lading.vulnerabilities.download import check_source, update
        from lading.vulnerabilities.ecosystems import SCHEMES

        if unknown := sorted(set(parsed.ecosystems) - SCHEMES.keys()):
            raise CommandError(f"{unknown[0]} is no ecosystem; there are {', '.join(sorted(SCHEMES))}")
        if not settings.vulnerability_source:
            raise CommandError("there is no source to download from; use `lading vulnerabilities import DIR`")
        try:
            check_source(settings.vulnerability_source)
        except AddressRefused as error:
            raise CommandError(f"--vulnerability-source: {error}") from None
        etags = etags_of(artifacts, parsed.ecosystems)
        if not etags:
            Printer.of(parsed).note("no image needs data yet; name ecosystems to download theirs, such as Debian")
        return _store(
            Printer.of(parsed), artifacts, lambda folder: update(settings.vulnerability_source, etags, folder)
        )


def etags_of(artifacts: "VulnerabilityArtifacts", others: Iterable[str] = ()) -> Mapping[str, str]:
    """Return the versions of the data that is there, by the ecosystems that images need, and by others."""
    from lading.jobs.vulnerability_data import known_etags

    needed = {each.id: each.etag for each in artifacts.records() if each.id != EXPLOITS}
    return {**dict.fromkeys(others, ""), **known_etags(artifacts, needed)}


def _import(parsed: argparse.Namespace, settings: Settings) -> int:
    source = Path(parsed.folder)
    scores, catalog = (Path(each) if each else None for each in (parsed.epss, parsed.kev))
    with _artifacts(settings) as artifacts:
        _require_extra()
        from lading.vulnerabilities import import_folder as imports

        if not source.is_dir():
            raise CommandError(f"{source} is no folder")

        def updates(folder: Path) -> "Iterator[Update]":
            found = imports.import_folder(source, folder)
            if scores or catalog:
                yield from (each for each in found if each.ecosystem != imports.EXPLOITS)
                yield imports.import_exploits(scores, catalog, folder)
            else:
                yield from found

        return _store(Printer.of(parsed), artifacts, updates, empty=f"{source} has no data: no ECOSYSTEM/all.zip")


def _status(parsed: argparse.Namespace, settings: Settings) -> None:
    opened = registry(settings, writes=False)
    artifacts = opened.scans.vulnerability_data(settings.vulnerability_repository)
    if not (records := artifacts.records()):
        Printer.of(parsed).note("there is no vulnerability data, and no image needs any yet")
    current = artifacts.current([each.id for each in records])
    digests = [current[each.id].digest if each.id in current else "" for each in records]
    Printer.of(parsed).table(DATA_COLUMNS, map(DataRow.of, records, digests))


def _store(
    printer: Printer,
    artifacts: "VulnerabilityArtifacts",
    updates: "Callable[[Path], Iterable[Update]]",
    empty: str = "",
) -> int:
    """Store data and print a row each; return the exit status. Raises CommandError, `empty`, where there is none."""
    from lading.jobs.vulnerability_data import store

    outcomes: list[str] = []

    def rows(stored: Iterable[StoredData]) -> Iterator[StoredData]:
        for each in stored:
            outcomes.append(each.outcome)
            yield each

    with TemporaryDirectory(prefix="lading-") as folder, registry_errors():
        printer.table(UPDATE_COLUMNS, rows(store(artifacts, updates(Path(folder)))), batch_size=1)
    if empty and not outcomes:
        raise CommandError(empty)
    return exit_status.FAILED if FAILED in outcomes else exit_status.OK


@contextmanager
def _artifacts(settings: Settings) -> "Iterator[VulnerabilityArtifacts]":
    """Open the registry to write data. Raises StoreNotFound, StorageError, CommandError."""
    opened = registry(settings)
    try:
        yield opened.scans.vulnerability_data(settings.vulnerability_repository)
    finally:
        opened.close()


def _require_extra() -> None:
    """Raise CommandError where the packages that read the data are not installed."""
    if missing := [each for each in PACKAGES if find_spec(each) is None]:
        raise CommandError(f"vulnerability data needs the package {missing[0]}: {EXTRA}")

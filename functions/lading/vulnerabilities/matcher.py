"""Matcher: compares the packages of images with the data about vulnerabilities.

    package ──ecosystem_of──▶ data, release ──Database.find──▶ records ──ranges.compare──▶ findings ──merge──▶ findings

Packages that many images share are compared once: what was found is kept by ecosystem, name and version, and once more
by the package itself, for as long as the matcher is, which is for one run over the images.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from lading.quantity import counted
from lading.scanning import packages as types
from lading.scanning.findings import EXPLOITS, SEVERITIES, UNKNOWN, Finding
from lading.scanning.packages import Distribution, ImagePackages, Package
from lading.vulnerabilities import ecosystems, ranges
from lading.vulnerabilities.database import Database, Record
from lading.vulnerabilities.ecosystems import Ecosystem
from lading.vulnerabilities.exploits import Exploits
from lading.vulnerabilities.merging import merge
from lading.vulnerabilities.sqlite_files import DatabaseError

MAX_NOTES: Final = 50
"""Notes on single packages of an image; of further ones, their number."""

MAX_FINDINGS: Final = 50_000
"""Findings of an image, some 100 MB. Real ones have up to 10,000; an image decides how often it has a package."""

TOO_MANY: Final = f"there are more than {MAX_FINDINGS} vulnerabilities: further packages were not compared"

MAX_KEPT: Final = 400_000
"""Findings and packages that are kept, some 150 MB at most."""

GUESSED: Final = "the group of the jar is a guess"


@dataclass(frozen=True, slots=True, kw_only=True)
class Matches:
    """What was found in an image.

    Attributes:
        findings: the worst first, then by id, package and path.
        missing: the ecosystems of which there is no data, sorted.
        notes: what could not be compared, and why, a sentence each.
        data: the version of the data by its name, as used.
    """

    findings: Sequence[Finding]
    missing: Sequence[str]
    notes: Sequence[str]
    data: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class _Compared:
    """What was found for a package, with the notes on it."""

    findings: Sequence[Finding]
    notes: Sequence[str] = ()


class Matcher:
    """Compares images with data, for one run. Not thread-safe."""

    def __init__(self, databases: Callable[[str], Database | None], exploits: Exploits | None = None) -> None:
        """Compare with these data.

        Args:
            databases: returns the database of an ecosystem, by its name without a release; None if there is none.
            exploits: what is known of the exploitation of vulnerabilities.
        """
        self._databases = databases
        self._exploits = exploits
        self._opened: dict[str, Database | None] = {}
        self._kept: dict[tuple[str, str, str, bool], _Compared] = {}
        self._placed: dict[tuple[str, Package], _Compared] = {}
        self._count = 0

    def match(self, image: ImagePackages) -> Matches:
        """Return the vulnerabilities of an image.

        What is not known is never left out in silence: it makes `missing` or `notes`, and the result is partial.
        """
        run = _Run(self, image.distribution)
        for package in image.packages:
            run.add(package)
        data = {name: database.version for name, database in run.used.items()}
        if self._exploits is not None:
            data[EXPLOITS] = self._exploits.version
        return Matches(
            findings=sorted(run.findings, key=order), missing=sorted(run.missing), notes=run.notes, data=data
        )

    def database(self, name: str) -> Database | None:
        """Return a database with records, or None."""
        if name not in self._opened:
            found = self._databases(name)
            self._opened[name] = found if found is not None and found.records else None
        return self._opened[name]

    def compare(self, package: Package, ecosystem: Ecosystem, database: Database) -> _Compared:
        """Return what is known of a package. Raises DatabaseError."""
        place = (ecosystem.name, package)
        placed = self._placed.get(place)
        if placed is None:
            found = self._of_version(package, ecosystem, database)
            notes = [f"{package.path}: {each}" if package.path else each for each in found.notes]
            placed = _Compared([replace(each, package=package) for each in found.findings], notes)
            self._keep(len(placed.findings))
            self._placed[place] = placed
        return placed

    def _of_version(self, package: Package, ecosystem: Ecosystem, database: Database) -> _Compared:
        name = ecosystems.name_of(ecosystem.data, package)
        key = (ecosystem.name, name, ecosystems.version_of(ecosystem.data, package), package.guessed)
        found = self._kept.get(key)
        if found is None:
            found = self._compare(package, ecosystem, database)
            self._keep(len(found.findings))
            self._kept[key] = found
        return found

    def _keep(self, findings: int) -> None:
        """Make room for one package with findings."""
        self._count += findings + 1
        if self._count > MAX_KEPT:
            self._kept.clear()
            self._placed.clear()
            self._count = findings + 1

    def _compare(self, package: Package, ecosystem: Ecosystem, database: Database) -> _Compared:
        name, version = ecosystems.name_of(ecosystem.data, package), ecosystems.version_of(ecosystem.data, package)
        uncertain = ""
        if package.type == types.MAVEN and package.guessed:
            candidates = database.names(package.name)
            if name not in candidates and len(candidates) > 1:
                return _Compared((), (f"the group of {package.name} is not known, of which there are several",))
            name, uncertain = (name if name in candidates else (*candidates, name)[0]), GUESSED
        records = _of_release(database.find(name, ecosystem.covers), ecosystem)
        if records and not version:
            return _Compared((), (f"the version of {name} is not known",))
        found = (_finding(each, package, ecosystem, version, uncertain) for each in records)
        return _Compared([self._with_exploits(each) for each in merge([each for each in found if each])])

    def _with_exploits(self, finding: Finding) -> Finding:
        if self._exploits is None:
            return finding
        epss, known = self._exploits.find((finding.id, *finding.aliases, *finding.covers))
        return replace(finding, epss=epss, known_exploited=known)


class _Run:
    """Comparison of one image."""

    def __init__(self, matcher: Matcher, distribution: Distribution) -> None:
        self._matcher = matcher
        self._distribution = distribution
        self.findings: list[Finding] = []
        self.missing: set[str] = set()
        self.used: dict[str, Database] = {}
        self._of_data: dict[str, None] = {}
        self._of_packages: dict[str, None] = {}

    @property
    def notes(self) -> Sequence[str]:
        """Return all notes: on the data, and then on packages."""
        on_data = [
            f"{counted(database.unreadable, 'record')} of the data of {name} could not be read"
            for name, database in sorted(self.used.items())
            if database.unreadable
        ]
        on_packages = list(self._of_packages)
        if more := on_packages[MAX_NOTES:]:
            on_packages[MAX_NOTES:] = [f"{counted(len(more), 'more package')} could not be compared"]
        return on_data + list(self._of_data) + on_packages

    def add(self, package: Package) -> None:
        """Compare a package."""
        if TOO_MANY in self._of_data:
            return
        ecosystem = ecosystems.ecosystem_of(package, self._distribution)
        if ecosystem is None:
            self.missing.add(ecosystems.unknown_of(package, self._distribution))
            return
        database = self._matcher.database(ecosystem.data)
        if database is None or not any(ecosystem.covers(each) for each in database.releases):
            self.missing.add(ecosystem.name)
            return
        try:
            compared = self._matcher.compare(package, ecosystem, database)
        except DatabaseError as error:
            self.missing.add(ecosystem.name)
            self._of_data[f"the data of {ecosystem.data} cannot be used: {error}"] = None
            return
        self.used[ecosystem.data] = database
        if len(self.findings) + len(compared.findings) > MAX_FINDINGS:
            self._of_data[TOO_MANY] = None
            return
        self.findings += compared.findings
        self._of_packages.update(dict.fromkeys(compared.notes))


def match(
    image: ImagePackages, databases: Callable[[str], Database | None], exploits: Exploits | None = None
) -> Matches:
    """Return the vulnerabilities of one image, see Matcher."""
    return Matcher(databases, exploits).match(image)


def _of_release(records: Sequence[Record], ecosystem: Ecosystem) -> Sequence[Record]:
    """Return the records that count for a release: of each vulnerability, those that prefer it if there are any."""
    preferred = [each for each in records if ecosystem.preferred(each.affected.release)]
    ids = {each.id for each in preferred}
    return preferred + [each for each in records if each.id not in ids]


def _finding(record: Record, package: Package, ecosystem: Ecosystem, version: str, uncertain: str) -> Finding | None:
    affected = record.affected
    verdict = ranges.compare(affected, version, ecosystems.SCHEMES[ecosystem.data])
    if not verdict.vulnerable:
        return None
    if verdict.uncomparable is not None:
        uncertain = f"version {verdict.uncomparable} cannot be compared"
    return Finding(
        id=record.id,
        aliases=record.aliases,
        covers=record.covers,
        package=package,
        ecosystem=f"{ecosystem.data}:{affected.release}" if affected.release else ecosystem.data,
        severity=affected.severity if verdict.uncomparable is None else UNKNOWN,
        score=affected.score if verdict.uncomparable is None else None,
        fixed=verdict.fixed,
        summary=record.summary,
        published=datetime.fromisoformat(record.published) if record.published else None,
        uncertain=uncertain,
    )


def order(finding: Finding) -> tuple[int, float, str, str, str]:
    """Return what findings are sorted by: the worst first, then by id, package and path."""
    package = finding.package
    return SEVERITIES.index(finding.severity), -(finding.score or 0), finding.id, package.name, package.path

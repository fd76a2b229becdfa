"""In-use reports: deployers report which images run where, and clean-up keeps them.

A report is kept until its source reports again, or is deleted: a source that stops reporting may still run its images.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final, Protocol

from lading.registry.change_context import Clock
from lading.registry.names import is_repository, is_tag
from lading.registry.pagination import scan_all
from lading.registry.retry import retry_on_conflict
from lading_storage.digests import is_digest
from lading_storage.protocols import Create, Delete, MetadataStore, Replace
from lading_storage.records.core import Key
from lading_storage.records.jobs import InUseReport

MAX_REFERENCES: Final = 5_000
MAX_CHARACTERS: Final = 500_000
"""Limits of one report, so that it fits into a Firestore document; a source with more uses several names."""

MAX_SOURCE_LENGTH: Final = 128

HOST: Final = re.compile(r"(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")
"""A host name or address with an optional port, before a repository in a reference."""


class InUseReportError(Exception):
    """A report is invalid; the message says why."""


class Tagged(Protocol):
    """A manifest of a repository, and the tags that point to it."""

    @property
    def digest(self) -> str: ...  # noqa: D102

    @property
    def tags(self) -> Iterable[str]: ...  # noqa: D102


class InUseReports:
    """In-use reports of all sources."""

    def __init__(self, metadata: MetadataStore, clock: Clock) -> None:
        """Store reports in `metadata`."""
        self._metadata = metadata
        self._clock = clock

    def report(self, source: str, references: Iterable[str]) -> InUseReport:
        """Store a report, replace the previous one of the same source, and return it. Raises InUseReportError."""
        if not is_tag(source):
            raise InUseReportError(
                f"the name of a source has at most {MAX_SOURCE_LENGTH} letters, digits and ._-, unlike {source[:200]}"
            )
        report = InUseReport(id=source, references=normalize_references(references), reported=self._clock())
        retry_on_conflict(lambda: self._put(report))
        return report

    def all(self) -> list[InUseReport]:
        """Return the reports of all sources, sorted by name."""
        return list(scan_all(self._metadata, InUseReport))

    def forget(self, source: str) -> bool:
        """Delete the report of a source; return whether there was one."""
        return retry_on_conflict(lambda: self._try_to_forget(source))

    def _put(self, report: InUseReport) -> None:
        previous = self._metadata.read([report.key])[report.key]
        self._metadata.commit([Replace(replace(report, version=previous.version)) if previous else Create(report)])

    def _try_to_forget(self, source: str) -> bool:
        key = Key(InUseReport, source)
        report = self._metadata.read([key])[key]
        if report is not None:
            self._metadata.commit([Delete(report)])
        return report is not None


def normalize_references(references: Iterable[str]) -> tuple[str, ...]:
    """Return references in stored form: distinct and sorted. Raises InUseReportError."""
    normalized = sorted({each.strip() for each in references if each.strip()})
    if not normalized:
        raise InUseReportError("the report is empty: if nothing runs there any more, run `lading in-use forget`")
    if len(normalized) > MAX_REFERENCES or sum(map(len, normalized)) > MAX_CHARACTERS:
        raise InUseReportError(f"a report has at most {MAX_REFERENCES} references: report under several names")
    for each in normalized:
        _check_path(parse_reference(each)[0], each)
    return tuple(normalized)


def _check_path(path: str, reference: str) -> None:
    """Raise InUseReportError unless a path is a repository, also after a host and a scheme, as Kubernetes writes them.

    Reports that an earlier release accepted are not checked again: what they keep stays kept.
    """
    path = path.partition("://")[2] or path
    host, _, rest = path.partition("/")
    if path and not is_repository(path) and not (HOST.fullmatch(host) and is_repository(rest)):
        raise InUseReportError(f"{reference[:200]} is neither a digest nor a reference such as team/app:v1")


def parse_reference(reference: str) -> tuple[str, str]:
    """Return the path of a reference, including any host, and its digest or tag. Raises InUseReportError.

    A digest alone has the path "", which matches every repository. The default tag is `latest`.
    """
    if is_digest(reference):
        return "", reference
    path, at, digest = reference.partition("@")
    slash = path.rfind("/")
    name, colon, tag = path[slash + 1 :].partition(":")
    path = path[: slash + 1] + name
    if not name or (at and not is_digest(digest)) or (colon and not is_tag(tag)):
        raise InUseReportError(f"{reference[:200]} is neither a digest nor a reference such as team/app:v1")
    return path, digest or tag or "latest"


def in_use_locations(reports: Sequence[InUseReport], repository: str, nodes: Iterable[Tagged]) -> Mapping[str, str]:
    """Return the digests of a repository's manifests that are in use, each with where (`in SOURCE`).

    Only the end of a reference's path is compared with the repository's name: it can begin with a host, and the path of
    a cache in front of this registry.
    """
    tags: dict[str, str] = {}
    digests: set[str] = set()
    for node in nodes:
        digests.add(node.digest)
        tags |= dict.fromkeys(node.tags, node.digest)
    locations: dict[str, str] = {}
    for source, target in _targets(reports, repository):
        digest = target if target in digests else tags.get(target, "")
        if digest:
            locations.setdefault(digest, f"in {source}")
    return locations


def digests_in_use(reports: Iterable[InUseReport], repository: str) -> set[str]:
    """Return the digests in use that may be of a repository's manifests, with tags among them."""
    return {target for _, target in _targets(reports, repository)}


def _targets(reports: Iterable[InUseReport], repository: str) -> Iterator[tuple[str, str]]:
    """Yield each source with each digest or tag of this repository that it reports."""
    for report in reports:
        for reference in report.references:
            path, target = parse_reference(reference)
            if not path or f"/{path}".endswith(f"/{repository}"):
                yield report.id, target

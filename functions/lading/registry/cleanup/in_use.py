"""What runs somewhere, as deployers report it: clean-up keeps it.

A report stays until its source reports again or is forgotten: whoever falls silent may still run what it ran.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final

from lading.registry.change_context import Clock
from lading.registry.cleanup.graph import Node
from lading.registry.names import is_tag
from lading.registry.pagination import scan_all
from lading.registry.retry import retry_on_conflict
from lading_storage.digests import is_digest
from lading_storage.protocols import Create, Delete, MetadataStore, Replace
from lading_storage.records.core import Key
from lading_storage.records.jobs import InUseReport

MAX_REFERENCES: Final = 5_000
MAX_CHARACTERS: Final = 500_000
"""Of one report, so that it fits a document of Firestore: whoever runs more reports under several names."""

MAX_SOURCE_LENGTH: Final = 128


class InUseReportError(Exception):
    """A report that cannot be taken; the message says why."""


class InUseReports:
    """The reports of all sources."""

    def __init__(self, metadata: MetadataStore, clock: Clock) -> None:
        """Keep reports in `metadata`."""
        self._metadata = metadata
        self._clock = clock

    def report(self, source: str, references: Iterable[str]) -> InUseReport:
        """Keep what a source runs now, in the place of what it reported before. Raises InUseReportError."""
        if not is_tag(source):
            raise InUseReportError(
                f"a source has a name of at most {MAX_SOURCE_LENGTH} letters, digits and ._-, not {source[:200]}"
            )
        running = InUseReport(id=source, references=normalize_references(references), reported=self._clock())
        retry_on_conflict(lambda: self._put(running))
        return running

    def all(self) -> list[InUseReport]:
        """What all sources reported, by name."""
        return list(scan_all(self._metadata, InUseReport))

    def forget(self, source: str) -> bool:
        """Keep nothing for a source any longer; whether there was a report of it."""
        return retry_on_conflict(lambda: self._try_to_forget(source))

    def _put(self, report: InUseReport) -> None:
        before = self._metadata.read([report.key])[report.key]
        self._metadata.commit([Replace(replace(report, version=before.version)) if before else Create(report)])

    def _try_to_forget(self, source: str) -> bool:
        key = Key(InUseReport, source)
        running = self._metadata.read([key])[key]
        if running is not None:
            self._metadata.commit([Delete(running)])
        return running is not None


def normalize_references(references: Iterable[str]) -> tuple[str, ...]:
    """References as they are kept: each once, sorted. Raises InUseReportError."""
    found = sorted({each.strip() for each in references if each.strip()})
    if not found:
        raise InUseReportError("nothing is reported: to say that nothing runs there any more, forget the source")
    if len(found) > MAX_REFERENCES or sum(map(len, found)) > MAX_CHARACTERS:
        raise InUseReportError(f"a report has at most {MAX_REFERENCES} references: report under several names")
    for each in found:
        parse_reference(each)
    return tuple(found)


def parse_reference(reference: str) -> tuple[str, str]:
    """The path of a reference, with whatever host is before it, and its digest or tag. Raises InUseReportError.

    `sha256:…` alone has the path "", which stands for every repository; without a tag, `latest` is meant.
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


def in_use_locations(reports: Sequence[InUseReport], repository: str, nodes: Iterable[Node]) -> Mapping[str, str]:
    """The digests of the manifests of a repository that run, each with where it runs.

    Only the end of a reference's path is compared with the repository's name: before it may be a host, and the path of
    a cache in front of this registry.
    """
    tags: dict[str, str] = {}
    digests: set[str] = set()
    for node in nodes:
        digests.add(node.digest)
        tags |= dict.fromkeys(node.tags, node.digest)
    found: dict[str, str] = {}
    for source, target in _targets(reports, repository):
        digest = target if target in digests else tags.get(target, "")
        if digest:
            found.setdefault(digest, f"in {source}")
    return found


def digests_in_use(reports: Iterable[InUseReport], repository: str) -> set[str]:
    """Return the digests that run and may be of a repository's manifests."""
    return {target for _, target in _targets(reports, repository)}


def _targets(reports: Iterable[InUseReport], repository: str) -> Iterator[tuple[str, str]]:
    """Each source, with the digests and tags of this repository that it runs."""
    for report in reports:
        for reference in report.references:
            path, target = parse_reference(reference)
            if not path or f"/{path}".endswith(f"/{repository}"):
                yield report.id, target

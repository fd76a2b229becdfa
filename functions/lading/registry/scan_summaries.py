"""Summaries of scans: what listings show of the scans of the images below some manifests.

An index is not scanned itself: its summary is that of its images, of which the one with the worst findings counts.
Where not all of them are done, the summary is `partial`, so that nothing that is unknown looks as if it were known.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Final

from lading.registry.content.manifest_contents import is_image
from lading.registry.content.manifest_format import INDEXES
from lading.registry.details import FindingCount, ScanSummary
from lading.registry.manifest_trees import ManifestTrees
from lading.registry.scans.claims import data_of
from lading.scanning.findings import DONE, FAILED, PARTIAL, SEVERITIES, UNSUPPORTED, WAITING, is_compared
from lading_storage.protocols import Found
from lading_storage.records.core import Key
from lading_storage.records.scans import Facts

COUNTED: Final = frozenset({DONE, PARTIAL})
"""States that have counts."""

UNKNOWN_STATES: Final = (WAITING, FAILED, UNSUPPORTED)
"""The others: of several, the first one is that of an index."""


class ScanSummaries:
    """Summaries of the manifests of some trees, from one read."""

    def __init__(self, repository: str, trees: ManifestTrees) -> None:
        """Summarize what is below `trees`, of a repository."""
        self._trees = trees
        images = [digest for digest in trees.records if is_image(trees.contents_of(digest))]
        self._keys = {digest: Key(Facts, digest, repository) for digest in images}
        self._scans: dict[str, ScanSummary] = {}

    @property
    def keys(self) -> Sequence[Key[Facts]]:
        """The keys of the facts about all images, which are needed without their content."""
        return list(self._keys.values())

    def add(self, found: Found) -> None:
        """Take the facts of `keys`."""
        for digest, key in self._keys.items():
            if (facts := found[key]) is not None:
                self._scans[digest] = summary_of(facts)

    def summary(self, digest: str) -> ScanSummary | None:
        """Return the summary of a manifest; None where nothing below it was ever scanned."""
        return merged([self._scans.get(each) for each in dict.fromkeys(self._images(digest))])

    def _images(self, digest: str) -> Iterator[str]:
        """Return the images below a manifest, or it itself; those that could not be read count as images."""
        record = self._trees.records.get(digest)
        if digest in self._keys or digest in self._trees.skipped:
            yield digest
        elif record is not None and record.media_type in INDEXES:
            for child in self._trees.contents_of(digest).manifests:
                yield from self._images(child.digest)


def summary_of(facts: Facts) -> ScanSummary:
    """Return the summary of one image."""
    counts = json.loads(facts.counts) if facts.counts else {}
    is_known = facts.state in COUNTED and (is_compared(data_of(facts)) or bool(counts))
    return ScanSummary(
        state=facts.state,
        at=facts.at,
        reason=facts.reason,
        counts={each: FindingCount(*counts[each]) for each in SEVERITIES if each in counts} if is_known else None,
        missing=facts.missing if facts.state in COUNTED else (),
    )


def merged(scans: Sequence[ScanSummary | None]) -> ScanSummary | None:
    """Return the summary of several images; None stands for one that was never scanned."""
    known = [scan for scan in scans if scan is not None]
    if len(scans) <= 1 or not known:
        return known[0] if known else None
    counted = [scan for scan in known if scan.state in COUNTED]
    if not counted:
        state = next(each for each in UNKNOWN_STATES if any(scan.state == each for scan in known))
        return next(scan for scan in known if scan.state == state)
    is_done = len(counted) == len(scans) and all(scan.state == DONE for scan in counted)
    worst = max((scan.counts for scan in counted if scan.counts is not None), key=_totals, default=None)
    missing = tuple(sorted({each for scan in counted for each in scan.missing}))
    return ScanSummary(DONE if is_done else PARTIAL, _earliest(counted), "", worst, missing)


def _totals(counts: Mapping[str, FindingCount]) -> tuple[int, ...]:
    return tuple(counts[each].total if each in counts else 0 for each in SEVERITIES)


def _earliest(scans: Sequence[ScanSummary]) -> datetime | None:
    return min((scan.at for scan in scans if scan.at), default=None)

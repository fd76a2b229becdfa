"""Scans of images in tables, as listings and details show them."""

from collections.abc import Mapping
from typing import Final

from lading.registry.details import FindingCount, ScanSummary

SHOWN: Final = 2
"""Severities that a cell has, the worst ones that occur."""

NO_FINDINGS: Final = "none found"

NOT_COUNTED: Final = frozenset({"waiting", "unsupported", "failed"})
"""States that have no counts; of a state that a later registry has, its name is shown beside them."""


def scan_cell(scan: ScanSummary | None) -> str | None:
    """Return what a table shows of a scan, such as "2 critical, 5 high"; None for what was never scanned."""
    return None if scan is None else _text(scan, SHOWN)


def scan_line(scan: ScanSummary | None) -> str | None:
    """Return a scan with all severities, and why it has none."""
    if scan is None:
        return None
    return _text(scan, len(scan.counts)) + (f": {scan.reason}" if scan.reason else "")


def counts_text(counts: Mapping[str, FindingCount], shown: int) -> str:
    """Return the first counts, such as "2 critical, 5 high"."""
    return ", ".join(f"{count.total} {severity}" for severity, count in list(counts.items())[:shown]) or NO_FINDINGS


def _text(scan: ScanSummary, shown: int) -> str:
    if scan.state in NOT_COUNTED:
        return scan.state
    if scan.state == "done":
        return counts_text(scan.counts, shown)
    # That nothing was found says little where not all was compared.
    return f"{scan.state}: {counts_text(scan.counts, shown)}" if scan.counts else scan.state

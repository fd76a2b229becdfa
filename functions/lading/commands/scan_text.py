"""Scans of images in tables, as listings and details show them."""

from collections.abc import Callable, Sequence
from typing import Final

from lading.registry.details import ScanSummary
from lading.scanning.findings import SEVERITIES

SHOWN: Final = 2
"""Severities that a cell has, the worst ones that occur."""

NO_FINDINGS: Final = "none found"
NO_FINDINGS_IN_PART: Final = "none found in what was compared"
NO_DATA: Final = "no data"
NOTHING_COMPARED: Final = "nothing was compared"

NOT_COUNTED: Final = frozenset({"waiting", "unsupported", "failed"})
"""States that have no counts; of a state that a later registry has, its name is shown beside them."""


def scan_cell(scan: ScanSummary | None) -> str | None:
    """Return what a table shows of a scan, such as "2 critical, 5 high"; None for what was never scanned."""
    return None if scan is None else _text(scan, SHOWN, lambda missing: NO_DATA if missing else NOTHING_COMPARED)


def scan_line(scan: ScanSummary | None) -> str | None:
    """Return a scan with all severities, and why it has none."""
    if scan is None:
        return None
    missing = f"; {missing_text(scan.missing)}" if scan.missing and scan.counts is not None else ""
    return _text(scan, len(SEVERITIES), missing_text) + missing + (f": {scan.reason}" if scan.reason else "")


def missing_text(missing: Sequence[str]) -> str:
    """Return why nothing or not all was compared, such as "no data of Debian:12"."""
    return f"{NO_DATA} of {', '.join(missing)}" if missing else NOTHING_COMPARED


def _text(scan: ScanSummary, shown: int, gap: Callable[[Sequence[str]], str]) -> str:
    """Return the state with the first counts; `gap` says why there are none."""
    if scan.state in NOT_COUNTED:
        return scan.state
    if scan.counts is None:
        return f"{scan.state}: {gap(scan.missing)}"
    counts = ", ".join(f"{count.total} {severity}" for severity, count in list(scan.counts.items())[:shown])
    if scan.state == "done":
        return counts or NO_FINDINGS
    return f"{scan.state}: {counts or NO_FINDINGS_IN_PART}"

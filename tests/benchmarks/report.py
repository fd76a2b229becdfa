"""What came out: medians and spreads over the rounds, as a table and as JSON; and on what machine."""

import os
import platform
import statistics
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.benchmarks.workload import Figures, Workload


@dataclass
class BenchmarkReport:
    """All rounds of all work, by work, figure and peer."""

    peers: Sequence[str]
    access: str
    rounds: int
    began: float = field(default_factory=time.time)
    _works: dict[str, str] = field(default_factory=dict)
    _values: dict[str, dict[str, dict[str, list[float]]]] = field(default_factory=dict)

    def add(self, work: Workload, peer: str, figures: Figures) -> None:
        """One round."""
        self._works[work.name] = work.what
        values = self._values.setdefault(work.name, {})
        for name, value in figures.items():
            values.setdefault(name, defaultdict(list))[peer].append(value)

    def table(self, name: str) -> str:
        """What one piece of work got, in Markdown: medians, in brackets the least and the most, and Lading's share."""
        lines = [f"\n{name}: {self._works[name]}\n", f"| | {' | '.join(self.peers)} | {self._ratio_heading()} |"]
        lines.append("|---" * (len(self.peers) + 2) + "|")
        for figure, by_peer in self._values[name].items():
            cells = [_cell(by_peer[peer]) if by_peer.get(peer) else "" for peer in self.peers]
            lines.append(f"| {figure} | {' | '.join(cells)} | {self._ratio(by_peer)} |")
        return "\n".join(lines)

    def as_json(self) -> dict[str, Any]:
        """Everything."""
        return {
            "began": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self.began)),
            "machine": machine(),
            "access": self.access,
            "rounds": self.rounds,
            "works": self._works,
            "values": self._values,
        }

    def _ratio_heading(self) -> str:
        return f"{self.peers[0]} / {self.peers[1]}" if len(self.peers) > 1 else ""

    def _ratio(self, by_peer: dict[str, list[float]]) -> str:
        """The median over the rounds of the first by the second, each of the same round: noise hits both."""
        ours, theirs = (by_peer.get(peer, []) for peer in (*self.peers, "")[:2])
        ratios = [one / other for one, other in zip(ours, theirs, strict=False) if other]
        return f"{statistics.median(ratios):.2f}" if ratios else ""


def machine() -> dict[str, Any]:
    """Where this runs."""
    model = ""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line.partition(":")[2].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        model = names[0] if names else ""
    return {
        "processors": os.cpu_count(),
        "model": model,
        "memory GiB": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1024**3, 1),
        "system": platform.platform(),
        "python": platform.python_version(),
        "load before": os.getloadavg()[0],
    }


def _cell(values: list[float]) -> str:
    median = statistics.median(values)
    spread = f" ({_short(min(values))} to {_short(max(values))})" if len(values) > 1 else ""
    return f"{_short(median)}{spread}"


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"

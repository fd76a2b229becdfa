"""`python -m tests.benchmarks [WORK…]`: Lading beside other registries, in rounds that take turns.

Each round does one piece of work on each registry, one after the other, so that what else the machine does hits all of
them; wall time is only so good for that, and CPU time, of all processes of a registry, stands beside it.
"""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.benchmarks.peers import CACHE, STARTERS, NoPeerError, Peer, running
from tests.benchmarks.report import BenchmarkReport, machine
from tests.benchmarks.workload import Bench, UnsupportedWorkload, Workload
from tests.benchmarks.workloads import WORKS

ROUNDS = 5
USUAL = ["lading", "distribution"]


def main(arguments: Sequence[str]) -> int:
    """Run; return the exit status."""
    parsed = _parser().parse_args(arguments)
    if parsed.list:
        for work in WORKS.values():
            print(f"{work.name:20} {work.what}")
        return 0
    unknown = [name for name in parsed.work if name not in WORKS]
    if unknown:
        print(f"no such work: {', '.join(unknown)}; --list shows all", file=sys.stderr)
        return 2
    # What `.ci/run` has built is found, too.
    os.environ["PATH"] += f":{CACHE}:/usr/sbin"
    report = BenchmarkReport(parsed.peers, parsed.access, parsed.rounds)
    print(*(f"{name} {value}" for name, value in machine().items()), sep=", ")
    with tempfile.TemporaryDirectory(prefix="lading-benchmark-") as name:
        bench = Bench(Path(name), parsed.access, parsed.seconds, parsed.scale)
        try:
            with bench.stack, running(parsed.peers, Path(name), parsed.access) as peers:
                for work in [WORKS[name] for name in parsed.work] or WORKS.values():
                    _measure(bench, work, peers, report)
        except NoPeerError as error:
            print(error, file=sys.stderr)
            return 1
    if parsed.json:
        parsed.json.parent.mkdir(parents=True, exist_ok=True)
        parsed.json.write_text(json.dumps(report.as_json(), indent=1))
    return 0


def _measure(bench: Bench, work: Workload, peers: list[Peer], report: BenchmarkReport) -> None:
    """All rounds of one piece of work; the peer that began the last round ends this one."""
    able = list(peers)
    # Round 0 warms up caches and files, and is not counted.
    for number in [1] if work.once else range(report.rounds + 1):
        for peer in able[:: 1 if number % 2 else -1]:
            try:
                figures = work.run(bench, peer)
            except _why_unsupported(peer) as reason:
                print(f"\n{work.name} is left out for {peer.name}: {reason}")
                able = [one for one in able if one is not peer]
                continue
            if number:
                report.add(work, peer.name, figures)
    if able:
        print(report.table(work.name), flush=True)


def _why_unsupported(peer: Peer) -> tuple[type[BaseException], ...]:
    """What says that a registry cannot do a piece of work. One that keeps nothing fails at what it should have kept."""
    return (UnsupportedWorkload, pytest.skip.Exception) if peer.keeps else (Exception, pytest.skip.Exception)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("work", nargs="*", help="what to measure; all, if nothing is named")
    parser.add_argument("--list", action="store_true", help="show all work, and measure nothing")
    parser.add_argument(
        "--peers",
        type=lambda text: text.split(","),
        default=USUAL,
        metavar="NAMES",
        help=f"of {', '.join(STARTERS)}, or NAME=HOST:PORT; the first two are compared (default {','.join(USUAL)})",
    )
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"default {ROUNDS}")
    parser.add_argument("--access", choices=["everybody", "token"], default="everybody", help="default everybody")
    parser.add_argument("--seconds", type=float, default=4, help="of one measurement of small requests; default 4")
    parser.add_argument("--scale", type=int, default=1, help="divide all sizes by this, to try it out")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything there")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""A registry on its own: from its start to its first answer, and its memory while it is idle."""

import time

from tests.benchmarks.peers import Peer, start
from tests.benchmarks.workload import MIB, Bench, Figures, UnsupportedWorkload, Workload


def _start(bench: Bench, peer: Peer) -> Figures:
    if peer.tree is None:
        raise UnsupportedWorkload("it runs elsewhere")
    began = time.perf_counter()
    with start(peer.name, bench.folder, bench.access) as fresh:
        took = time.perf_counter() - began
        assert fresh.tree is not None
        return {"s": took, "CPU s": fresh.tree.cpu(), "memory MiB": fresh.tree.memory() / MIB}


WORKS = (Workload("start", "from the start to the first answer, on an empty folder, and memory then", _start),)

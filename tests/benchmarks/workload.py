"""A piece of work that is measured, and what it gets."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.benchmarks.peers import Peer

Figures = dict[str, float]
"""What one round of one piece of work measured, by name with unit."""

MIB = 1024 * 1024


class ResourceUsage:
    """What a registry used: seconds of CPU time, and the most MiB of memory, all of it and above what it had before."""

    cpu = 0.0
    peak = 0.0
    risen = 0.0


@dataclass(frozen=True)
class Bench:
    """How large the work is, and where it can keep what it makes.

    folder   for files
    access   as in `--access`
    seconds  of one measurement of many small requests
    scale    by which sizes and numbers are divided: 1, but for a trial
    stack    what is ended with the benchmark
    shared   what was made for all works and registries, by name
    """

    folder: Path
    access: str = "everybody"
    seconds: float = 4.0
    scale: int = 1
    stack: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)
    shared: dict[str, Any] = field(default_factory=dict)

    def once(self, name: str, make: Callable[[], Any]) -> Any:
        """What `make` answered when it was first called under this name."""
        if name not in self.shared:
            self.shared[name] = make()
        return self.shared[name]

    @contextlib.contextmanager
    def watching(self, peer: Peer) -> Iterator[ResourceUsage]:
        """What the registry uses within the block; known at its end. Zeros where it runs elsewhere."""
        used = ResourceUsage()
        if peer.tree is None:
            yield used
            return
        peer.tree.forget_peak()
        rest, began = peer.tree.memory(), peer.tree.cpu()
        yield used
        used.cpu = peer.tree.cpu() - began
        used.peak = peer.tree.peak() / MIB
        used.risen = (peer.tree.peak() - rest) / MIB


@dataclass(frozen=True)
class Workload:
    """A row of the table.

    name  by which it is asked for
    what  it is, in words
    run   one round of it, on one registry; raises Unfit where that registry cannot do it
    once  one round is all: it leaves so much behind that the next would measure something else
    """

    name: str
    what: str
    run: Callable[[Bench, Peer], Figures]
    once: bool = False


class UnsupportedWorkload(Exception):
    """This registry cannot do this work."""

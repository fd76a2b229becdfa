"""How many bytes what takes: alone, and together with others.

Bytes are alone where nothing else holds them: neither another manifest of the repository nor another repository. So
what is alone is what would be freed, once it can no longer be restored.
"""

import contextlib
from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final

from lading.jobs import cleanup
from lading.jobs.cleanup import CleanupContext, Plan
from lading.jobs.prices import monthly
from lading.jobs.shared_blobs import SharedBlobs
from lading.registry.cleanup.graph import Graph, Node
from lading.registry.registry import Registry

RECORD_SIZE: Final = 1024
"""Bytes that a record takes beside a manifest's own, with its indexes: an estimate."""

Progress = Callable[[str, str], None]
"""Is told of each thing that was dealt with: the phase, and its name."""


def no_progress(phase: str, name: str) -> None:
    """Show no progress."""


NO_TAG: Final = "(no tag)"
NO_MANIFEST: Final = "(no manifest)"


@dataclass(frozen=True, slots=True)
class UsageRow:
    """What something takes, in bytes.

    alone  of them, those that nothing else holds
    frees  those that the clean-up policies would free
    """

    name: str
    bytes: int
    exclusive: int
    frees: int = 0

    @property
    def shared(self) -> int:
        """The bytes that others hold, too."""
        return self.bytes - self.exclusive


class SizeCalculator:
    """What the manifests of one repository hold."""

    def __init__(self, graph: Graph, sizes: Mapping[str, int], shared: Container[str]) -> None:
        """`sizes` are those of the repository's blobs; `shared` are the blobs that other repositories link, too."""
        self._graph = graph
        self._sizes = sizes
        self._shared = shared
        self._users = Counter(blob for node in graph.nodes.values() for blob in node.blobs)

    def bytes(self, digests: Iterable[str]) -> int:
        """The bytes of manifests and of all blobs that they name, each once."""
        nodes = self._nodes(digests)
        return sum(map(_manifest_size, nodes)) + self._sum({blob for node in nodes for blob in node.blobs})

    def exclusive(self, digests: Iterable[str]) -> int:
        """Those of them that nothing else holds."""
        nodes = self._nodes(digests)
        named = Counter(blob for node in nodes for blob in node.blobs)
        mine = (blob for blob, count in named.items() if count == self._users[blob] and blob not in self._shared)
        return sum(map(_manifest_size, nodes)) + self._sum(mine)

    def row_of(self, name: str, digests: Iterable[str], doomed: Container[str]) -> UsageRow:
        """The row of some manifests, of which `doomed` are to go."""
        digests = list(digests)
        going = [digest for digest in digests if digest in doomed]
        return UsageRow(name, self.bytes(digests), self.exclusive(digests), self.exclusive(going))

    def unreferenced(self) -> UsageRow:
        """The row of blobs that no manifest names: of what was deleted and can be restored, or garbage."""
        blobs = [blob for blob in self._sizes if blob not in self._users]
        return UsageRow(NO_MANIFEST, self._sum(blobs), self._sum(blob for blob in blobs if blob not in self._shared))

    def _nodes(self, digests: Iterable[str]) -> list[Node]:
        return [self._graph.nodes[digest] for digest in digests]

    def _sum(self, blobs: Iterable[str]) -> int:
        return sum(self._sizes.get(blob, 0) for blob in blobs)


def _manifest_size(node: Node) -> int:
    """A manifest's own bytes, unless it is kept as a blob of its own."""
    return 0 if node.digest in node.blobs else node.size


@dataclass(slots=True)
class UsageTotal:
    """What all rows together come to: their bytes, and what is stored for that, each blob once.

    records  how many there are, of those that grow with what is pushed
    """

    rows: int = 0
    blobs: int = 0
    manifests: int = 0
    records: int = 0
    frees: int = 0

    @property
    def saved(self) -> int:
        """The bytes that are not stored, since rows share them."""
        return self.rows - self.blobs - self.manifests

    @property
    def monthly(self) -> float:
        """Dollars a month for what is stored on Google Cloud; tags repeat most manifests."""
        return monthly(self.blobs, 2 * self.manifests + self.records * RECORD_SIZE)


class Usage:
    """The rows of a registry, or of one repository; `total` is right when all were taken."""

    def __init__(self, registry: Registry, context: CleanupContext) -> None:
        """Count in `registry`; `context` say what clean-up would free."""
        self.total = UsageTotal()
        self._registry = registry
        self._context = context

    def of_repositories(
        self, names: Callable[[], Iterable[str]], progress: Progress = no_progress
    ) -> Iterator[UsageRow]:
        """Yield a row for each of all repositories, whose names are asked for twice.

        `progress` is told after each, in the first round and in the second. Memory grows with the largest repository.
        """
        with contextlib.closing(SharedBlobs()) as everywhere:
            for name in names():
                self.total.blobs += everywhere.add(self._registry.inventory.blob_sizes(name))
                progress("shared blobs", name)
            for name in names():
                yield self._of_repository(name, everywhere)
                progress("repositories", name)

    def _of_repository(self, name: str, everywhere: SharedBlobs) -> UsageRow:
        sizes = self._registry.inventory.blob_sizes(name)
        made, holdings = self._plan_and_sizes(name, sizes, everywhere.shared_among(sizes))
        every, rest = holdings.row_of(name, made.graph.nodes, made.policy_by_digest), holdings.unreferenced()
        return self._counted(UsageRow(name, every.bytes + rest.bytes, every.exclusive + rest.exclusive, every.frees))

    def of_tags(self, repository: str) -> Iterator[UsageRow]:
        """A row for each tag of a repository, with all that hangs on it, and two for the rest."""
        sizes = self._registry.inventory.blob_sizes(repository)
        made, holdings = self._plan_and_sizes(repository, sizes, self._registry.inventory.shared_blobs(sizes))
        self.total.blobs += sum(sizes.values())
        graph, left = made.graph, set(made.graph.nodes)
        tags = sorted((tag, node.digest) for node in graph.nodes.values() for tag in node.own_tags)
        untagged = [digest for digest in graph.independent if not graph.nodes[digest].own_tags]
        reached = Counter(
            each for digest in (*(digest for _, digest in tags), *untagged) for each in graph.reachable([digest])
        )
        for tag, digest in tags:
            below = graph.reachable([digest])
            left.difference_update(below)
            only = [each for each in below if reached[each] == 1]
            yield self._counted(
                replace(holdings.row_of(tag, below, made.policy_by_digest), exclusive=holdings.exclusive(only))
            )
        yield self._counted(holdings.row_of(NO_TAG, left, made.policy_by_digest))
        yield self._counted(holdings.unreferenced())

    def _plan_and_sizes(
        self, repository: str, sizes: Mapping[str, int], shared: Container[str]
    ) -> tuple[Plan, SizeCalculator]:
        made = cleanup.plan(self._registry, repository, self._context)
        nodes = made.graph.nodes.values()
        self.total.manifests += sum(map(_manifest_size, nodes))
        self.total.records += sum(1 + len(node.tags) for node in nodes) + 2 * len(sizes)
        return made, SizeCalculator(made.graph, sizes, shared)

    def _counted(self, row: UsageRow) -> UsageRow:
        self.total.rows += row.bytes
        self.total.frees += row.frees
        return row

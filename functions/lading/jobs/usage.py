"""Disk usage: how many bytes repositories and tags take, exclusively or shared with others.

Bytes are exclusive if nothing else holds them: neither another manifest of the repository nor another repository.
Exclusive bytes are freed when their owner is deleted and can no longer be restored.
"""

import contextlib
from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final, NamedTuple, Protocol

from lading.jobs import cleanup
from lading.jobs.cleanup import CleanupContext
from lading.jobs.prices import monthly
from lading.jobs.shared_blobs import SharedBlobs
from lading.registry.cleanup.graph import Graph, Node
from lading.registry.registry import Registry

RECORD_SIZE: Final = 1024
"""Estimated bytes of a record and its index entries, without the content of a manifest."""

Progress = Callable[[str, str], None]
"""Called with a phase and the name of each item that it has processed."""


def no_progress(phase: str, name: str) -> None:
    """Show no progress."""


NO_TAG: Final = "(no tag)"
NO_MANIFEST: Final = "(no manifest)"


@dataclass(frozen=True, slots=True)
class UsageRow:
    """The usage of a repository or a tag, in bytes.

    Attributes:
        name: the repository or the tag.
        bytes: of all that it holds, each blob once.
        exclusive: of what nothing else holds.
        frees: what the clean-up policies would free, or None where that is not known.
    """

    name: str
    bytes: int
    exclusive: int
    frees: int | None = 0

    @property
    def shared(self) -> int:
        """The bytes that others hold as well."""
        return self.bytes - self.exclusive


class CleanupPreview(NamedTuple):
    """The manifests of a repository, and the policy that deletes each that is to be deleted.

    policy_by_digest  None where the caller may not know what clean-up deletes
    """

    graph: Graph
    policy_by_digest: Mapping[str, str] | None


class UsageSource(Protocol):
    """Where the usage of single repositories is read: the stores, or the management API."""

    def blob_sizes(self, repository: str) -> Mapping[str, int]:
        """Return the size in bytes of each blob that a repository links, by digest."""
        ...

    def shared_blobs(self, repository: str, blobs: Iterable[str]) -> Container[str]:
        """Return those of a repository's blobs that another one links as well."""
        ...

    def preview(self, repository: str) -> CleanupPreview:
        """Evaluate the clean-up policies in a repository."""
        ...


class StoredUsage:
    """UsageSource over the stores of a registry."""

    def __init__(self, registry: Registry, context: CleanupContext) -> None:
        """Read `registry`; `context` determines what clean-up would delete."""
        self._registry = registry
        self._context = context

    def blob_sizes(self, repository: str) -> Mapping[str, int]:
        """See UsageSource."""
        return self._registry.inventory.blob_sizes(repository)

    def shared_blobs(self, repository: str, blobs: Iterable[str]) -> Container[str]:
        """See UsageSource."""
        return self._registry.inventory.shared_blobs(blobs)

    def preview(self, repository: str) -> CleanupPreview:
        """See UsageSource."""
        plan = cleanup.plan(self._registry, repository, self._context)
        return CleanupPreview(plan.graph, plan.policy_by_digest)


class SizeCalculator:
    """Sums of the bytes that manifests of one repository hold."""

    def __init__(self, graph: Graph, sizes: Mapping[str, int], shared: Container[str]) -> None:
        """Calculate for one repository.

        Args:
            graph: the manifests of the repository.
            sizes: the size in bytes of each blob that it links, by digest.
            shared: the digests of the blobs that other repositories link as well.
        """
        self._graph = graph
        self._sizes = sizes
        self._shared = shared
        self._users = Counter(blob for node in graph.nodes.values() for blob in node.blobs)

    def bytes(self, digests: Iterable[str]) -> int:
        """Return the bytes of manifests and of all blobs that they name, each once."""
        nodes = self._nodes(digests)
        return sum(map(_manifest_size, nodes)) + self._sum({blob for node in nodes for blob in node.blobs})

    def exclusive(self, digests: Iterable[str]) -> int:
        """Return the bytes of manifests, and of those of their blobs that nothing else holds."""
        nodes = self._nodes(digests)
        users = Counter(blob for node in nodes for blob in node.blobs)
        exclusive = (blob for blob, count in users.items() if count == self._users[blob] and blob not in self._shared)
        return sum(map(_manifest_size, nodes)) + self._sum(exclusive)

    def row_of(self, name: str, digests: Iterable[str], policy_by_digest: Container[str] | None) -> UsageRow:
        """Return the row of some manifests; policies delete those in `policy_by_digest`; None if it is not known."""
        digests, frees = list(digests), None
        if policy_by_digest is not None:
            frees = self.exclusive([digest for digest in digests if digest in policy_by_digest])
        return UsageRow(name, self.bytes(digests), self.exclusive(digests), frees)

    def unreferenced(self) -> UsageRow:
        """Return the row of blobs that no live manifest names: those of deleted manifests, and garbage."""
        blobs = [blob for blob in self._sizes if blob not in self._users]
        return UsageRow(NO_MANIFEST, self._sum(blobs), self._sum(blob for blob in blobs if blob not in self._shared))

    def _nodes(self, digests: Iterable[str]) -> list[Node]:
        return [self._graph.nodes[digest] for digest in digests]

    def _sum(self, blobs: Iterable[str]) -> int:
        return sum(self._sizes.get(blob, 0) for blob in blobs)


def _manifest_size(node: Node) -> int:
    """Return the bytes of a manifest's content; 0 if it is stored as a blob, and counted there."""
    return 0 if node.digest in node.blobs else node.size


@dataclass(slots=True)
class UsageTotal:
    """The sums over all rows, and what is stored for them, each blob once.

    Attributes:
        rows: bytes of all rows.
        blobs: bytes of blobs that are stored.
        manifests: bytes of manifests that are stored.
        records: how many records there are, of the kinds whose number grows with pushes.
        frees: bytes that the clean-up policies would free, or None where that is not known of all rows.
    """

    rows: int = 0
    blobs: int = 0
    manifests: int = 0
    records: int = 0
    frees: int | None = 0

    @property
    def saved(self) -> int:
        """The bytes that sharing between rows saves."""
        return self.rows - self.blobs - self.manifests

    @property
    def monthly(self) -> float:
        """The price on Google Cloud in dollars a month. Most manifests count twice, since their tags repeat them."""
        return monthly(self.blobs, 2 * self.manifests + self.records * RECORD_SIZE)


class Usage:
    """The usage of a registry or of one repository; `total` is complete after the last row."""

    def __init__(self, source: UsageSource) -> None:
        """Count what `source` has."""
        self.total = UsageTotal()
        self._source = source

    def of_repositories(
        self, names: Callable[[], Iterable[str]], progress: Progress = no_progress
    ) -> Iterator[UsageRow]:
        """Yield a row for each repository. Memory grows with the largest repository.

        Args:
            names: returns the names of all repositories; called twice.
            progress: called after each repository, in the first pass and in the second.
        """
        with contextlib.closing(SharedBlobs()) as shared_blobs:
            for name in names():
                self.total.blobs += shared_blobs.add(self._source.blob_sizes(name))
                progress("shared blobs", name)
            for name in names():
                yield self._of_repository(name, shared_blobs)
                progress("repositories", name)

    def _of_repository(self, name: str, shared_blobs: SharedBlobs) -> UsageRow:
        sizes = self._source.blob_sizes(name)
        preview, calculator = self._preview_and_sizes(name, sizes, shared_blobs.shared_among(sizes))
        row, rest = calculator.row_of(name, preview.graph.nodes, preview.policy_by_digest), calculator.unreferenced()
        return self._counted(UsageRow(name, row.bytes + rest.bytes, row.exclusive + rest.exclusive, row.frees))

    def of_tags(self, repository: str) -> Iterator[UsageRow]:
        """Yield a row for each tag of a repository, one for manifests without a tag, and one for unnamed blobs.

        The row of a tag includes all that its manifest holds: children, blobs and referrers.
        """
        sizes = self._source.blob_sizes(repository)
        shared = self._source.shared_blobs(repository, sizes)
        preview, calculator = self._preview_and_sizes(repository, sizes, shared)
        self.total.blobs += sum(sizes.values())
        graph, unreached = preview.graph, set(preview.graph.nodes)
        tags = sorted((tag, node.digest) for node in graph.nodes.values() for tag in node.own_tags)
        untagged = [digest for digest in graph.independent if not graph.nodes[digest].own_tags]
        # From how many tags, or manifests without one, each manifest is reachable.
        root_count = Counter(
            each for digest in (*(digest for _, digest in tags), *untagged) for each in graph.reachable([digest])
        )
        for tag, digest in tags:
            reachable = graph.reachable([digest])
            unreached.difference_update(reachable)
            only = [each for each in reachable if root_count[each] == 1]
            row = calculator.row_of(tag, reachable, preview.policy_by_digest)
            yield self._counted(replace(row, exclusive=calculator.exclusive(only)))
        yield self._counted(calculator.row_of(NO_TAG, unreached, preview.policy_by_digest))
        yield self._counted(calculator.unreferenced())

    def _preview_and_sizes(
        self, repository: str, sizes: Mapping[str, int], shared: Container[str]
    ) -> tuple[CleanupPreview, SizeCalculator]:
        preview = self._source.preview(repository)
        nodes = preview.graph.nodes.values()
        self.total.manifests += sum(map(_manifest_size, nodes))
        self.total.records += sum(1 + len(node.tags) for node in nodes) + 2 * len(sizes)
        return preview, SizeCalculator(preview.graph, sizes, shared)

    def _counted(self, row: UsageRow) -> UsageRow:
        self.total.rows += row.bytes
        known = self.total.frees is not None and row.frees is not None
        self.total.frees = (self.total.frees or 0) + (row.frees or 0) if known else None
        return row

"""The two stores of one registry, and what a backup or a restore reports."""

from collections.abc import Callable
from dataclasses import dataclass, field

from lading_storage.protocols import BlobStore, MetadataStore


@dataclass(frozen=True, slots=True)
class Stores:
    """The two stores of one registry."""

    blobs: BlobStore
    metadata: MetadataStore

    def close(self) -> None:
        """Close both."""
        self.blobs.close()
        self.metadata.close()


@dataclass(slots=True)
class BackupReport:
    """What was copied, and what was not.

    phase        what is being done
    done, total  steps of the phase; total is 0 where nobody knows it
    moved        bytes that the phase has copied
    tags_skipped    tags that were left as they were although the backup knows them otherwise
    immutable    tags that were left deleted, since a rule lets them name nothing but what they named
    robots_skipped  robots that were not put back into a registry in use
    removed      objects that `--prune` removed
    damaged      the digests of blobs whose bytes are lost or others where they are copied from
    """

    phase: str = ""
    done: int = 0
    total: int = 0
    moved: int = 0
    repositories: int = 0
    tags: int = 0
    manifests: int = 0
    blobs: int = 0
    bytes: int = 0
    tags_skipped: int = 0
    immutable_tags_skipped: int = 0
    robots_skipped: int = 0
    removed: int = 0
    damaged: set[str] = field(default_factory=set)

    def begin_phase(self, phase: str, total: int = 0) -> None:
        """Begin another phase."""
        self.phase, self.done, self.total, self.moved = phase, 0, total, 0

    def __str__(self) -> str:
        text = (
            f"copied {self.repositories} repositories: {self.tags} tags, {self.manifests} manifests,"
            f" and {self.blobs} blobs of {self.bytes} bytes"
        )
        if self.tags_skipped:
            text += f"; left {self.tags_skipped} tags that name something else by now"
        if self.immutable_tags_skipped:
            skipped = self.immutable_tags_skipped
            text += f"; left {skipped} tags that rules make immutable, and that last named something else"
        if self.robots_skipped:
            text += f"; left out {self.robots_skipped} robots, since the registry is in use: they may have been revoked"
        if self.removed:
            text += f"; removed {self.removed} objects that nothing names"
        if self.damaged:
            text += f"; left out what needs these, whose bytes are lost or damaged: {', '.join(sorted(self.damaged))}"
        return text


Progress = Callable[[BackupReport], None]


def no_progress(report: BackupReport) -> None:
    """Show nothing."""

"""The report of a backup or a restore."""

from collections.abc import Callable
from dataclasses import dataclass, field

from lading.quantity import counted


@dataclass(slots=True)
class BackupReport:
    """What was copied, and what was skipped.

    Attributes:
        phase: the current phase.
        done: completed steps of the phase.
        total: all steps of the phase, or 0 if unknown.
        moved: bytes that the phase has copied.
        repositories: copied repositories; `tags`, `manifests` and `blobs` likewise.
        bytes: bytes of the copied blobs.
        tags_skipped: tags that were not restored, since they name another manifest than in the backup.
        immutable_tags_skipped: deleted tags that were not restored, since a rule makes them immutable, and they last
            named another manifest.
        robots_skipped: robots that were not restored into a registry in use.
        rules_skipped: rules of the registry, or of a namespace, that were not restored, since the registry has others.
        removed: objects that `--prune` removed.
        damaged: the digests of blobs whose bytes are lost or damaged in the source.
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
    rules_skipped: int = 0
    removed: int = 0
    damaged: set[str] = field(default_factory=set)

    def begin_phase(self, phase: str, total: int = 0) -> None:
        """Start a phase."""
        self.phase, self.done, self.total, self.moved = phase, 0, total, 0

    def __str__(self) -> str:
        text = (
            f"copied {counted(self.repositories, 'repository')}: {counted(self.tags, 'tag')},"
            f" {counted(self.manifests, 'manifest')}, and {counted(self.blobs, 'blob')}"
            f" of {counted(self.bytes, 'byte')}"
        )
        if self.tags_skipped:
            text += f"; skipped {counted(self.tags_skipped, 'tag')}, of which the registry has another manifest by now"
        if self.immutable_tags_skipped:
            text += (
                f"; skipped {counted(self.immutable_tags_skipped, 'immutable tag')} that last named another manifest"
            )
        if self.robots_skipped:
            robots = counted(self.robots_skipped, "robot")
            text += f"; skipped {robots}, which may have been revoked since the registry is in use"
        if self.rules_skipped:
            text += (
                f"; kept {counted(self.rules_skipped, 'section')} of rules other than the backup's: compare"
                " `lading rules show` with `lading rules show --data FOLDER`, and use `lading rules apply`"
            )
        if self.removed:
            text += f"; removed {counted(self.removed, 'object')} that no record names"
        if self.damaged:
            digests = ", ".join(sorted(self.damaged))
            text += f"; skipped blobs whose bytes are lost or damaged, and what needs them: {digests}"
        return text


Progress = Callable[[BackupReport], None]


def no_progress(report: BackupReport) -> None:
    """Ignore progress."""

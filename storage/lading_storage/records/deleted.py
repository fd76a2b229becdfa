"""What was: deleted things that can still be restored, and the history of tags.

Existing means live. What is deleted is moved to a kind of its own in the commit that deletes it, so no precondition
that wants it live can hold afterwards; a flag on the record would let one hold.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar, Final

from lading_storage.records.core import DELETED, HIDDEN, HIDDEN_UNVERIFIED, Link, Manifest, Record, Tag, due_entry

DELETED_BACKUP_REASON: Final = "what was deleted is not copied; until its time is over it can be restored where it was"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeletedManifest(Manifest):
    """A manifest that was deleted. It still names its blobs, which stay as long as it does.

    deleted  when
    by       who did it, where the credentials named somebody, else ""
    cause    what was to be deleted, with its kind: this manifest, its subject, or the repository (registry.causes)
    kept     from when its time counts, where a longer window than the shortest one holds, or None: from `deleted`
    """

    KIND: ClassVar[str] = "deleted_manifests"
    NOT_IN_BACKUP: ClassVar[str] = DELETED_BACKUP_REASON
    INDEXED_FIELDS: ClassVar[tuple[str, ...]] = ("subject", "blobs", "children", "cause")
    QUEUES: ClassVar[tuple[str, ...]] = (DELETED,)

    deleted: datetime
    by: str = ""
    cause: str
    kept: datetime | None = None

    @property
    def due(self) -> str:
        """See Record.due."""
        return due_entry(DELETED, self.kept or self.deleted)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeletedTag(Tag):
    """A tag that was deleted, the last time; `cause` is that of the tag itself, or what a DeletedManifest's can be."""

    KIND: ClassVar[str] = "deleted_tags"
    NOT_IN_BACKUP: ClassVar[str] = DELETED_BACKUP_REASON
    INDEXED_FIELDS: ClassVar[tuple[str, ...]] = ("digest", "cause")
    QUEUES: ClassVar[tuple[str, ...]] = (DELETED,)

    deleted: datetime
    by: str = ""
    cause: str
    kept: datetime | None = None

    @property
    def due(self) -> str:
        """See Record.due."""
        return due_entry(DELETED, self.kept or self.deleted)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeletedLink(Link):
    """A link that only deleted manifests name: it is invisible, and keeps the blob for whoever restores one of them.

    It is a record of another kind than a visible link, so that a commit that touches a visible link, as that of a
    manifest that names it does, fails where the link has been hidden since it was read. Beside it there can be a
    visible link: the blob was pushed or mounted again.

    state    HIDDEN while a deleted manifest that can be restored names it; FORGOTTEN once one of these cannot. Anything
             else: a release before this one wrote it, and it waits as other deleted things do
    since    when it was hidden
    deleted  the same
    """

    KIND: ClassVar[str] = "deleted_links"
    NOT_IN_BACKUP: ClassVar[str] = DELETED_BACKUP_REASON
    INDEXED_FIELDS: ClassVar[tuple[str, ...]] = ("id",)
    QUEUES: ClassVar[tuple[str, ...]] = (DELETED, HIDDEN_UNVERIFIED)

    deleted: datetime
    kept: datetime | None = None

    @property
    def hidden_at(self) -> datetime:
        """When it became invisible."""
        return self.since or self.deleted if self.state in (HIDDEN, HIDDEN_UNVERIFIED) else self.deleted

    @property
    def due(self) -> str:
        """See Record.due. A hidden link waits for nothing: its deleted manifests do."""
        if self.state == HIDDEN:
            return ""
        if self.state == HIDDEN_UNVERIFIED:
            return due_entry(HIDDEN_UNVERIFIED, self.hidden_at)
        return due_entry(DELETED, self.kept or self.deleted)


@dataclass(frozen=True, slots=True, kw_only=True)
class TagHistory(Record):
    """How often the tag that is the id was moved, and when the last time. It outlives the tag.

    stamp    by which the last move is in order, or None: `moved`. The same, unless a clock was far ahead before
    clamped  the number of the first move whose stamp is not its time, or 0
    """

    KIND: ClassVar[str] = "histories"
    IN_REPOSITORY: ClassVar[bool] = True

    moves: int
    moved: datetime
    stamp: datetime | None = None
    clamped: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class TagEvent(Record):
    """One move of a tag, written in the commit that made it. Ids sort the newest first.

    number   of the move: 1 for the first of a tag, without a gap
    digest   of the manifest that the tag names since, or "" where it was deleted
    before   what it named before, or ""
    action   what was done: push, delete, rollback, restore, clean-up
    by       who did it, where the credentials named somebody, else ""
    request  the id of the request, which is in the log, too
    moved    when; never earlier than the move before, unless that is of a clock that was far ahead
    """

    KIND: ClassVar[str] = "moves"
    IN_REPOSITORY: ClassVar[bool] = True
    INDEXED_FIELDS: ClassVar[tuple[str, ...]] = ("tag",)

    tag: str
    number: int
    digest: str
    before: str
    action: str
    by: str = ""
    request: str = ""
    moved: datetime

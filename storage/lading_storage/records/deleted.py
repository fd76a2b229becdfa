"""Tombstones, which can be restored, and the history of tags.

A record that exists is live. The commit that deletes it creates a tombstone of a separate kind, so no precondition on
the live record can hold afterwards. With a flag on the live record, such a precondition could still hold.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar, Final

from lading_storage.records.core import DELETED, HIDDEN, HIDDEN_UNVERIFIED, Link, Manifest, Record, Tag, due_entry

DELETED_BACKUP_REASON: Final = "tombstones are not copied; they can be restored in the original registry"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeletedManifest(Manifest):
    """Tombstone of a manifest. It still references its blobs, which are kept as long as the tombstone.

    Attributes:
        deleted: when the manifest was deleted.
        by: the authenticated caller that deleted it, or "".
        cause: the object of the delete request, with its kind: this manifest, its subject, or the repository
            (registry.deletion_causes).
        kept: when the retention period started, if a longer window than the shortest one applies, or None: at
            `deleted`.
        stamp: the timestamp by which the event of the deletion is ordered, or None: `deleted`.
    """

    KIND: ClassVar[str] = "deleted_manifests"
    NUMBER: ClassVar[int] = 8
    NOT_IN_BACKUP: ClassVar[str] = DELETED_BACKUP_REASON
    INDEXED_FIELDS: ClassVar[tuple[str, ...]] = ("subject", "blobs", "children", "cause")
    FILTER_FIELDS: ClassVar[tuple[str, ...]] = ()
    QUEUES: ClassVar[tuple[str, ...]] = (DELETED,)

    deleted: datetime
    by: str = ""
    cause: str
    kept: datetime | None = None

    @property
    def due(self) -> str:
        """Queue entry, see Record.due."""
        return due_entry(DELETED, self.kept or self.deleted)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeletedTag(Tag):
    """Tombstone of a tag, from its most recent deletion.

    Attributes:
        deleted: when the tag was deleted.
        by: the authenticated caller that deleted it, or "".
        cause: the tag itself, or one of the causes of a DeletedManifest.
        kept: see DeletedManifest.
    """

    KIND: ClassVar[str] = "deleted_tags"
    NUMBER: ClassVar[int] = 9
    NOT_IN_BACKUP: ClassVar[str] = DELETED_BACKUP_REASON
    INDEXED_FIELDS: ClassVar[tuple[str, ...]] = ("digest", "cause")
    QUEUES: ClassVar[tuple[str, ...]] = (DELETED,)

    deleted: datetime
    by: str = ""
    cause: str
    kept: datetime | None = None

    @property
    def due(self) -> str:
        """Queue entry, see Record.due."""
        return due_entry(DELETED, self.kept or self.deleted)

    @property
    def omitted_content_size(self) -> int:
        """Return 0: a deleted tag has no content."""
        return 0


@dataclass(frozen=True, slots=True, kw_only=True)
class DeletedLink(Link):
    """Hidden link, which only deleted manifests reference: it keeps the blob in case one of them is restored.

    Its kind differs from that of a visible link, so that a commit that touches the visible link, such as that of a
    manifest that references it, fails if the link has been hidden since it was read. A visible link can exist as well,
    if the blob was pushed or mounted again.

    Attributes:
        state: HIDDEN while a restorable deleted manifest references the blob; HIDDEN_UNVERIFIED once one of these can
            no longer be restored. Any other state: an earlier release wrote the record, and it is queued like other
            tombstones.
        since: when it was hidden.
        deleted: the same time.
        kept: see DeletedManifest.
    """

    KIND: ClassVar[str] = "deleted_links"
    NUMBER: ClassVar[int] = 10
    NOT_IN_BACKUP: ClassVar[str] = DELETED_BACKUP_REASON
    INDEXED_FIELDS: ClassVar[tuple[str, ...]] = ("id",)
    CROSS_REPOSITORY_FIELDS: ClassVar[tuple[str, ...]] = ("id",)
    QUEUES: ClassVar[tuple[str, ...]] = (DELETED, HIDDEN_UNVERIFIED)

    deleted: datetime
    kept: datetime | None = None

    @property
    def hidden_at(self) -> datetime:
        """When the link was hidden."""
        return self.since or self.deleted if self.state in (HIDDEN, HIDDEN_UNVERIFIED) else self.deleted

    @property
    def due(self) -> str:
        """Queue entry, see Record.due. "" while HIDDEN: the tombstones of its manifests are queued instead."""
        if self.state == HIDDEN:
            return ""
        if self.state == HIDDEN_UNVERIFIED:
            return due_entry(HIDDEN_UNVERIFIED, self.hidden_at)
        return due_entry(DELETED, self.kept or self.deleted)


@dataclass(frozen=True, slots=True, kw_only=True)
class TagHistory(Record):
    """Summary of a tag's history, which outlives the tag. The id is the tag.

    Attributes:
        moves: the number of changes of the tag.
        moved: when the tag was last changed.
        stamp: the timestamp by which the last change is ordered, or None: `moved`. They differ only if an earlier
            change was made by a clock that was far ahead.
        clamped: the number of the first change whose timestamp is not its actual time, or 0.
    """

    KIND: ClassVar[str] = "histories"
    NUMBER: ClassVar[int] = 11
    IN_REPOSITORY: ClassVar[bool] = True

    moves: int
    moved: datetime
    stamp: datetime | None = None
    clamped: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class TagEvent(Record):
    """Change of a tag, written in the same commit as the change. Ids sort the newest change first.

    Attributes:
        tag: the tag.
        number: consecutive number of the change, starting at 1 for each tag.
        digest: the digest of the manifest that the tag now points to, or "" if the tag was deleted.
        before: the digest that it pointed to before, or "".
        action: push, delete, rollback, restore or clean-up.
        by: the authenticated caller that made the change, or "".
        request: the request id, which is also logged.
        moved: when the change was made. Never earlier than the previous change, unless that was made by a clock that
            was far ahead.
    """

    KIND: ClassVar[str] = "moves"
    NUMBER: ClassVar[int] = 12
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

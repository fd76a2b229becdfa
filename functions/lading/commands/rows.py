"""Rows that commands print of a registry, wherever they come from: its stores, or the management API."""

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lading_storage.records.deleted import TagEvent


@dataclass(frozen=True, slots=True)
class EventRow:
    """Event in the history of a tag.

    number  of the event: 1 for the first of its tag
    action  push, delete, rollback, restore, tag, clean-up
    by      the principal, or "" where the credentials named none
    before  the digest that the tag named before, "" where it is new
    digest  the digest that it has named since, "" where it was deleted
    """

    repository: str
    tag: str
    number: int
    time: datetime
    action: str
    by: str
    before: str
    digest: str

    @classmethod
    def of(cls, event: "TagEvent") -> "EventRow":
        """Return the row of a record."""
        return cls(
            repository=event.repository,
            tag=event.tag,
            number=event.number,
            time=event.moved,
            action=event.action,
            by=event.by,
            before=event.before,
            digest=event.digest,
        )


@dataclass(frozen=True, slots=True)
class TagRow:
    """Tag, and the digest that it names after a change."""

    repository: str
    tag: str
    digest: str


@dataclass(frozen=True, slots=True)
class RollbackTarget:
    """What a tag is rolled back to: a digest, which may be short; what it named at a time; or a number of events."""

    digest: str = ""
    at: datetime | None = None
    steps: int = 1

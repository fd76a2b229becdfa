"""What upkeep remembers: which registry this is, when manifests were pulled, what runs, how far a job has come."""

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from lading_storage.records.core import Record


@dataclass(frozen=True, slots=True, kw_only=True)
class LastPull(Record):
    """When the manifest whose digest is the id was last pulled, to the hour."""

    KIND: ClassVar[str] = "pulls"
    IN_REPOSITORY: ClassVar[bool] = True

    pulled: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class InUseReport(Record):
    """What runs somewhere, as the one whose name is the id reports it: digests, or references with a tag or digest."""

    KIND: ClassVar[str] = "running"

    references: tuple[str, ...]
    reported: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity(Record):
    """Which registry this is; there is one such record.

    registry  128 random bits in hex, made with the store: a backup carries them, and is taken for no other registry's
    """

    KIND: ClassVar[str] = "identities"

    registry: str
    created: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Job(Record):
    """A job that is done in slices, by one process at a time.

    holder   whose turn it is, or "" for nobody's
    until    when that turn ends at the latest
    phase    what is being done, or "" before the first
    entry    the entry of the queue after which it goes on, or ""
    after    behind which id it goes on, and in which repository
    within   the repository of `after`
    counts   what was counted so far, as JSON
    rules    a digest of the rules that it has applied everywhere, or ""
    created  when the job began
    """

    KIND: ClassVar[str] = "jobs"
    NOT_IN_BACKUP: ClassVar[str] = "a lease and a cursor are good only where the job runs"

    holder: str = ""
    until: datetime | None = None
    phase: str = ""
    entry: str = ""
    after: str = ""
    within: str = ""
    counts: str = ""
    rules: str = ""
    created: datetime

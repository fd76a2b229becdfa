"""Records of the background jobs: the registry's identity, last pulls, in-use reports, and progress of jobs."""

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from lading_storage.records.core import Record


@dataclass(frozen=True, slots=True, kw_only=True)
class LastPull(Record):
    """Time of the last pull of a manifest, rounded to the hour. The id is the manifest's digest."""

    KIND: ClassVar[str] = "pulls"
    NUMBER: ClassVar[int] = 13
    IN_REPOSITORY: ClassVar[bool] = True

    pulled: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class InUseReport(Record):
    """In-use report: the images that an environment runs. The id is the name of the reporter.

    Attributes:
        references: digests, or image references with a tag or digest.
        reported: when the report was received.
    """

    KIND: ClassVar[str] = "running"
    NUMBER: ClassVar[int] = 14

    references: tuple[str, ...]
    reported: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Job(Record):
    """Progress of a resumable job, which runs in time slices, in one process at a time.

    Attributes:
        holder: the process that holds the lease, or "".
        until: when the lease expires.
        phase: the current phase, or "" before the first one.
        entry: the queue entry after which the job resumes, or "".
        after: the id after which the job resumes.
        within: the repository of `after`.
        counts: the counters so far, as JSON.
        rules: a digest of the rules that the job has applied to every repository, or "".
        created: when the job started.
    """

    KIND: ClassVar[str] = "jobs"
    NUMBER: ClassVar[int] = 15
    NOT_IN_BACKUP: ClassVar[str] = "a lease and a cursor are only valid where the job runs"

    holder: str = ""
    until: datetime | None = None
    phase: str = ""
    entry: str = ""
    after: str = ""
    within: str = ""
    counts: str = ""
    rules: str = ""
    created: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity(Record):
    """Identity of the registry. There is one such record.

    Attributes:
        registry: 128 random bits in hex, generated with the store. A backup contains them, so that it cannot be
            mistaken for the backup of another registry.
    """

    KIND: ClassVar[str] = "identities"
    NUMBER: ClassVar[int] = 16

    registry: str
    created: datetime

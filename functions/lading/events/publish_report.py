"""What a run of the publisher did, as its log line and the commands report it."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from lading.jobs.job_report import RACE_LOST, JobReport

PUBLISHED: Final = "events published"
REFUSED: Final = "events refused"
FORGOTTEN: Final = "published events forgotten"


@dataclass(slots=True)
class PublishReport(JobReport):
    """What a run of the publisher did.

    Attributes:
        waiting: how many events wait for a sink, of those that it read, or knows from earlier runs.
        oldest: when the oldest of those was created, or None.
        read_again: how many of them the next run reads again: the youngest ones.
        down: why a sink receives nothing at present, by its name.
        stalled: the repositories whose events a sink refused in this run, with the reason.
        has_failed_sink: whether a sink was found down in this run; others that are down were not tried.
        deliveries: what was done with deliveries to webhooks, or how many wait, by state.
        at: the time at the end of the run.
    """

    waiting: int = 0
    oldest: datetime | None = None
    read_again: int = 0
    down: dict[str, str] = field(default_factory=dict)
    stalled: dict[str, str] = field(default_factory=dict)
    has_failed_sink: bool = False
    deliveries: dict[str, int] = field(default_factory=dict)
    at: datetime | None = None

    @property
    def oldest_seconds(self) -> float:
        """The age of the oldest event that waits, in seconds; 0 if none does."""
        return max(0.0, (self.at - self.oldest).total_seconds()) if self.at and self.oldest else 0.0

    def as_json(self) -> dict[str, Any]:
        """Return the report as JSON, for a log line and the metrics derived from it."""
        return {
            "published": self.counts[PUBLISHED],
            "refused": self.counts[REFUSED],
            "races_lost": self.counts[RACE_LOST],
            "waiting": self.waiting,
            "oldest_seconds": round(self.oldest_seconds, 1),
            "down": self.down,
            "sink_failed": self.has_failed_sink,
            "stalled": self.stalled,
            "deliveries": self.deliveries,
            "seconds": round(self.seconds, 3),
        }

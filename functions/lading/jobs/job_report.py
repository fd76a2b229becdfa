"""What a job did, as logs, metrics and commands report it."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final

BYTES_FREED: Final = "bytes freed"
RECORDS_FAILED: Final = "records failed"
RACE_LOST: Final = "races lost"


@dataclass(slots=True)
class JobReport:
    """What a job did, from its first slice on.

    Attributes:
        counts: how many of what, in words.
        phase: the current phase, or "".
        done: how many phases are complete.
        phases: how many phases there are.
        finished: whether the job is complete.
        seconds: how long the last slice took.
        findings: the problems that it found, a line each.
    """

    counts: Counter[str] = field(default_factory=Counter)
    phase: str = ""
    done: int = 0
    phases: int = 1
    finished: bool = False
    seconds: float = 0.0
    findings: list[str] = field(default_factory=list)

    @property
    def failed(self) -> int:
        """The number of records whose step failed: the job is complete except for them."""
        return self.counts[RECORDS_FAILED]

    def as_json(self) -> dict[str, Any]:
        """Return the report as JSON, for a log line and the metrics derived from it."""
        return {
            "finished": self.finished,
            "phase": self.phase,
            "seconds": round(self.seconds, 1),
            "failed": self.failed,
            "freed_bytes": self.counts[BYTES_FREED],
            "counts": dict(sorted(self.counts.items())),
            "findings": self.findings,
        }

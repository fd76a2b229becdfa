"""The table of metrics, a row each, as routes and settings are. docs/metrics.md is generated from it.

Metrics that distribution has as well keep its names and labels (github.com/docker/go-metrics), so that its dashboards
work. Sizes are summaries here: distribution's 22 buckets for each handler are most of its series, and dashboards use
their sums. No label has a value that a client chose, so the number of series has a limit (tests/metrics/), and none is
named `job` or `instance`, which Prometheus sets itself.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Final

LATENCY_BUCKETS: Final = (0.005, 0.025, 0.1, 0.5, 2.5, 10.0, 60.0)
"""Seconds: from a manifest out of SQLite to a layer of some gigabytes."""

STORE_BUCKETS: Final = (0.001, 0.005, 0.025, 0.1, 0.5, 2.5, 10.0)
"""Seconds: from a read of SQLite to a deadline of Firestore's."""


class Kind(Enum):
    """Types of metrics, by their names in Prometheus' text format."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"
    SUMMARY = "summary"


@dataclass(frozen=True, slots=True)
class MetricRow:
    """A metric.

    Attributes:
        name: its name in an exposition; a counter's ends with `_total`.
        kind: its type.
        help: one line.
        labels: the names of its labels.
        buckets: the upper bounds of a histogram's buckets.
        is_read: whether a scrape reads it from the stores (store_readings).
    """

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()
    is_read: bool = False


REQUESTS: Final = MetricRow(
    "registry_http_requests_total",
    Kind.COUNTER,
    "responses that were sent, or abandoned by their client",
    ("handler", "method", "code"),
)
REQUEST_DURATION: Final = MetricRow(
    "registry_http_request_duration_seconds",
    Kind.HISTOGRAM,
    "from a request's headers to the last chunk of its response",
    ("handler",),
    LATENCY_BUCKETS,
)
IN_FLIGHT: Final = MetricRow(
    "registry_http_in_flight_requests", Kind.GAUGE, "requests whose response is not complete", ("handler",)
)
REQUEST_SIZE: Final = MetricRow(
    "registry_http_request_size_bytes", Kind.SUMMARY, "bytes received of request bodies", ("handler",)
)
RESPONSE_SIZE: Final = MetricRow(
    "registry_http_response_size_bytes", Kind.SUMMARY, "bytes sent of response bodies", ("handler",)
)
STORAGE_ACTION: Final = MetricRow(
    "registry_storage_action_seconds",
    Kind.HISTOGRAM,
    "calls of the stores, failed ones as well; `append` lasts as long as its client sends, `open` until the first byte",
    ("driver", "action"),
    STORE_BUCKETS,
)
AUTH_DECISIONS: Final = MetricRow(
    "lading_auth_decisions_total",
    Kind.COUNTER,
    "requests by the action that they need and their outcome, in the audit log's terms",
    ("action", "outcome"),
)
CONFLICTS: Final = MetricRow(
    "lading_commit_conflicts_total",
    Kind.COUNTER,
    "commits that another change of the same record preceded; each is tried again",
)
GOOGLE_REQUEST: Final = MetricRow(
    "lading_google_request_seconds",
    Kind.HISTOGRAM,
    "requests to Google that authenticate and authorize callers, failed ones as well, and waiting for others",
    ("host",),
    STORE_BUCKETS,
)
PULLS: Final = MetricRow(
    "lading_pulls_total",
    Kind.COUNTER,
    "manifests pulled, by the first part of the repository's name: 100 of them, and `other`",
    ("namespace",),
)
POLICY_DECISIONS: Final = MetricRow(
    "lading_policy_decisions_total",
    Kind.COUNTER,
    "decisions of policies about pulls, pushes and moves of tags, of the first 100 policies and `other`: allowed,"
    " denied, audited (denied by one that only audits), exempted, or error (an image could not be judged)",
    ("policy", "mode", "decision"),
)
SLOW_CLIENT_THREADS: Final = MetricRow(
    "lading_slow_client_threads",
    Kind.GAUGE,
    "threads with request bodies, large responses to anonymous clients, or requests that wait for events",
)
SLOW_CLIENT_THREADS_LIMIT: Final = MetricRow(
    "lading_slow_client_threads_limit", Kind.GAUGE, "the maximum of these threads; beyond it, requests are refused"
)
EVENTS_WAITING: Final = MetricRow(
    "lading_events_waiting",
    Kind.GAUGE,
    "events that wait for a topic or webhook; 1000 stands for that many or more",
    is_read=True,
)
EVENTS_OLDEST: Final = MetricRow(
    "lading_events_oldest_seconds", Kind.GAUGE, "the age of the oldest event that waits", is_read=True
)
STALLED: Final = MetricRow(
    "lading_repositories_stalled", Kind.GAUGE, "repositories whose events a sink refuses", is_read=True
)
EVENTS_PUBLISHED: Final = MetricRow("lading_events_published_total", Kind.COUNTER, "events published by this server")
EVENTS_REFUSED: Final = MetricRow(
    "lading_events_refused_total", Kind.COUNTER, "refusals of events by a sink, seen by this server"
)
DELIVERIES: Final = MetricRow(
    "lading_deliveries",
    Kind.GAUGE,
    "deliveries to webhooks by state, of which `dead` are attempted no more; 1000 stands for that many or more",
    ("state",),
    is_read=True,
)
DELIVERY_ATTEMPTS: Final = MetricRow(
    "lading_delivery_attempts_total", Kind.COUNTER, "attempts of deliveries by this server, by outcome", ("outcome",)
)
JOB_RUNS: Final = MetricRow(
    "lading_job_runs_total",
    Kind.COUNTER,
    "slices of background jobs: finished, unfinished (goes on), busy (another process has the lease) or failed",
    ("name", "outcome"),
)
JOB_FINISHED: Final = MetricRow(
    "lading_job_last_finished_timestamp_seconds",
    Kind.GAUGE,
    "when a job last finished in this server, in seconds since 1970",
    ("name",),
)
JOB_INTERVAL: Final = MetricRow(
    "lading_job_interval_seconds", Kind.GAUGE, "how long this server waits between two runs of a job", ("name",)
)
JOB_RECORDS_FAILED: Final = MetricRow(
    "lading_job_records_failed_total", Kind.COUNTER, "records that a finished job could not process", ("name",)
)
COLLECTED: Final = MetricRow(
    "lading_collection_freed_bytes_total", Kind.COUNTER, "bytes that finished collections have freed"
)
DISK_FREE: Final = MetricRow(
    "lading_disk_free_bytes", Kind.GAUGE, "free bytes of the disk of a local store", ("store",), is_read=True
)
DISK_SIZE: Final = MetricRow(
    "lading_disk_size_bytes", Kind.GAUGE, "bytes of the disk of a local store", ("store",), is_read=True
)
STORES_READ: Final = MetricRow(
    "lading_stores_read_timestamp_seconds",
    Kind.GAUGE,
    "when waiting events, deliveries and disks were last read, in seconds since 1970",
    is_read=True,
)
BUILD: Final = MetricRow(
    "lading_build_info",
    Kind.GAUGE,
    "1, with the version of Lading, and the digest of its sources",
    ("version", "sources"),
)

METRICS: Final = tuple(row for row in tuple(globals().values()) if isinstance(row, MetricRow))
"""All metrics of Lading; process_* are prometheus-client's own."""

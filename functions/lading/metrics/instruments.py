"""Instruments: the metrics of the table, as prometheus-client keeps them."""

from typing import Any, Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Summary, disable_created_metrics
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.process_collector import ProcessCollector

from lading.metrics.metric_rows import METRICS, Kind, MetricRow

# Each would be a series more for each counter, which Prometheus ignores by default.
disable_created_metrics()  # type: ignore[no-untyped-call]

TYPES: Final[dict[Kind, type[MetricWrapperBase]]] = {
    Kind.COUNTER: Counter,
    Kind.GAUGE: Gauge,
    Kind.HISTOGRAM: Histogram,
    Kind.SUMMARY: Summary,
}


class Instrument(dict[tuple[str, ...], Any]):
    """The children of a metric by the values of their labels; created on demand. Thread-safe.

    prometheus-client's own look-up takes longer than to count.
    """

    def __init__(self, row: MetricRow, registry: CollectorRegistry) -> None:
        """Register the metric of `row`."""
        super().__init__()
        more: dict[str, Any] = {"buckets": row.buckets} if row.buckets else {}
        self._metric = TYPES[row.kind](row.name, row.help, row.labels, registry=registry, **more)

    def __missing__(self, values: tuple[str, ...]) -> Any:
        """Return a child that did not exist."""
        child = self[values] = self._metric.labels(*values) if values else self._metric
        return child


class Instruments:
    """All metrics of a server.

    registry  what an exposition is made of
    """

    def __init__(self) -> None:
        """Register the metrics, and prometheus-client's own of the process."""
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._instruments = {row: Instrument(row, self.registry) for row in METRICS if not row.is_read}

    def __getitem__(self, row: MetricRow) -> Instrument:
        """Return the instrument of a row."""
        return self._instruments[row]

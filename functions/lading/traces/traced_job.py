"""TracedJob: a background job with a span for each slice that did something, or failed.

The span has no children: a collection makes thousands of calls to the stores, and would push the spans of requests out
of the queue. A slice that found nothing to do has none: some run each second.
"""

import time
from datetime import timedelta

from opentelemetry.context import Context
from opentelemetry.trace import Tracer

from lading.jobs.background import TIME_SLICE, SlicedJob
from lading.jobs.job_report import JobReport
from lading.traces.spans import error_type, mark_failed


class TracedJob:
    """A job whose slices have spans. See SlicedJob."""

    def __init__(self, name: str, job: SlicedJob, tracer: Tracer) -> None:
        """Run `job`."""
        self.throttle = job.throttle
        self._name = name
        self._job = job
        self._tracer = tracer

    def run(self, limit: timedelta = TIME_SLICE) -> JobReport | None:
        """Run one slice."""
        began = time.time_ns()
        try:
            report = self._job.run(limit)
        except BaseException as error:
            self._record(began, None, error_type(error))
            raise
        if report is not None and any(report.counts.values()):
            self._record(began, report)
        return report

    def stop(self) -> None:
        """See SlicedJob.stop."""
        self._job.stop()

    def _record(self, began: int, report: JobReport | None, error: str = "") -> None:
        span = self._tracer.start_span(f"job {self._name}", Context(), start_time=began)
        if report is not None:
            span.set_attribute("lading.job.finished", report.finished)
            span.set_attributes(
                {f"lading.job.{name.replace(' ', '_')}": count for name, count in report.counts.items()}
            )
        if error:
            mark_failed(span, error)
        span.end()

"""MeteredJob: a background job whose runs are counted."""

import time
from datetime import timedelta
from typing import Final

from lading.events.publish_report import PUBLISHED, REFUSED
from lading.jobs.background import TIME_SLICE, SlicedJob
from lading.jobs.job_report import BYTES_FREED, JobReport
from lading.metrics import metric_rows as rows
from lading.metrics.instruments import Instruments

DELIVER: Final = "deliver"
"""The job whose report counts attempts of deliveries, by outcome."""


class MeteredJob:
    """A job whose runs are counted. See SlicedJob."""

    def __init__(self, name: str, job: SlicedJob, instruments: Instruments) -> None:
        """Run `job`, and count in `instruments`."""
        self.throttle = job.throttle
        self._name = name
        self._job = job
        self._instruments = instruments

    def run(self, limit: timedelta = TIME_SLICE) -> JobReport | None:
        """Run one slice, and count it."""
        outcome = "failed"
        try:
            report = self._job.run(limit)
            outcome = "busy" if report is None else "finished" if report.finished else "unfinished"
        finally:
            self._instruments[rows.JOB_RUNS][self._name, outcome].inc()
        if report is not None:
            self._count(report)
        return report

    def stop(self) -> None:
        """See SlicedJob.stop."""
        self._job.stop()

    def _count(self, report: JobReport) -> None:
        """Count what a slice did. What a job that is not finished did is in the report of its last slice as well."""
        if not report.finished:
            return
        count = self._instruments
        count[rows.JOB_FINISHED][(self._name,)].set(time.time())
        count[rows.JOB_RECORDS_FAILED][(self._name,)].inc(report.failed)
        count[rows.COLLECTED][()].inc(report.counts[BYTES_FREED])
        count[rows.EVENTS_PUBLISHED][()].inc(report.counts[PUBLISHED])
        count[rows.EVENTS_REFUSED][()].inc(report.counts[REFUSED])
        if self._name == DELIVER:
            for outcome, number in report.counts.items():
                count[rows.DELIVERY_ATTEMPTS][(outcome,)].inc(number)

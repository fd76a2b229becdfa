"""Monitoring: what alerts and metrics read of a log line is what the line has."""

import re
from collections import Counter
from typing import Any

from lading.events.deliveries import DELIVERED, FAILED, GIVEN_UP
from lading.events.publish_report import PublishReport
from lading.jobs.vulnerability_updates import UpdateReport
from lading.scanner.scan_job import ScanReport
from tests.terraform.terraform_cli import ROOT


def test_alerts_and_metrics_read_what_publish_logs() -> None:
    report = PublishReport(deliveries={DELIVERED: 1, FAILED: 1, GIVEN_UP: 1}).as_json()
    read = re.findall(r"jsonPayload\.publish\.([a-z_.]+)", (ROOT / "terraform" / "monitoring.tf").read_text())
    assert {"waiting", "oldest_seconds", "published"} <= set(read)
    assert {f"deliveries.{each}" for each in report["deliveries"]} <= set(read)
    for field in read:
        value = report
        for name in field.split("."):
            value = value[name]
        assert isinstance(value, int | float), field


def test_the_alert_reads_what_scan_logs() -> None:
    report = ScanReport(finished=True, counts=Counter(failed=1)).as_json()
    line = {"scan": report, "vulnerabilities": UpdateReport(finished=True, counts=Counter(failed=1)).as_json()}
    read = re.findall(r"jsonPayload\.([a-z_.]+)", (ROOT / "terraform" / "scan.tf").read_text())
    assert set(read) == {"scan.scans.failed", "vulnerabilities.data.failed"}
    for field in read:
        value: Any = line
        for name in field.split("."):
            value = value[name]
        assert value == 1

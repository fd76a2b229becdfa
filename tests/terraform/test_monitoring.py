"""Monitoring: what alerts and metrics read of a log line is what the line has."""

import re

from lading.events.deliveries import DELIVERED, FAILED, GIVEN_UP
from lading.events.publish_report import PublishReport
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

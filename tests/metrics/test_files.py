"""The dashboard and the rules of terraform/on-premises/metrics/ name metrics, labels and handlers that exist."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from lading.metrics.metric_rows import METRICS
from tests.metrics.metered_server import MeteredServer
from tests.support.on_premises_files import FOLDER, RULES
from tests.support.requirements import find_program

DASHBOARD: Final = json.loads((FOLDER / "metrics" / "dashboard.json").read_text())
METRIC: Final = re.compile(r"\b(?:registry|lading|process)_[a-z_]+\b")
SUFFIXES: Final = {"histogram": ("_bucket", "_sum", "_count"), "summary": ("_sum", "_count")}
TARGET_LABELS: Final = {"job", "instance", "le"}
"""Labels that Prometheus sets, or a histogram has."""


def rule_groups() -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def dashboard_expressions() -> Iterator[str]:
    for panel in DASHBOARD["panels"]:
        for target in panel.get("targets", ()):
            yield target["expr"]
    for variable in DASHBOARD["templating"]["list"]:
        if variable["type"] == "query":
            yield variable["query"]["query"]


def expressions() -> list[str]:
    return [*dashboard_expressions(), *(rule["expr"] for rule in rule_groups())]


def as_promql(expression: str) -> str:
    """A panel's expression with values in the place of Grafana's variables."""
    return expression.replace("$__rate_interval", "5m").replace("$job", ".+").replace("$instance", ".+")


def test_promtool_accepts_the_rules() -> None:
    promtool = find_program("promtool", "apt install prometheus")
    done = subprocess.run([promtool, "check", "rules", RULES], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"SUCCESS: {len(rule_groups())} rules found" in done.stdout


def test_promtool_accepts_the_dashboards_expressions(tmp_path: Path) -> None:
    promtool = find_program("promtool", "apt install prometheus")
    panels = [each for each in dashboard_expressions() if not each.startswith("label_values")]
    rules = [{"record": f"panel:{number}", "expr": as_promql(each)} for number, each in enumerate(panels)]
    (tmp_path / "panels.yaml").write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    done = subprocess.run(
        [promtool, "check", "rules", tmp_path / "panels.yaml"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_metric_that_is_named_is_in_a_scrape(used: MeteredServer) -> None:
    text = used.exposition()
    # A histogram without observations has no series yet.
    types = dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE))
    exposed = {name + end for name, kind in types.items() for end in ("", *SUFFIXES.get(kind, ()))}
    named = {name for each in expressions() for name in METRIC.findall(each)}
    assert named - exposed == set()
    assert len(named) > 20


def test_each_metric_is_in_the_dashboard() -> None:
    shown = {name for each in dashboard_expressions() for name in METRIC.findall(each)}
    missing = {row.name for row in METRICS if not any(name.startswith(row.name) for name in shown)}
    assert missing == set()


@pytest.mark.parametrize("expression", expressions())
def test_each_label_that_is_named_belongs_to_a_metric(expression: str) -> None:
    if "lading:" in expression or expression.startswith("label_values"):
        return
    known = {
        label
        for row in METRICS
        for label in row.labels
        if any(n.startswith(row.name) for n in METRIC.findall(expression))
    }
    grouped = [name for group in re.findall(r"\bby \(([^)]*)\)", expression) for name in re.split(r",\s*", group)]
    selected = re.findall(r'(\w+)\s*=~?\s*"', expression)
    assert {*grouped, *selected} <= known | TARGET_LABELS


def test_the_recorded_rules_that_alerts_use_exist() -> None:
    recorded = {rule["record"] for rule in rule_groups() if "record" in rule}
    used = {name for rule in rule_groups() for name in re.findall(r"lading:[\w:]+", rule["expr"])}
    assert used <= recorded


def test_alerts_fire_for_what_they_are_for() -> None:
    promtool = find_program("promtool", "apt install prometheus")
    alerts = Path(__file__).parent / "alerts.yaml"
    done = subprocess.run([promtool, "test", "rules", alerts], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr

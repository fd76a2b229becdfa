"""The chart's metrics: a listener that Prometheus finds and may reach, and nothing else."""

from typing import Any

import yaml

from lading.settings import SETTINGS
from tests.support.helm_chart import GOOGLE, URL, Document, only, render
from tests.support.on_premises_files import RULES

METRICS = (URL, "metrics.enabled=true")
OPERATOR = (*METRICS, "metrics.serviceMonitor.enabled=true", "metrics.prometheusRule.enabled=true")


def container(documents: list[Document]) -> Document:
    (found,) = only(documents, "Deployment")["spec"]["template"]["spec"]["containers"]
    return dict(found)


def variable(documents: list[Document]) -> str | None:
    return {each["name"]: each["value"] for each in container(documents)["env"]}.get("LADING_METRICS")


def test_without_metrics_there_is_no_listener_and_no_custom_resource() -> None:
    documents = render(URL, "networkPolicy.enabled=true")
    assert variable(documents) is None
    assert [each["name"] for each in container(documents)["ports"]] == ["http"]
    assert {each["kind"] for each in documents}.isdisjoint({"ServiceMonitor", "PrometheusRule"})
    assert len(only(documents, "NetworkPolicy")["spec"]["ingress"]) == 1
    only(documents, "Service")


def test_the_listener_has_a_service_of_its_own() -> None:
    documents = render(*METRICS, "metrics.port=9999", "service.type=LoadBalancer")
    assert variable(documents) == "0.0.0.0:9999"
    assert {"name": "metrics", "containerPort": 9999} in container(documents)["ports"]
    public, private = (each for each in documents if each["kind"] == "Service")
    if "metrics" in public["metadata"]["name"]:
        public, private = private, public
    assert [port["targetPort"] for port in public["spec"]["ports"]] == ["http"]
    assert public["spec"]["type"] == "LoadBalancer"
    assert private["spec"]["clusterIP"] == "None"
    assert "type" not in private["spec"]
    assert [port["targetPort"] for port in private["spec"]["ports"]] == ["metrics"]
    assert private["spec"]["selector"] == public["spec"]["selector"]


def test_the_variable_is_a_setting_of_serve_and_not_of_jobs() -> None:
    documents = render(*GOOGLE, "metrics.enabled=true")
    assert "LADING_METRICS" in {setting.variable for setting in SETTINGS}
    job = only(documents, "CronJob")["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]
    assert "LADING_METRICS" not in {each["name"] for each in job["env"]}


def test_the_monitor_selects_the_service_of_metrics_only() -> None:
    documents = render(*OPERATOR, "metrics.serviceMonitor.labels.release=prometheus")
    monitor = only(documents, "ServiceMonitor")
    assert monitor["metadata"]["labels"]["release"] == "prometheus"
    wanted = monitor["spec"]["selector"]["matchLabels"].items()
    selected = [
        each for each in documents if each["kind"] == "Service" and wanted <= each["metadata"]["labels"].items()
    ]
    (service,) = selected
    assert service["metadata"]["name"] == "registry-lading-metrics"
    (endpoint,) = monitor["spec"]["endpoints"]
    assert endpoint["port"] == service["spec"]["ports"][0]["name"]
    # The dashboard and the alerts select by `job`, which is "lading" for compose and in the documentation.
    assert service["metadata"]["labels"][monitor["spec"]["jobLabel"]] == "lading"


def test_the_rules_are_the_file_of_the_rules() -> None:
    rule = only(render(*OPERATOR, "metrics.prometheusRule.labels.role=alerts"), "PrometheusRule")
    assert rule["spec"] == yaml.safe_load(RULES.read_text())
    assert rule["metadata"]["labels"]["role"] == "alerts"


def ingress_of(documents: list[Document]) -> dict[str, Any]:
    """Return who may reach each port."""
    rules = only(documents, "NetworkPolicy")["spec"]["ingress"]
    return {port["port"]: rule.get("from") for rule in rules for port in rule["ports"]}


def test_the_network_policy_lets_the_scraper_in_and_no_one_else() -> None:
    public = ("networkPolicy.enabled=true", "networkPolicy.from[0].podSelector.matchLabels.app=proxy")
    found = ingress_of(render(*METRICS, *public))
    monitoring = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}
    assert found == {"http": [{"podSelector": {"matchLabels": {"app": "proxy"}}}], "metrics": [monitoring]}

    chosen = ingress_of(render(*METRICS, *public, "networkPolicy.metricsFrom[0].ipBlock.cidr=10.0.0.0/8"))
    assert chosen["metrics"] == [{"ipBlock": {"cidr": "10.0.0.0/8"}}]


def test_the_network_policy_allows_what_telemetry_needs_if_asked() -> None:
    """A collector of traces, by its variable and a rule; without rules, SQLite's registry reaches nothing."""
    policy = (URL, "networkPolicy.enabled=true")
    assert only(render(*policy), "NetworkPolicy")["spec"]["egress"] == []

    name, value = "OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318"
    collector = ("extraEnv[0].name=" + name, "extraEnv[0].value=" + value, "networkPolicy.egress[0].ports[0].port=4318")
    documents = render(*policy, *collector)
    assert {"name": name, "value": value} in container(documents)["env"]
    dns, allowed = only(documents, "NetworkPolicy")["spec"]["egress"]
    assert {port["port"] for port in dns["ports"]} == {53}
    assert allowed == {"ports": [{"port": 4318}]}

    google = only(render(*GOOGLE, *policy[1:], *collector), "NetworkPolicy")["spec"]["egress"]
    assert allowed in google
    assert {"ports": [{"port": 443, "protocol": "TCP"}]} in google

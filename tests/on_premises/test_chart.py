"""The Helm chart: what helm makes of it is valid for Kubernetes, with any values that its schema takes."""

import json
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import yaml

from lading.settings import SETTINGS
from lading_storage.stores import Stores
from tests.support.helm_chart import CHART, GOOGLE, KUBERNETES, URL, Document, helm, only, options, render, validate
from tests.support.server_process import serving, user_environment

LOCAL = (URL,)
FEATURES = {
    "config": ('config=[rules]\nundelete = "30d"\n', "access.public={library/*,tools/*}"),
    "secrets": (
        "access.users.existingSecret=users",
        "keys.existingSecret=keys",
        "image.pullSecrets={pull}",
        "stores.google.hmacKey.existingSecret=hmac",
        "test.existingSecret=login",
    ),
    "tls": ("tls.existingSecret=cert", "ingress.enabled=true", "ingress.tlsSecret=public"),
    "gateway": ("httpRoute.enabled=true", "httpRoute.parentRefs[0].name=gateway", "networkPolicy.enabled=true"),
    "metrics": (
        "metrics.enabled=true",
        "metrics.serviceMonitor.enabled=true",
        "metrics.serviceMonitor.labels.release=prometheus",
        "metrics.prometheusRule.enabled=true",
        "networkPolicy.enabled=true",
    ),
    "jobs": ("backup.enabled=true", "scrub.enabled=true"),
    "platform": ("podSecurityContext=null", "serviceAccount.create=false", "service.type=NodePort"),
}
PAIRS: Mapping[str, tuple[str, ...]] = {"local": LOCAL, "google": (*GOOGLE, "replicas=3")}
ALL = tuple(FEATURES)
CHOICES = [(), *((name,) for name in ALL), *(tuple(each for each in ALL if each != name) for name in ALL), ALL]
"""None, one, all but one, and all: so each two features are combined in each of four ways."""


def values_of(pair: str, features: tuple[str, ...]) -> tuple[str, ...]:
    return (*PAIRS[pair], *(value for name in features for value in FEATURES[name]))


@pytest.mark.parametrize("features", CHOICES, ids="-".join)
@pytest.mark.parametrize("pair", PAIRS)
def test_whatever_is_rendered_is_valid(pair: str, features: tuple[str, ...]) -> None:
    documents = render(*values_of(pair, features))

    assert len(documents) >= 3
    for document in documents:
        validate(document)
    for pod in pods(documents):
        mounts = {mount["name"] for each in pod["containers"] for mount in each.get("volumeMounts", [])}
        assert mounts == {volume["name"] for volume in pod.get("volumes", [])}
        for container in pod["containers"]:
            assert container["securityContext"]["readOnlyRootFilesystem"]
            names = [each["name"] for each in container["env"]]
            assert len(names) == len(set(names))


def test_invalid_documents_are_found() -> None:
    documents = render(*values_of("local", ("gateway", "metrics")))
    only(documents, "Deployment")["spec"]["template"]["spec"]["containers"][0]["imagePullpolicy"] = "Always"
    only(documents, "HTTPRoute")["spec"]["rules"][0]["timeouts"]["request"] = "none"
    only(documents, "ServiceMonitor")["spec"]["endpoints"][0]["intervall"] = "30s"
    only(documents, "PrometheusRule")["spec"]["groups"][0]["rules"][0]["for"] = "soon"
    words = {
        "Deployment": "imagePullpolicy",
        "HTTPRoute": "none",
        "ServiceMonitor": "intervall",
        "PrometheusRule": "soon",
    }
    for document in documents:
        with pytest.raises(AssertionError, match=words[kind]) if (kind := document["kind"]) in words else nullcontext():
            validate(document)


def pods(documents: list[Document]) -> Iterator[Document]:
    for document in documents:
        match document:
            case {"kind": "Pod", "spec": spec}:
                yield spec
            case {"kind": "Deployment", "spec": {"template": {"spec": spec}}}:
                yield spec
            case {"kind": "CronJob", "spec": {"jobTemplate": {"spec": {"template": {"spec": spec}}}}}:
                yield spec


def test_the_chart_has_no_lint() -> None:
    done = helm("lint", "--strict", CHART, *options(values_of("google", ALL)))
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ((), "/url"),
        (("url=registry.example.com",), "/url"),
        ((URL, "replicas=2"), "/replicas"),
        ((URL, "replica=2"), "replica"),
        ((URL, "stores.kind=s3"), "/stores/kind"),
        ((URL, "stores.kind=google"), "/stores/google"),
        ((*GOOGLE, "keys.existingSecret="), "/keys"),
        ((*GOOGLE, "access.mode=users"), "/access/users"),
        ((URL, "access.mode=everybody"), "/access/mode"),
        ((URL, "httpRoute.enabled=true"), "/httpRoute/parentRefs"),
        ((URL, "image.digest=latest"), "/image/digest"),
        ((URL, "stores.local.size=lots"), "/stores/local/size"),
        ((URL, "test.password=secret"), "password"),
        ((URL, "metrics.serviceMonitor.enabled=true"), "/metrics/enabled"),
        ((URL, "metrics.prometheusRule.enabled=true"), "/metrics/enabled"),
        ((URL, "metrics.enabled=true", "metrics.port=5000"), "/metrics/port"),
        ((URL, "networkPolicy.metricsFrom="), "/networkPolicy/metricsFrom"),
        ((URL, "backup.schedule=daily"), "/backup/schedule"),
    ],
)
def test_wrong_values_are_refused(values: tuple[str, ...], message: str) -> None:
    done = helm("template", "registry", CHART, "--kube-version", f"{KUBERNETES}.0", *options(values))
    assert done.returncode == 1
    assert "don't meet the specifications of the schema" in done.stderr
    assert message in done.stderr


def test_sqlite_has_one_process_and_a_claim_of_its_own() -> None:
    documents = render(*LOCAL)
    spec = only(documents, "Deployment")["spec"]
    assert (spec["replicas"], spec["strategy"]) == (1, {"type": "Recreate"})
    claim = only(documents, "PersistentVolumeClaim")
    assert claim["spec"]["accessModes"] == ["ReadWriteOnce"]
    assert claim["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
    volume = spec["template"]["spec"]["volumes"][0]
    assert volume["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]


def test_an_upgrade_keeps_the_claim_and_what_cannot_change(tmp_path: Path) -> None:
    """Kubernetes refuses changes of a selector; a claim of another name would be an empty registry."""
    newer = shutil.copytree(CHART, tmp_path / "chart")
    metadata = yaml.safe_load((newer / "Chart.yaml").read_text())
    (newer / "Chart.yaml").write_text(yaml.safe_dump({**metadata, "version": "9.9.9", "appVersion": "9.9.9"}))
    before = render(*LOCAL)
    after = render(*LOCAL, "image.tag=next", "podAnnotations.a=b", 'config=[rules]\nundelete = "30d"\n', chart=newer)

    assert only(after, "PersistentVolumeClaim") == only(before, "PersistentVolumeClaim")
    for kind in ("Deployment", "Service"):
        assert only(after, kind)["spec"]["selector"] == only(before, kind)["spec"]["selector"]
    assert only(after, "Deployment")["spec"]["template"] != only(before, "Deployment")["spec"]["template"]


def test_replicas_on_google_share_keys_and_are_replaced_one_by_one() -> None:
    account = "serviceAccount.annotations.iam\\.gke\\.io/gcp-service-account=registry@team-registry.example.com"
    documents = render(*GOOGLE, "replicas=3", account)
    assert not [each for each in documents if each["kind"] == "PersistentVolumeClaim"]
    deployment = only(documents, "Deployment")["spec"]
    assert deployment["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
    assert only(documents, "PodDisruptionBudget")["spec"]["maxUnavailable"] == 1
    assert "iam.gke.io/gcp-service-account" in only(documents, "ServiceAccount")["metadata"]["annotations"]
    assert environment_of(documents)["LADING_KEYS"] == "file:///etc/lading/keys/keys.json"
    assert only(documents, "CronJob")["spec"]["concurrencyPolicy"] == "Forbid"


def environment_of(documents: list[Document]) -> dict[str, str]:
    container = only(documents, "Deployment")["spec"]["template"]["spec"]["containers"][0]
    return {each["name"]: each["value"] for each in container["env"]}


@pytest.mark.parametrize("pair", PAIRS)
def test_the_variables_are_settings(pair: str) -> None:
    names = environment_of(render(*values_of(pair, ALL))).keys()
    assert names - {"LADING_CONFIG"} <= {setting.variable for setting in SETTINGS}


@pytest.mark.parametrize("tls", [(), FEATURES["tls"]], ids=["http", "https"])
def test_the_route_and_the_ingress_lead_to_the_service_with_bodies_of_any_size(tls: tuple[str, ...]) -> None:
    """What the one does, the other does: names, paths, backend, its protocol, and no limit of size or time."""
    documents = render(*values_of("local", ("gateway", "metrics")), *tls, "ingress.enabled=true", "service.port=8443")
    service = only(documents, "Service", "registry-lading")
    ingress, route = only(documents, "Ingress"), only(documents, "HTTPRoute")
    (rule,), (way,) = ingress["spec"]["rules"], route["spec"]["rules"]
    (path,), (match,), (backend,) = rule["http"]["paths"], way["matches"], way["backendRefs"]

    assert [rule["host"]] == route["spec"]["hostnames"] == ["registry.example.com"]
    assert (path["pathType"], path["path"]) == ("Prefix", "/")
    assert match == {"path": {"type": "PathPrefix", "value": "/"}}
    port = service["spec"]["ports"][0]["port"]
    assert path["backend"]["service"] == {"name": service["metadata"]["name"], "port": {"number": port}}
    assert backend == {"name": service["metadata"]["name"], "port": port}

    notes = {name.rpartition("/")[2]: value for name, value in ingress["metadata"]["annotations"].items()}
    assert (notes["proxy-body-size"], notes["proxy-request-buffering"], notes["proxy-buffering"]) == ("0", "off", "off")
    assert way["timeouts"] == {"request": "0s"}
    assert min(int(notes["proxy-read-timeout"]), int(notes["proxy-send-timeout"])) >= 3600
    assert notes.get("backend-protocol", "HTTP").lower() == service["spec"]["ports"][0]["appProtocol"]
    assert service["spec"]["ports"][0]["appProtocol"] == ("https" if tls else "http")


def test_names_of_the_route_and_the_ingress_can_be_others() -> None:
    documents = render(
        *values_of("local", ("gateway",)),
        "ingress.enabled=true",
        "ingress.host=a.example",
        "httpRoute.hostnames={b.example}",
    )
    assert only(documents, "Ingress")["spec"]["rules"][0]["host"] == "a.example"
    assert only(documents, "HTTPRoute")["spec"]["hostnames"] == ["b.example"]


def test_the_chart_has_the_version_of_the_program() -> None:
    project = tomllib.loads((CHART.parents[2] / "pyproject.toml").read_text())["project"]
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["apiVersion"] == "v2"
    assert chart["version"] == chart["appVersion"] == project["version"]


def test_helm_test_pushes_and_pulls(stores: Stores, tmp_path: Path, environment: Mapping[str, str]) -> None:
    """The hook's own program, at a registry that serves."""
    pod = only(render(*LOCAL, "test.existingSecret=login", "test.repository=team/test"), "Pod")
    assert pod["metadata"]["annotations"]["helm.sh/hook"] == "test"
    (container,) = pod["spec"]["containers"]
    variables, _ = user_environment(tmp_path / "users")
    with serving({**environment, **variables}, tmp_path / "log") as server:
        done = run_hook(container, server.port, "secret")
        assert (done.returncode, done.stdout) == (0, "pushed to team/test and pulled from it\n"), done.stderr
        refused = run_hook(container, server.port, "wrong")
        assert refused.returncode == 1
        assert "401" in refused.stderr


def run_hook(container: Mapping[str, Any], port: int, password: str) -> subprocess.CompletedProcess[str]:
    program, option, script = container["command"]
    url, repository = container["args"]
    assert (program, option, url) == ("python", "-c", "http://registry-lading:80")
    words = [sys.executable, option, script, f"http://127.0.0.1:{port}", repository]
    login = {"TEST_USER": "admin", "TEST_PASSWORD": password}
    return subprocess.run(words, env={**os.environ, **login}, capture_output=True, text=True, timeout=60, check=False)


def test_no_secret_is_a_value() -> None:
    text = json.dumps(yaml.safe_load((CHART / "values.yaml").read_text())).lower()
    assert "password" not in text.replace('"username"', "")
    templates = [path.read_text() for path in (CHART / "templates").rglob("*.yaml")]
    assert not [text for text in templates if "kind: Secret\n" in text]

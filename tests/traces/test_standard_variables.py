"""OpenTelemetry's own variables have their effect, and Google's endpoint gets Google's credentials."""

from pathlib import Path
from typing import Any

import google.auth
import pytest
from google.auth.credentials import AnonymousCredentials
from google.auth.exceptions import DefaultCredentialsError
from google.auth.transport.requests import AuthorizedSession

import lading
from lading import settings
from lading.settings import SettingsError
from lading.traces import exporter
from lading.traces.traces import Traces
from tests.support.otlp_collector import Collector
from tests.traces.traced_registry import tracing

GOOGLE_ENDPOINTS = [
    "https://telemetry.googleapis.com",
    "https://telemetry.googleapis.com:443/v1/traces",
    "https://telemetry.europe-west1.rep.googleapis.com",
]
OTHER_ENDPOINTS = [
    "http://127.0.0.1:4318",
    "https://telemetry.googleapis.com.example.com",
    "https://nottelemetry.googleapis.com",
    "https://example.com/telemetry.googleapis.com",
    "https://telemetry.googleapis.com@example.com",
]


def test_the_service_and_the_headers_are_those_of_the_environment(
    tmp_path: Path, enabled: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    with tracing(tmp_path) as registry:
        registry.send()
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "service.name=other,deployment.environment.name=test")
    with tracing(tmp_path) as registry:
        registry.send()
    monkeypatch.setenv("OTEL_SERVICE_NAME", "registry-of-a-team")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "api-key=1234")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")
    with tracing(tmp_path) as registry:
        registry.send()
    enabled.wait_for(lambda: len(enabled.named("end-1")) == 3)

    found = [span.resource for span in enabled.named("end-1")]
    assert [each["service.name"] for each in found] == ["lading", "other", "registry-of-a-team"]
    assert {each["service.version"] for each in found} == {lading.__version__}
    assert found[2]["deployment.environment.name"] == "test"
    assert enabled.headers[-1]["api-key"] == "1234"
    assert enabled.headers[-1]["Content-Encoding"] == "gzip"


def test_an_endpoint_for_traces_alone_counts(
    tmp_path: Path, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", f"{collector.endpoint}/v1/traces")
    with tracing(tmp_path) as registry:
        registry.send()
    collector.wait_for(lambda: collector.named("end-1"))


@pytest.fixture
def scopes(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The scopes for which this process' credentials were loaded."""
    asked: list[Any] = []

    def default(scopes: list[str]) -> tuple[AnonymousCredentials, str]:
        asked.append(scopes)
        return AnonymousCredentials(), "some-project"  # type: ignore[no-untyped-call]

    monkeypatch.setattr(google.auth, "default", default)
    return asked


@pytest.mark.parametrize("endpoint", GOOGLE_ENDPOINTS)
def test_googles_endpoint_gets_googles_credentials(
    endpoint: str, scopes: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    session, attributes = exporter._google_session(endpoint)
    assert isinstance(session, AuthorizedSession)
    assert attributes == {"gcp.project_id": "some-project"}
    assert scopes == [["https://www.googleapis.com/auth/trace.append"]]


@pytest.mark.parametrize("endpoint", OTHER_ENDPOINTS)
def test_no_other_endpoint_gets_them(endpoint: str, scopes: list[Any]) -> None:
    assert exporter._google_session(endpoint) == (None, {})
    assert scopes == []


def test_the_spans_name_googles_project(
    tmp_path: Path, enabled: Collector, scopes: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporter, "GOOGLE_HOST", "127.0.0.1")
    with tracing(tmp_path) as registry:
        registry.send()
    enabled.wait_for(lambda: enabled.named("end-1"))
    assert enabled.spans[0].resource["gcp.project_id"] == "some-project"
    assert enabled.spans[0].resource["service.name"] == "lading"


def test_without_credentials_for_google_the_start_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def default(scopes: list[str]) -> None:
        raise DefaultCredentialsError("none were found")  # type: ignore[no-untyped-call]

    monkeypatch.setattr(google.auth, "default", default)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", GOOGLE_ENDPOINTS[0])
    with pytest.raises(SettingsError, match=r"telemetry\.googleapis\.com need Google credentials"):
        Traces(settings.load_settings({}))

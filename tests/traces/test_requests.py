"""What the spans of requests say, and what they never say."""

from pathlib import Path

import pytest

from lading_storage.errors import Unavailable
from lading_storage.local.sqlite import SqliteMetadata
from tests.support import images
from tests.support.otlp_collector import Collector
from tests.support.server_process import user_environment
from tests.traces.traced_registry import serving_traces, tracing

LONG = "x" * 30_000


def test_a_request_has_the_attributes_of_the_conventions(tmp_path: Path, enabled: Collector) -> None:
    with tracing(tmp_path) as registry:
        response = registry.request("HEAD", "/v2/team/app/manifests/v1", USER_AGENT="docker/28.0.1 (linux)")
        response.close()
    enabled.wait_for(lambda: enabled.named("end-3"))

    (span,) = enabled.named("end-3")
    assert (span.kind, span.parent, span.failed) == ("server", "", False)
    assert span.attributes == {
        "http.request.method": "HEAD",
        "http.route": "/v2/<name>/manifests/<last>",
        "http.response.status_code": 404,
        "url.path": "/v2/team/app/manifests/v1",
        "url.scheme": "http",
        "network.protocol.version": "1.1",
        "client.address": "127.0.0.1",
        "user_agent.original": "docker/28.0.1 (linux)",
        "lading.repository": "team/app",
        "lading.request_id": dict(response.headers)["X-Request-Id"],
    }
    children = [each for each in enabled.spans if each.parent == span.id]
    assert [each.name for each in sorted(children, key=lambda each: each.began)] == [
        "authenticate",
        "authorize",
        "sqlite read",
    ]
    assert all(span.began <= each.began <= each.ended <= span.ended for each in children)


def test_no_span_has_credentials(tmp_path: Path, collector: Collector) -> None:
    variables, authorization = user_environment(tmp_path / "users")
    with serving_traces(tmp_path, collector, variables) as server:
        sent = {"Authorization": authorization}
        server.request("GET", "/v2/token?service=x&scope=repository:team/app:pull", headers=sent)
        server.request("GET", "/v2/", headers={"Authorization": "Bearer secret-token"})
        server.request("GET", "/v2/team/app/tags/list?n=1&last=secret-query", headers=sent)
        form = "grant_type=password&service=x&username=admin&password=secret"
        server.request("POST", "/v2/token", form, {"Content-Type": "application/x-www-form-urlencoded"})
    collector.wait_for(lambda: len([each for each in collector.spans if each.kind == "server"]) >= 4)

    said = repr(collector.spans)
    for secret in ("secret", "admin", authorization.partition(" ")[2], "Bearer"):
        assert secret not in said
    (refused,) = [each for each in collector.named("authenticate") if each.failed]
    assert refused.attributes == {"error.type": "UNAUTHORIZED"}


def test_no_client_makes_a_span_large(tmp_path: Path, enabled: Collector) -> None:
    # The collector refuses values of more than 4,000 characters.
    with tracing(tmp_path) as registry:
        assert registry.send(LONG, f"/{LONG}", USER_AGENT=LONG, TRACESTATE=f"a={LONG}") == 404
        assert registry.send("GET", f"/v2/{'a/' * 10_000}x/tags/list") == 400
        assert registry.send("GET", "/v2/\x00é/tags/list") == 400
    enabled.wait_for(lambda: len([each for each in enabled.spans if each.kind == "server"]) == 3)

    (unknown,) = enabled.named("none")
    assert unknown.attributes["http.request.method"] == "_OTHER"
    assert "http.route" not in unknown.attributes


def test_a_store_that_fails_is_marked_without_its_text(
    tmp_path: Path, enabled: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    with tracing(tmp_path) as registry:
        monkeypatch.setattr(SqliteMetadata, "read", _fail)
        assert registry.send("GET", "/v2/team/app/manifests/v1") == 503
        monkeypatch.undo()
    enabled.wait_for(lambda: enabled.named("end-3"))

    failed = {each.name: each.attributes["error.type"] for each in enabled.spans if each.failed}
    assert failed == {"end-3": "503", "sqlite read": "Unavailable"}
    assert "a secret text" not in repr(enabled.spans)


def _fail(*_: object, **__: object) -> None:
    raise Unavailable("a secret text")


def test_a_streamed_response_belongs_to_its_span(tmp_path: Path, enabled: Collector) -> None:
    layer = images.blob(300_000)
    with tracing(tmp_path) as registry:
        response = registry.request("GET", f"/v2/team/app/blobs/{registry.push_blob(layer)}")
        chunks = iter(response)
        next(chunks)
        assert enabled.named("end-2") == []
        response.close()
    enabled.wait_for(lambda: enabled.named("end-2"))

"""Spans of jobs, of requests to Google, of signatures, and of queries in other threads."""

import contextlib
from pathlib import Path

import pytest

from lading import settings
from lading.app import App
from lading.auth_composition import open_authenticator
from lading.concurrent_map import map_concurrently
from lading.registry.registry import Registry
from lading.traces.traces import Traces
from lading_storage.digests import digest_of
from lading_storage.errors import Unavailable
from lading_storage.google.url_signers import ForwardingSigner, HmacSigner
from lading_storage.stores import Stores
from tests.support import images
from tests.support.auth_fixtures import iam, local_stores, world
from tests.support.fake_iam_world import BUCKET, PULL, URL, FakeIamWorld
from tests.support.otlp_collector import Collector
from tests.support.server_process import basic
from tests.traces.traced_registry import TracedRegistry, serving_traces

__all__ = ["iam", "local_stores", "world"]


def test_jobs_have_a_span_where_they_did_something(tmp_path: Path, collector: Collector) -> None:
    with serving_traces(tmp_path, collector) as server:
        layer = images.blob()
        for content in (layer, images.EMPTY_CONFIG):
            path = f"/v2/team/app/blobs/uploads/?digest={digest_of(content)}"
            assert server.request("POST", path, content)[0].status == 201
        headers = {"Content-Type": "application/vnd.oci.image.manifest.v1+json"}
        manifest = images.manifest([layer])
        assert server.request("PUT", "/v2/team/app/manifests/v1", manifest, headers)[0].status == 201
        collector.wait_for(lambda: collector.named("job publish"))

    span = collector.named("job publish")[0]
    assert (span.kind, span.parent, span.failed) == ("internal", "", False)
    assert span.attributes["lading.job.events_published"] >= 1
    assert [each for each in collector.spans if each.parent == span.id] == []
    # It runs each second, and had nothing more to do.
    assert len(collector.named("job publish", "job deliver")) == 1


def test_a_job_that_fails_has_a_failed_span(enabled: Collector) -> None:
    class Failing:
        throttle = None

        def run(self, limit: object) -> None:
            raise Unavailable("a text")

    with contextlib.closing(Traces(settings.load_settings({}))) as traces, pytest.raises(Unavailable):
        traces.job("collect", Failing()).run()  # type: ignore[arg-type]
    enabled.wait_for(lambda: enabled.spans)
    assert enabled.spans[0].failed
    assert enabled.spans[0].attributes == {"error.type": "Unavailable"}


def test_requests_to_google_belong_to_the_decision_that_needs_them(
    enabled: Collector, world: FakeIamWorld, local_stores: Stores
) -> None:
    token = world.token("alice")
    world.folder("", PULL, member="user:alice@example.com")
    read = settings.load_settings({"LADING_ACCESS": f"gs://{BUCKET}", "LADING_URL": URL, "LADING_FOLDERS": "a,b,c"})
    with contextlib.closing(Traces(read)) as traces:
        authenticator = traces.authenticator(
            open_authenticator(read, local_stores.metadata, google=traces.google_client)
        )
        app = App(Registry(local_stores.blobs, local_stores.metadata), read, authenticator)
        traces.observe(app)
        registry = TracedRegistry(app)
        sent = basic("oauth2accesstoken", token)
        assert registry.send("GET", "/v2/a/app/manifests/v1", AUTHORIZATION=sent) == 404
        assert registry.send("GET", "/v2/token?service=x&scope=repository:a/app:pull", AUTHORIZATION=sent) == 200
        assert registry.send("GET", "/v2/_catalog", AUTHORIZATION=sent) == 200
    enabled.wait_for(lambda: enabled.named("_catalog", "end-12", "catalog") or len(enabled.named("authorize")) >= 3)

    names = {span.id: span.name for span in enabled.spans}
    asked = {(span.name, names[span.parent], span.kind) for span in enabled.spans if span.name.startswith("google ")}
    assert asked == {
        ("google tokeninfo", "authenticate", "client"),
        ("google testPermissions", "authorize", "client"),
    }
    assert token not in repr(enabled.spans)
    assert "alice" not in repr(enabled.spans)


def test_a_signature_has_a_span_within_the_request(enabled: Collector) -> None:
    with contextlib.closing(Traces(settings.load_settings({}))) as traces:
        signer = ForwardingSigner(HmacSigner("ID", "secret"), traces.signer_hook)
        assert signer.principal() == "ID"
        with traces._tracer.start_as_current_span("end-2"):
            signature = signer.sign(b"text", "20261128")
    assert signature == HmacSigner("ID", "secret").sign(b"text", "20261128")
    enabled.wait_for(lambda: enabled.named("end-2"))
    (span,) = enabled.named("sign URL")
    assert (span.kind, span.parent) == ("client", enabled.named("end-2")[0].id)
    assert "secret" not in repr(enabled.spans)


def test_queries_in_other_threads_belong_to_the_request(enabled: Collector, local_stores: Stores) -> None:
    with contextlib.closing(Traces(settings.load_settings({}))) as traces:
        metadata = traces.metadata(local_stores.metadata)
        with traces._tracer.start_as_current_span("end-8a"):
            assert len(map_concurrently(lambda _: metadata.read([]), range(9), 4)) == 9
    enabled.wait_for(lambda: enabled.named("end-8a"))
    (root,) = enabled.named("end-8a")
    assert [span.parent for span in enabled.named("sqlite read")] == [root.id] * 9


def test_a_call_outside_a_request_has_no_span(enabled: Collector, local_stores: Stores) -> None:
    with contextlib.closing(Traces(settings.load_settings({}))) as traces:
        traces.metadata(local_stores.metadata).read([])
        with traces._tracer.start_as_current_span("end"):
            pass
    enabled.wait_for(lambda: enabled.named("end"))
    assert enabled.names() == {"end": 1}

"""A collector counts exactly the calls of the stores that tests/benchmarks/test_store_calls.py counts."""

import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from lading import settings
from lading.app import App
from lading.auth.authenticator import OpenAuthenticator
from lading.composition import open_blobs, open_metadata
from lading.registry.registry import Registry
from lading.traces.traces import Traces
from lading_storage.stores import Stores
from tests.benchmarks import images
from tests.benchmarks.images import Pusher, pusher
from tests.benchmarks.peers import Peer
from tests.benchmarks.store_calls import OPERATIONS, Operation
from tests.support.call_counts import serve_app_in_process
from tests.support.otlp_collector import Collector

STORES = {"local": ("sqlite", "filesystem"), "google": ("firestore", "gcs")}


@pytest.fixture
def traced(
    environment: Mapping[str, str], tmp_path: Path, enabled: Collector, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Peer, Pusher, Collector]]:
    """A traced registry over a pair of stores, and its client."""
    (tmp_path / "hmac").write_text("GOOG1EXAMPLE a-secret-of-forty-characters-as-they-are\n")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    read = settings.load_settings(environment)
    traces = Traces(read)
    blobs = traces.blobs(open_blobs(read.blobs, tmp_path / "hmac", signer_hook=traces.signer_hook))
    stores = Stores(blobs, traces.metadata(open_metadata(read.metadata)))
    app = App(Registry(stores.blobs, stores.metadata), read, OpenAuthenticator())
    traces.observe(app)
    with serve_app_in_process(app) as address:
        peer = Peer("lading", address)
        with pusher(peer) as push:
            yield peer, push, enabled
    traces.close()


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
def test_an_operation_has_a_span_for_each_call(
    traced: tuple[Peer, Pusher, Collector], operation: Operation, environment: Mapping[str, str]
) -> None:
    peer, push, collector = traced
    metadata, blobs = STORES["google" if "LADING_BLOBS" in environment else "local"]
    # A folder has no address to redirect to.
    storage = ("open",) if (operation.name, blobs) == ("GET a blob", "filesystem") else operation.storage
    image = images.image(peer)
    push.request("GET", image.manifest())
    began = time.time_ns()

    operation.act(push, image)

    expected = [f"{metadata} {call}" for call in operation.metadata] + [f"{blobs} {call}" for call in storage]
    requests = 3 if operation.name.startswith("push a layer") else 1
    collector.wait_for(lambda: len([each for each in collector.since(began) if each.kind == "server"]) == requests)
    spans = collector.since(began)
    calls = [span for span in spans if span.name.startswith((f"{metadata} ", f"{blobs} "))]
    assert sorted(span.name for span in calls) == sorted(expected)
    assert {span.kind for span in calls} <= {"client" if metadata == "firestore" else "internal"}
    roots = {span.id: span for span in spans if span.kind == "server"}
    assert all(roots[span.parent].trace == span.trace for span in calls)
    signed = [span for span in spans if span.name == "sign URL"]
    assert len(signed) == (operation.name == "GET a blob" and blobs == "gcs")

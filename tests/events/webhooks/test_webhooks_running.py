"""Webhooks where they run: in `lading serve` beside the publisher, and as the command `lading events publish`."""

import threading
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from standardwebhooks.webhooks import Webhook as Verifier

from lading.composition import open_metadata
from lading.registry.content.manifest_format import OCI_MANIFEST
from lading.registry.identity import identity_of
from lading.settings import load_settings
from lading.webhook_composition import open_webhook_admin
from lading_storage.digests import digest_of
from lading_storage.protocols import Create, MetadataStore
from lading_storage.query import Query
from lading_storage.records.events import Delivery, Event
from lading_storage.stores import Stores
from tests.events.outbox_events import event
from tests.support.folder_stores import folder_stores
from tests.support.images import EMPTY_CONFIG, manifest
from tests.support.server_process import Server, run_lading, serving, wait_until
from tests.support.webhook_receiver import Receiver, receiver

NETWORKS = {"LADING_WEBHOOK_NETWORKS": "127.0.0.0/8"}


def added(url: str, environment: Mapping[str, str], id: str, types: Sequence[str] = ()) -> str:
    """Add a webhook; return its secret."""
    settings = load_settings({**environment, **NETWORKS})
    metadata = open_metadata(settings.metadata)
    _, secret = open_webhook_admin(settings, metadata).add(url, types, id=id)
    metadata.close()
    return secret


def put(metadata: MetadataStore, count: int, first: int = 0) -> list[Event]:
    events = [event(number, moved=datetime.now(UTC)) for number in range(first, first + count)]
    metadata.commit([Create(each) for each in events])
    return events


def push(server: Server, repository: str, tag: str) -> bytes:
    """Push an image over HTTP; return its manifest."""
    content = manifest([b"layer"])
    for blob in (b"layer", EMPTY_CONFIG):
        path = f"/v2/{repository}/blobs/uploads/?digest={digest_of(blob)}"
        assert server.request("POST", path, blob, {"Content-Type": "application/octet-stream"})[0].status == 201
    path = f"/v2/{repository}/manifests/{tag}"
    assert server.request("PUT", path, content, {"Content-Type": OCI_MANIFEST})[0].status == 201
    return content


def ids(endpoint: Receiver) -> set[str]:
    return {each.headers["webhook-id"] for each in endpoint.received}


def test_a_server_delivers_and_an_endpoint_that_hangs_holds_up_neither_events_nor_its_end(tmp_path: Path) -> None:
    environment = {"LADING_DATA": str(tmp_path / "data"), "LADING_LOG": "json", **NETWORKS}
    stores, ending = folder_stores(tmp_path / "data"), threading.Event()
    identity_of(stores.metadata)
    with receiver() as good, receiver() as hanging, serving(environment, tmp_path / "log") as server:
        hanging.respond = lambda _: (204 if ending.wait(60) else 500, {})
        secret = added(good.url, environment, "good")
        added(hanging.url, environment, "hanging")
        first = put(stores.metadata, 20)
        wait_until(lambda: len(good.received) == 20, server)
        second = put(stores.metadata, 20, first=20)
        wait_until(lambda: stores.metadata.find(Query(Event, limit=1)) == [], server)
        wait_until(lambda: len(good.received) == 40, server)
        assert server.stop() == 0
        ending.set()
    for each in good.received:
        assert Verifier(secret).verify(each.body, dict(each.headers))["id"] in ids(good)
    assert ids(good) == {each.name for each in first + second}
    assert {each.webhook for each in stores.metadata.find(Query(Delivery, limit=100))} == {"hanging"}
    log = server.log.read_text()
    assert "Traceback" not in log
    assert secret.removeprefix("whsec_") not in log
    stores.close()


def test_a_push_is_delivered(tmp_path: Path) -> None:
    environment = {"LADING_DATA": str(tmp_path / "data"), **NETWORKS}
    with receiver() as endpoint, serving(environment, tmp_path / "log") as server:
        secret = added(endpoint.url, environment, "one", ["tag.moved"])
        content = push(server, "team/app", "v1")
        wait_until(lambda: endpoint.received != [], server)
        (request,) = endpoint.received
    body = Verifier(secret).verify(request.body, dict(request.headers))
    assert (body["subject"], body["data"]["digest"]) == ("team/app:v1", digest_of(content))


def test_the_command_publishes_and_delivers(environment: Mapping[str, str], stores: Stores, tmp_path: Path) -> None:
    settings = {
        **environment,
        **NETWORKS,
        "LADING_URL": "https://registry.example.com",
        "LADING_KEYS": (tmp_path / "keys.json").as_uri(),
    }
    identity_of(stores.metadata)
    with receiver() as endpoint:
        secret = added(endpoint.url, settings, "one")
        events = put(stores.metadata, 30)
        done = run_lading(["events", "publish"], tmp_path, settings)
        assert done.returncode == 0, done.stderr
        assert "30 events published" in done.stdout
        assert "30 delivered" in done.stdout
    assert ids(endpoint) == {each.name for each in events}
    body = Verifier(secret).verify(endpoint.received[0].body, dict(endpoint.received[0].headers))
    assert body["source"] == "https://registry.example.com/team/app"
    assert stores.metadata.find(Query(Delivery, limit=1)) == []

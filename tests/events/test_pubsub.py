"""The sink of a Pub/Sub topic, against a strict fake."""

import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from lading.events import pubsub
from lading.events.cloud_event import cloud_event
from lading.events.publisher import Publisher
from lading.events.pubsub import CloudEvents, Notifications, PubSubSink
from lading_storage.protocols import Create
from lading_storage.query import Query
from lading_storage.records.events import Event
from lading_storage.stores import Stores
from tests.events.fake_pubsub import FakePubSub, Fault, error, fake_pubsub
from tests.events.outbox_events import DIGEST, event
from tests.events.recording_sink import RecordingSink
from tests.support.fake_clock import FakeClock

EVENTS = "projects/p/topics/events"
GCR = "projects/p/topics/gcr"
URL = "https://registry.example.com"


@pytest.fixture
def service() -> Iterator[FakePubSub]:
    with fake_pubsub(EVENTS, GCR) as started:
        yield started


@pytest.fixture
def sink(service: FakePubSub) -> PubSubSink:
    return PubSubSink("events", EVENTS, CloudEvents(URL), {"PUBSUB_EMULATOR_HOST": service.address})


def names(*events: Event) -> set[str]:
    return {each.name for each in events}


def test_messages_are_cloud_events_in_the_order_of_their_repository(service: FakePubSub, sink: PubSubSink) -> None:
    events = [event(number, f"r{number % 3}") for number in range(9)]

    outcome = sink.publish(events)

    assert (outcome.accepted, outcome.refused, outcome.down) == (names(*events), {}, "")
    assert service.requests == 3, "one for each ordering key"
    for repository in ("r0", "r1", "r2"):
        sent = [each for each in service.data(EVENTS) if each["data"]["repository"] == repository]
        assert sent == [cloud_event(each, URL) for each in events if each.target == repository]
    for each in service.messages[EVENTS]:
        published = next(one for one in events if one.name == each["attributes"]["id"])
        assert each["orderingKey"] == published.target
        assert each["attributes"] == {
            "id": published.name,
            "sequence": published.sequence,
            "repository": published.target,
            "type": "dev.lading.tag.moved.v1",
            "content-type": "application/cloudevents+json",
        }


def test_notifications_leave_out_what_artifact_registry_does_not_send(service: FakePubSub) -> None:
    sink = PubSubSink("n", GCR, Notifications(URL), {"PUBSUB_EMULATOR_HOST": service.address})
    events = [event(1, type="image.pushed", tagged=True), event(2), event(3, type="repository.deleted", digest="")]

    assert sink.publish(events).accepted == names(*events)
    assert sink.publish(events[:1]).accepted == names(events[0])

    name = "registry.example.com/team/app"
    assert service.data(GCR) == [{"action": "INSERT", "digest": f"{name}@{DIGEST}", "tag": f"{name}:v1"}]
    assert service.requests == 1, "none without a message"


@pytest.mark.parametrize("status", [400, 413])
def test_a_refused_request_concerns_its_repository_alone(status: int, service: FakePubSub, sink: PubSubSink) -> None:
    def refuse(fake: FakePubSub, messages: list[dict[str, Any]]) -> tuple[int, bytes] | None:
        return error(status, "no") if messages[0]["orderingKey"] == "bad" else None

    service.fault = refuse
    events = [event(1, "bad"), event(2, "good"), event(3, "bad")]
    outcome = sink.publish(events)
    assert (outcome.accepted, outcome.refused, outcome.down) == (
        names(events[1]),
        {"bad": f"Pub/Sub: {status}, no"},
        "",
    )


@pytest.mark.parametrize("status", [307, 401, 403, 404, 409, 429, 500, 503])
def test_any_other_status_means_that_the_topic_is_down(status: int, service: FakePubSub, sink: PubSubSink) -> None:
    service.fault = lambda fake, messages: error(status, "wait")
    outcome = sink.publish([event(1), event(2, "other")])
    assert (outcome.accepted, outcome.refused, outcome.down) == (set(), {}, f"Pub/Sub: {status}, wait")
    assert service.requests == 1, "the rest is not tried"


PARTIAL: dict[str, bytes] = {
    "nothing": b"",
    "no JSON": b'{"messageIds": ["1"',
    "no ids": b"{}",
    "too few ids": b'{"messageIds": ["1"]}',
    "too many ids": b'{"messageIds": ["1", "2", "3"]}',
    "empty ids": b'{"messageIds": ["1", ""]}',
    "a list": b'["1", "2"]',
    "nested": b"[" * 100_000,
}


@pytest.mark.parametrize("body", PARTIAL.values(), ids=PARTIAL)
def test_a_response_without_all_ids_counts_as_none(body: bytes, service: FakePubSub, sink: PubSubSink) -> None:
    service.fault = lambda fake, messages: (200, body)
    outcome = sink.publish([event(1), event(2)])
    assert (outcome.accepted, outcome.refused) == (set(), {})
    assert "without an id for each message" in outcome.down


def test_a_topic_that_does_not_respond_is_down(
    service: FakePubSub, sink: PubSubSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    continues = threading.Event()
    service.fault = lambda fake, messages: error(500, str(continues.wait()))
    with monkeypatch.context() as patch:
        patch.setattr(pubsub, "TIMEOUTS", (3.05, 0.1))
        assert sink.publish([event()]).down == "no response of Pub/Sub: ReadTimeout"
    continues.set()
    service.fault, service.closes = None, True
    assert sink.publish([event()]).down == "no response of Pub/Sub: ConnectionError"
    nowhere = PubSubSink("events", EVENTS, CloudEvents(URL), {"PUBSUB_EMULATOR_HOST": "127.0.0.1:1"})
    assert nowhere.publish([event()]).down == "no response of Pub/Sub: ConnectionError"


def test_a_process_without_credentials_is_as_good_as_down(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "/nowhere.json")
    outcome = PubSubSink("events", EVENTS, CloudEvents(URL), {}).publish([event()])
    assert (outcome.accepted, outcome.down) == (set(), "no response of Pub/Sub: DefaultCredentialsError")


def test_requests_are_within_the_limits(service: FakePubSub, sink: PubSubSink, monkeypatch: pytest.MonkeyPatch) -> None:
    events = [event(number) for number in range(2001)]
    assert sink.publish(events).accepted == names(*events)
    assert service.requests == 3, "of 1,000 messages at most"
    assert service.ids(EVENTS) == [each.name for each in events]

    long = [event(number, by="x" * 4_000_000) for number in range(3000, 3003)]
    assert sink.publish(long).accepted == names(*long)
    assert service.requests == 3 + 3, "of 10 MB at most"


def test_what_no_request_can_hold_is_refused_without_one(service: FakePubSub, sink: PubSubSink) -> None:
    large, after = event(1, by="x" * 8_000_000), event(2)
    outcome = sink.publish([event(0), large, after])
    assert (outcome.accepted, outcome.refused) == (
        names(event(0)),
        {"team/app": "a message is larger than 10000000 bytes"},
    )
    name = "ü" * 513
    assert sink.publish([event(0, name)]).refused == {name: "the name is longer than 1024 bytes"}
    assert service.requests == 1


FAULTS: dict[str, Fault] = {
    "503": lambda fake, messages: error(503, "x"),
    "429": lambda fake, messages: error(429, "x"),
    "403": lambda fake, messages: error(403, "x"),
    "404": lambda fake, messages: error(404, "x"),
    # The response is lost: the messages are there.
    "published, no ids": lambda fake, messages: (200, fake.publish(EVENTS, messages)[1][:10]),
    "published, then 503": lambda fake, messages: (503, fake.publish(EVENTS, messages)[1]),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_after_a_fault_all_is_there_in_order(
    fault: Fault, service: FakePubSub, sink: PubSubSink, stores: Stores
) -> None:
    events = [event(number, f"r{number % 4}") for number in range(120)]
    for start in (0, 60):
        stores.metadata.commit([Create(each) for each in events[start : start + 60]])
    healthy, clock = RecordingSink("healthy"), FakeClock()
    publisher = Publisher(stores.metadata, [sink, healthy], clock)
    passed = 2

    def sometimes(fake: FakePubSub, messages: list[dict[str, Any]]) -> tuple[int, bytes] | None:
        nonlocal passed
        passed = (passed + 1) % 4
        return fault(fake, messages) if passed == 3 else None

    service.fault = sometimes
    for _ in range(20):
        publisher.run()
        clock.advance(minutes=2)
    service.fault = None
    publisher.run()

    ids = service.ids(EVENTS)
    assert set(ids) == names(*events)
    assert sorted(healthy.names) == sorted(names(*events)), "each once"
    for number in range(4):
        own = [each.name for each in events if each.target == f"r{number}"]
        assert list(dict.fromkeys(name for name in ids if name in own)) == own
    assert stores.metadata.find(Query(Event, limit=1)) == []


def test_nothing_of_a_response_but_googles_message_is_repeated(service: FakePubSub, sink: PubSubSink) -> None:
    service.fault = lambda fake, messages: (403, json.dumps({"error": {"message": "x" * 1000}}).encode())
    assert sink.publish([event()]).down == f"Pub/Sub: 403, {'x' * 200}"
    service.fault = lambda fake, messages: (503, b"<html>")
    assert sink.publish([event()]).down == "Pub/Sub: 503"

"""From a change of the registry to the messages of both topics: what was changed, exactly, and in order."""

import json
import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from lading.events.publisher import Publisher
from lading.events.pubsub import CloudEvents, Notifications, PubSubSink
from lading.registry.errors import RegistryError
from lading.registry.registry import Registry
from lading_storage.query import Query
from lading_storage.records.events import Event, PublishedEvent
from lading_storage.stores import Stores
from tests.events.fake_pubsub import FakePubSub, error, fake_pubsub
from tests.support.fake_clock import FakeClock
from tests.support.registry_pushes import push_image

EVENTS = "projects/p/topics/events"
GCR = "projects/p/topics/gcr"
HOST = "registry.example.com"


@pytest.fixture
def service() -> Iterator[FakePubSub]:
    with fake_pubsub(EVENTS, GCR) as started:
        yield started


@pytest.fixture
def publisher(stores: Stores, service: FakePubSub, clock: FakeClock) -> Publisher:
    url, environment = f"https://{HOST}", {"PUBSUB_EMULATOR_HOST": service.address}
    sinks = (
        PubSubSink("events", EVENTS, CloudEvents(url), environment),
        PubSubSink("notifications", GCR, Notifications(url), environment),
    )
    return Publisher(stores.metadata, sinks, clock)


def test_each_change_is_a_notification_as_artifact_registry_has_it(
    registry: Registry, publisher: Publisher, service: FakePubSub, clock: FakeClock
) -> None:
    def done(change: Callable[[], Any]) -> Any:
        result = change()
        publisher.run()
        clock.advance(seconds=1)
        return result

    first = done(lambda: push_image(registry, "a/b", "v1", "latest"))
    second = done(lambda: push_image(registry, "a/b", "latest"))
    untagged = done(lambda: push_image(registry, "a/b"))
    done(lambda: registry.rollback.to_digest("a/b", "latest", first.digest))
    done(lambda: registry.tags.delete("a/b", "v1"))
    done(lambda: registry.undelete.tag("a/b", "v1"))
    done(lambda: registry.deletion.manifest("a/b", second.digest))
    done(lambda: registry.undelete.manifest("a/b", second.digest))
    with pytest.raises(RegistryError):
        registry.tags.delete("a/b", "v9")
    with pytest.raises(RegistryError):
        registry.undelete.tag("a/b", "v9")
    done(lambda: None)

    name = f"{HOST}/a/b"
    found = [tuple(each.values()) for each in service.data(GCR)]
    assert sorted(found[:2]) == [
        ("INSERT", f"{name}@{first.digest}", f"{name}:latest"),
        ("INSERT", f"{name}@{first.digest}", f"{name}:v1"),
    ]
    assert found[2:] == [
        ("INSERT", f"{name}@{second.digest}", f"{name}:latest"),
        ("INSERT", f"{name}@{untagged.digest}"),
        ("INSERT", f"{name}@{first.digest}", f"{name}:latest"),
        ("DELETE", f"{name}:v1"),
        ("INSERT", f"{name}@{first.digest}", f"{name}:v1"),
        ("DELETE", f"{name}@{second.digest}"),
    ]
    assert [[*each] for each in service.data(GCR)[2:4]] == [["action", "digest", "tag"], ["action", "digest"]]
    latest = [each["data"] for each in service.data(EVENTS) if each["subject"] == "a/b:latest"]
    assert [each.get("previousDigest") for each in latest] == [None, first.digest, second.digest]


def test_the_messages_are_the_changes_whatever_fails(
    registry: Registry, publisher: Publisher, stores: Stores, service: FakePubSub, clock: FakeClock
) -> None:
    """Random changes, a clock that is set back, a topic that fails, and two publishers that take turns."""
    chance = random.Random(19)
    other = Publisher(stores.metadata, list(publisher._sinks.values()), clock)
    service.fault = lambda fake, messages: error(503, "x") if chance.random() < 0.2 else None
    created: dict[str, Event] = {}
    digests = {name: [push_image(registry, name, "v1").digest for _ in range(2)] for name in ("a", "b", "c")}

    for _ in range(60):
        name = chance.choice(list(digests))
        match chance.randrange(4):
            case 0:
                digests[name].append(push_image(registry, name, "v1").digest)
            case 1:
                push_image(registry, name, f"t{chance.randrange(3)}")
            case 2:
                registry.rollback.to_digest(name, "v1", chance.choice(digests[name]))
            case 3:
                push_image(registry, name)
        clock.advance(seconds=chance.choice((-3600, 0, 1, 120)))
        created |= {each.name: each for each in stores.metadata.find(Query(Event, limit=1000))}
        chance.choice((publisher, other)).run()
    service.fault = None
    for _ in range(3):
        clock.advance(minutes=2)
        publisher.run()

    assert stores.metadata.find(Query(Event, limit=1)) == []
    assert set(service.ids(EVENTS)) == created.keys()
    published = {each.name for each in stores.metadata.find(Query(PublishedEvent, limit=10_000))}
    assert published <= created.keys()
    for reference in {(each.target, each.tag or each.digest) for each in created.values()}:
        own = {each.name for each in created.values() if (each.target, each.tag or each.digest) == reference}
        sequences = [created[id].sequence for id in dict.fromkeys(service.ids(EVENTS)) if id in own]
        assert sequences == sorted(sequences)
    bodies = {each["id"]: json.dumps(each) for each in service.data(EVENTS)}
    assert {json.dumps(each) for each in service.data(EVENTS)} == set(bodies.values()), "a repeated message is the same"

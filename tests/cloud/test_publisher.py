"""The publisher, called as Cloud Scheduler and Eventarc call it, and Pub/Sub's emulator."""

import base64
import json
import secrets
import time
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from emulators.cloud import Cloud
from emulators.deployment import EVENTS_TOPIC, NOTIFICATIONS_TOPIC, PROJECT
from emulators.scheduler import call
from lading.composition import open_metadata
from lading.events.cloud_event import cloud_event
from lading_storage.protocols import Create
from lading_storage.records.events import Event
from tests.cloud.containers import repository
from tests.events.outbox_events import event

TIMEOUT = 60.0
"""Seconds until an event must have come."""


class Subscription:
    """Subscription to a topic of the emulator, in order."""

    def __init__(self, cloud: Cloud, topic: str, name: str) -> None:
        host = cloud.variables["publish"]["PUBSUB_EMULATOR_HOST"]
        self._url = f"http://{host}/v1/projects/{PROJECT}/subscriptions/{name}"
        created = requests.put(self._url, json={"topic": topic, "enableMessageOrdering": True}, timeout=30)
        created.raise_for_status()

    def pull(self, enough: int = 0) -> list[dict[str, Any]]:
        """Return what has come, once there are `enough` messages."""
        messages: list[dict[str, Any]] = []
        deadline = time.monotonic() + TIMEOUT
        while True:
            asked = {"maxMessages": 100, "returnImmediately": True}
            received = requests.post(f"{self._url}:pull", json=asked, timeout=30).json().get("receivedMessages", [])
            if received:
                ids = {"ackIds": [each["ackId"] for each in received]}
                requests.post(f"{self._url}:acknowledge", json=ids, timeout=30).raise_for_status()
                messages += [each["message"] for each in received]
            if len(messages) >= enough or time.monotonic() > deadline:
                return messages
            time.sleep(0.05)

    def delete(self) -> None:
        """Delete it."""
        requests.delete(self._url, timeout=30).raise_for_status()


@pytest.fixture
def events(cloud: Cloud) -> Iterator[Subscription]:
    """A subscription to the topic of events."""
    subscription = Subscription(cloud, EVENTS_TOPIC, f"events-{secrets.token_hex(4)}")
    yield subscription
    subscription.delete()


@pytest.fixture
def notifications(cloud: Cloud) -> Iterator[Subscription]:
    """A subscription to the topic of notifications."""
    subscription = Subscription(cloud, NOTIFICATIONS_TOPIC, f"notifications-{secrets.token_hex(4)}")
    yield subscription
    subscription.delete()


def change(cloud: Cloud, monkeypatch: pytest.MonkeyPatch, *events: Event) -> None:
    """Put events into the outbox, as the commits of changes do."""
    for variable, value in cloud.environment.items():
        monkeypatch.setenv(variable, value)
    metadata = open_metadata(cloud.environment["LADING_METADATA"])
    metadata.commit([Create(each) for each in events])
    metadata.close()


def content(message: dict[str, Any]) -> dict[str, Any]:
    """Return the JSON of a message."""
    found: dict[str, Any] = json.loads(base64.b64decode(message["data"]))
    return found


def test_it_publishes_for_its_callers_alone(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch, events: Subscription, notifications: Subscription
) -> None:
    name, url = repository(), f"http://{cloud.host}"
    changes = [event(number, name) for number in range(3)]
    # What other tests have pushed.
    call(cloud.publish_url, cloud.accounts.events)
    events.pull()
    notifications.pull()
    change(cloud, monkeypatch, *changes)

    for account in (cloud.accounts.scheduler, cloud.accounts.publish):
        assert call(cloud.publish_url, account)[0] == 403
    assert events.pull() == []
    status, body = call(cloud.publish_url, cloud.accounts.events)

    assert (status, json.loads(body)["published"]) == (200, 3)
    received = events.pull(3)
    assert [content(each) for each in received] == [cloud_event(each, url) for each in changes]
    assert {each["orderingKey"] for each in received} == {name}
    image = f"{cloud.host}/{name}@{changes[0].digest}"
    assert content(notifications.pull(3)[0]) == {"action": "INSERT", "digest": image, "tag": f"{cloud.host}/{name}:v1"}
    assert '"oldest_seconds"' in cloud.publish.log.read_text(), "and says so in the log"
    assert json.loads(call(cloud.publish_url, cloud.accounts.events)[1])["published"] == 0


def test_each_new_event_calls_it(cloud: Cloud, monkeypatch: pytest.MonkeyPatch, events: Subscription) -> None:
    cloud.start_trigger()
    names = [repository() for _ in range(3)]
    for name in names:
        change(cloud, monkeypatch, event(repository=name))
    assert sorted(content(each)["data"]["repository"] for each in events.pull(3)) == sorted(names)

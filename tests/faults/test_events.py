"""No change without its event, and no event without its change: whatever fails, or is killed, on both pairs of stores.

Clients push, move and delete tags, delete images and roll back; two publishers take the events. Each change is known by
its request, or by a digest that is pushed once.
"""

import contextlib
import os
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from lading.events.publisher import Publisher
from lading.registry.change_context import ChangeContext, now
from lading.registry.content.manifests import Put
from lading.registry.errors import RegistryError
from lading.registry.pagination import scan_all
from lading.registry.registry import Registry
from lading.registry.rules.effective import LocalRules
from lading.registry.rules.immutable import ImmutableTags
from lading_storage.digests import digest_of
from lading_storage.errors import StorageError
from lading_storage.protocols import MetadataStore
from lading_storage.records.deleted import TagEvent
from lading_storage.records.events import Event
from lading_storage.stores import Stores
from tests.events.fake_pubsub import FakePubSub, error, fake_pubsub
from tests.events.recording_sink import RecordingSink
from tests.faults import NIGHTLY
from tests.faults.exact_client import ExactClient, RequestOutcome
from tests.faults.failing_stores import FailingStores
from tests.support import images
from tests.support.fault_plan import FaultKind
from tests.support.outbox import assert_events_match, by_reference, names_from_records
from tests.support.record_examples import NOW
from tests.support.registry_pushes import push_blob
from tests.support.server_process import SOURCE_ROOTS, Server, serving

CHANGES = 1_000
ROUNDS = 167 if NIGHTLY else 10
"""In each, the server and both publishers are killed."""

TAGS = ("v1", "v2", "v3")
A = "team/app"
TOPIC = "projects/p/topics/events"
FAULTS = (FaultKind.RESET_BEFORE, FaultKind.RESET_AFTER)


def image(number: object) -> bytes:
    return images.manifest([], annotations={"n": str(number)})


def unique(events: Sequence[Event]) -> list[Event]:
    """Return events without those that came again."""
    found: dict[str, Event] = {}
    for event in events:
        found.setdefault(event.name, event)
    return [*found.values()]


def assert_received(metadata: MetadataStore, events: Sequence[Event]) -> None:
    """See that events are just those of the changes that are stored, and in order."""
    received = by_reference(unique(events))
    for reference, own in received.items():
        assert all(earlier.sequence < later.sequence for earlier, later in pairwise(own)), reference
    assert_events_match(metadata, A, received)
    rows = Counter(row.tag for row in scan_all(metadata, TagEvent, A))
    assert {tag: len(own) for tag, own in received.items() if ":" not in tag} == rows
    assert set(names_from_records(metadata, A)) <= {event.name for own in received.values() for event in own}


class Changes:
    """Random changes, each with a request id of its own; `acknowledged` and `refused` are those ids."""

    def __init__(self, registry: Registry, choices: random.Random) -> None:
        self.acknowledged: dict[str, str] = {}
        self.refused: set[str] = set()
        self.pushed: list[str] = []
        self._registry = registry
        self._choices = choices

    def make(self, number: int) -> None:
        """Make one; what it was to be is `acknowledged` by its id, unless it changes nothing."""
        acts = (self._push, self._tag, self._delete_tag, self._delete, self._roll_back)
        act = self._choices.choices(acts, (8, 3, 2, 1, 2))[0]
        request = f"request-{number}"
        try:
            kind = act(request)
        except RegistryError:
            self.refused.add(request)
        except StorageError:
            return
        else:
            self.acknowledged[request] = kind

    def _context(self, action: str, request: str) -> ChangeContext:
        return ChangeContext(action, "alice", request)

    def _push(self, request: str) -> str:
        tag, content = self._choices.choice((*TAGS, "keep")), image(request)
        self._registry.manifests.put(A, Put(content, "", "", [tag]), self._context("push", request))
        self.pushed.append(digest_of(content))
        return "image.pushed"

    def _tag(self, request: str) -> str:
        tag, digest = self._choices.choice(TAGS), self._choices.choice(self.pushed or ["sha256:" + "0" * 64])
        self._registry.push.tag(A, digest, tag, self._context("push", request))
        return ""

    def _delete_tag(self, request: str) -> str:
        self._registry.tags.delete(A, self._choices.choice(TAGS), self._context("delete", request))
        return "tag.deleted"

    def _delete(self, request: str) -> str:
        digest = self._choices.choice(self.pushed or ["sha256:" + "0" * 64])
        self._registry.deletion.manifest(A, digest, self._context("delete", request))
        return "image.deleted"

    def _roll_back(self, request: str) -> str:
        self._registry.rollback.by_steps(A, self._choices.choice(TAGS), 1, self._context("rollback", request))
        return "tag.moved"


def test_calls_that_fail_lose_no_event_and_make_none(failing: FailingStores) -> None:
    choices, stores = random.Random(19), failing.fresh()
    registry = Registry(stores.blobs, stores.metadata, LocalRules(ImmutableTags.parse(["*:keep"])))
    push_blob(registry, A, images.EMPTY_CONFIG)
    changes, sink = Changes(registry, choices), RecordingSink()
    publishers = [Publisher(stores.metadata, [sink], now) for _ in range(2)]
    struck = 0

    with contextlib.closing(registry):
        for number in range(CHANGES):
            if choices.random() < 0.3:
                failing.plan.set(choices.choice(FAULTS), choices.randint(1, 4))
            changes.make(number)
            if choices.random() < 0.2:
                with contextlib.suppress(StorageError):
                    choices.choice(publishers).run()
            struck += failing.plan.struck
            failing.plan.clear()
        publishers[0].run()

        assert [*scan_all(stores.metadata, Event)] == []
        assert_received(stores.metadata, sink.received)
    received = unique(sink.received)
    types = Counter((event.request, event.type) for event in received)
    assert [each for each in changes.acknowledged.items() if each[1] and not types[each]] == []
    assert {event.request for event in received} & changes.refused == set()
    assert len(changes.acknowledged) > CHANGES / 3
    assert changes.refused
    assert struck > CHANGES / 20


class Client:
    """Changes tags over HTTP; `acknowledged` and `refused` are digests that it pushed, each once."""

    def __init__(self, number: int) -> None:
        self.acknowledged: set[str] = set()
        self.refused: set[str] = set()
        self._number = number
        self._count = 0
        self._choices = random.Random(number)

    def work(self, port: int) -> None:
        """Change tags until the server is gone."""
        with contextlib.closing(ExactClient(port)) as client:
            while self._change(client).status:
                continue

    def _change(self, client: ExactClient) -> RequestOutcome:
        tag = self._choices.choice((*TAGS, "keep"))
        if self._choices.random() < 0.2:
            return client.request("DELETE", f"/v2/{A}/manifests/{tag}")
        self._count += 1
        content = image(f"{self._number}/{self._count}")
        told = client.put_manifest(A, tag, content)
        if not told.unknown:
            (self.acknowledged if told.status == 201 else self.refused).add(digest_of(content))
        return told


@contextlib.contextmanager
def publishing(environment: Mapping[str, str]) -> Iterator[None]:
    """Two publishers, each a process, which are killed at the end of the block."""
    command = [sys.executable, "-m", "lading.cli", "events", "publish", "--watch"]
    variables = {**os.environ, **environment, "PYTHONPATH": SOURCE_ROOTS}
    processes = [subprocess.Popen(command, env=variables, stdout=subprocess.DEVNULL) for _ in range(2)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def event_of(message: Mapping[str, Any]) -> Event:
    """Return the event of a CloudEvent, as far as it says."""
    data = message["data"]
    return Event(
        id=message["id"],
        name=message["id"],
        type=message["type"].removeprefix("dev.lading.").removesuffix(".v1"),
        target=data["repository"],
        tag=data.get("tag", ""),
        digest=data.get("digest", ""),
        before=data.get("previousDigest", ""),
        action=data["action"],
        moved=NOW,
        sequence=message["sequence"],
    )


def kill_while_working(server: Server, clients: Sequence[Client]) -> None:
    """Let clients work for a while, and kill the server below them."""
    threads = [threading.Thread(target=client.work, args=(server.port,)) for client in clients]
    for thread in threads:
        thread.start()
    time.sleep(random.uniform(0.2, 1.2))
    server.process.kill()
    for thread in threads:
        thread.join()


def test_kills_lose_no_event_and_make_none(environment: Mapping[str, str], stores: Stores, tmp_path: Path) -> None:
    choices, clients = random.Random(19), [Client(number) for number in range(4)]
    push_blob(Registry(stores.blobs, stores.metadata), A, images.EMPTY_CONFIG)

    def sometimes(fake: FakePubSub, messages: list[dict[str, Any]]) -> tuple[int, bytes] | None:
        """Fail before or after the messages are published."""
        if choices.random() < 0.1:
            fake.publish(TOPIC, messages[: choices.randint(0, len(messages))])
            return error(503, "x")
        return None

    with fake_pubsub(TOPIC) as service:
        service.fault = sometimes
        topic = {
            "PUBSUB_EMULATOR_HOST": service.address,
            "LADING_EVENTS_TOPIC": TOPIC,
            "LADING_URL": "http://localhost",
        }
        own = {**environment, **topic, "LADING_IMMUTABLE": "*:keep"}
        for number in range(ROUNDS):
            with publishing({**environment, **topic}), serving(own, tmp_path / f"log-{number}") as server:
                kill_while_working(server, clients)
        service.fault = None
        with publishing({**environment, **topic}):
            deadline = time.monotonic() + 120
            while [*scan_all(stores.metadata, Event)]:
                assert time.monotonic() < deadline
                time.sleep(0.1)
        events = [event_of(message) for message in service.data(TOPIC)]

    assert_received(stores.metadata, events)
    digests = {event.digest for event in events}
    acknowledged = set().union(*(client.acknowledged for client in clients))
    refused = set().union(*(client.refused for client in clients))
    assert acknowledged <= digests
    assert refused.isdisjoint(digests)
    assert len(acknowledged) > 5 * ROUNDS
    assert refused

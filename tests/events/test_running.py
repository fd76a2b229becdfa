"""The publisher where it runs: in `lading serve`, as a function, and as a command."""

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from lading_storage.protocols import Create, MetadataStore
from lading_storage.query import Query
from lading_storage.records.events import Event, PublishedEvent
from lading_storage.stores import Stores
from tests.events.fake_pubsub import FakePubSub, error, fake_pubsub
from tests.events.outbox_events import event
from tests.support.folder_stores import folder_stores
from tests.support.function_commands import caller_headers, framework
from tests.support.server_process import PROCESS_TIMEOUT, SOURCE_ROOTS, Server, run_lading, serving, wait_until

EVENTS = "projects/p/topics/events"
GCR = "projects/p/topics/gcr"
ACCOUNT = "publisher@some-project.iam.gserviceaccount.com"


@pytest.fixture
def service() -> Iterator[FakePubSub]:
    with fake_pubsub(EVENTS, GCR) as started:
        yield started


def topics(service: FakePubSub) -> dict[str, str]:
    return {
        "PUBSUB_EMULATOR_HOST": service.address,
        "LADING_EVENTS_TOPIC": EVENTS,
        "LADING_NOTIFICATIONS_TOPIC": GCR,
        "LADING_URL": "https://registry.example.com",
    }


def put(metadata: MetadataStore, events: Sequence[Event]) -> None:
    metadata.commit([Create(each) for each in events])


def in_order(service: FakePubSub, events: Sequence[Event]) -> bool:
    """Whether the first messages of each repository are in order."""
    for repository in {each.target for each in events}:
        own = [each.name for each in events if each.target == repository]
        if list(dict.fromkeys(name for name in service.ids(EVENTS) if name in own)) != own:
            return False
    return True


def test_servers_on_one_store_publish_in_order_and_survive_kills(tmp_path: Path, service: FakePubSub) -> None:
    environment = {**topics(service), "LADING_DATA": str(tmp_path / "data"), "LADING_URL": ""}
    stores = folder_stores(tmp_path / "data")
    events = [event(number, f"r{number % 5}") for number in range(400)]
    choices = random.Random(19)

    def sometimes(fake: FakePubSub, messages: list[dict[str, Any]]) -> tuple[int, bytes] | None:
        return error(503, "x") if choices.random() < 0.1 else None

    service.fault = sometimes
    with serving(environment, tmp_path / "one") as one:
        for number in range(4):
            with serving(environment, tmp_path / f"two-{number}") as two:
                for start in range(100 * number, 100 * (number + 1), 10):
                    put(stores.metadata, events[start : start + 10])
                wait_until(lambda start=start: service.ids(EVENTS) != [] or start == 0, one, two)  # type: ignore[misc]
                two.process.send_signal(signal.SIGKILL)
                two.process.wait()
        service.fault = None
        # A server that is down for a minute waits for a minute.
        with serving(environment, tmp_path / "three") as three:
            wait_until(lambda: stores.metadata.find(Query(Event, limit=1)) == [], one, three)
            assert three.stop() == 0
        assert one.stop() == 0

    assert set(service.ids(EVENTS)) == {each.name for each in events}
    assert in_order(service, events)
    assert len(stores.metadata.find(Query(PublishedEvent, limit=1000))) == len(events)
    assert set(service.ids(GCR)) == set(service.ids(EVENTS))
    log = one.log.read_text() + three.log.read_text()
    assert "events published: " in log
    assert "Traceback" not in log
    stores.close()


def test_a_server_without_topics_publishes_for_readers_alone(tmp_path: Path) -> None:
    stores = folder_stores(tmp_path / "data")
    put(stores.metadata, [event()])
    with serving({"LADING_DATA": str(tmp_path / "data"), "LADING_LOG": "json"}, tmp_path / "log") as server:
        wait_until(lambda: stores.metadata.find(Query(PublishedEvent, limit=1)) != [], server)
        wait_until(lambda: '"publish"' in server.log.read_text(), server)
        assert server.stop() == 0
    lines = [json.loads(line) for line in server.log.read_text().splitlines()]
    (line,) = [each for each in lines if "publish" in each]
    assert line["severity"] == "INFO"
    assert line["message"] == "events published: 1, waiting: 0"
    assert {name: line["publish"][name] for name in ("published", "waiting", "refused", "down", "deliveries")} == {
        "published": 1,
        "waiting": 0,
        "refused": 0,
        "down": {},
        "deliveries": {},
    }
    stores.close()


def token(**changes: Any) -> dict[str, str]:
    return caller_headers(ACCOUNT, **changes)


@pytest.fixture
def function(environment: Mapping[str, str], tmp_path: Path, service: FakePubSub) -> Iterator[Server]:
    """The function, started as the buildpack starts it."""
    variables = {
        "K_SERVICE": "publish",
        "FUNCTION_TARGET": "publish",
        "LADING_PUBLISHER": ACCOUNT,
        "LADING_LOG": "json",
        "LADING_ACCESS": "",
    }
    own = {**environment, **topics(service), **variables}
    with serving(own, tmp_path / "log", command=framework("publish")) as server:
        yield server


def wake_up(id: str) -> dict[str, str]:
    """The headers of a CloudEvent of Firestore, in binary mode."""
    return {
        "ce-id": "1",
        "ce-type": "google.cloud.firestore.document.v1.created",
        "ce-document": f"events/{id}",
        "ce-subject": f"documents/events/{id}",
        "Content-Type": "application/protobuf",
    }


def test_only_its_account_may_call_the_function(function: Server, stores: Stores, service: FakePubSub) -> None:
    put(stores.metadata, [event()])
    for headers in ({}, {"Authorization": "Basic YTpi"}, token(exp=1), token(iss="x"), token(email_verified=False)):
        assert function.request("POST", "/", headers={**headers, **wake_up(event().id)})[0].status == 401
    response, body = function.request("POST", "/", headers=token(email="other@example.com"))
    assert (response.status, b"LADING_PUBLISHER" in body) == (403, True)
    assert function.request("GET", "/", headers=token())[0].status == 405
    assert service.requests == 0

    response, body = function.request("POST", "/", headers=token())

    assert (response.status, json.loads(body)["published"]) == (200, 1)
    assert service.ids(EVENTS) == service.ids(GCR) == [event().name]
    lines = [json.loads(line) for line in function.log.read_text().splitlines() if line.startswith("{")]
    (line,) = [each for each in lines if "publish" in each]
    assert (line["severity"], line["publish"]["published"]) == ("INFO", 1)


def test_a_wake_up_names_the_range_and_its_body_is_ignored(
    function: Server, stores: Stores, service: FakePubSub
) -> None:
    events = [event(number, f"r{number}") for number in range(130)]
    put(stores.metadata, events)
    chosen = events[17].id

    response, body = function.request("POST", "/", b"\xff" * 1000, headers={**token(), **wake_up(chosen)})

    assert (response.status, json.loads(body)["published"]) == (200, 130)
    first = next(each for each in events if each.name == service.ids(EVENTS)[0])
    assert first.id[0] == chosen[0]
    for strange in ("x", "g-1", "../f-1", "f-1/x", "a" * 5000):
        assert function.request("POST", "/", headers={**token(), **wake_up(strange)})[0].status == 200


def test_a_topic_that_is_down_fails_the_sweep_and_no_wake_up(
    function: Server, stores: Stores, service: FakePubSub
) -> None:
    """Eventarc would repeat the wake-ups of all events for a day."""
    put(stores.metadata, [event()])
    service.fault = lambda fake, messages: error(503, "maintenance")
    response, body = function.request("POST", "/", headers={**token(), **wake_up(event().id)})
    assert (response.status, json.loads(body)["down"]["events"]) == (200, "Pub/Sub: 503, maintenance")
    response, body = function.request("POST", "/", headers=token())
    assert (response.status, "Retry-After" in response.headers) == (503, True)
    assert json.loads(body)["errors"][0]["detail"]["down"]["events"] == "Pub/Sub: 503, maintenance"
    lines = [json.loads(line) for line in function.log.read_text().splitlines() if '"publish"' in line]
    assert [each["severity"] for each in lines] == ["WARNING", "WARNING"]
    assert lines[0]["publish"]["waiting"] == 1
    assert lines[0]["publish"]["oldest_seconds"] > 0

    service.fault = None
    wait_until(lambda: function.request("POST", "/", headers=token())[0].status == 200, function)
    assert service.ids(EVENTS) == [event().name]


def test_the_commands_show_and_publish_what_waits(
    environment: Mapping[str, str], stores: Stores, service: FakePubSub, tmp_path: Path
) -> None:
    variables = {**environment, **topics(service)}
    put(stores.metadata, [event(1), event(2), event(3, "bad")])
    done = run_lading(["events", "status", "--json"], tmp_path, environment)
    found = json.loads(done.stdout)
    assert (found["waiting"], found["oldest"], found["stalled"]) == (3, "2026-11-28T12:30:15.000250Z", [])

    def refuse(fake: FakePubSub, messages: list[dict[str, Any]]) -> tuple[int, bytes] | None:
        return error(400, "no") if messages[0]["orderingKey"] == "bad" else None

    service.fault = refuse
    done = run_lading(["events", "publish", "--json"], tmp_path, variables)
    assert done.returncode == 1
    assert "bad: Pub/Sub: 400, no; nothing is lost: run this again" in done.stderr
    assert (json.loads(done.stdout)["published"], json.loads(done.stdout)["waiting"]) == (2, 1)

    done = run_lading(["events", "status"], tmp_path, environment)
    assert done.stdout.splitlines()[0].split() == ["events", "waiting", "1"]
    assert done.stdout.splitlines()[-1].split()[:3] == ["bad", "events,notifications", "1"]
    (stalled,) = json.loads(run_lading(["events", "status", "--json"], tmp_path, environment).stdout)["stalled"]
    assert (stalled["repository"], stalled["topics"]) == ("bad", ["events", "notifications"])

    service.fault = lambda fake, messages: error(403, "no right")
    put(stores.metadata, [event(4)])
    done = run_lading(["events", "publish"], tmp_path, variables)
    assert (done.returncode, done.stdout) == (1, "0 events published, 2 still waiting\n")
    assert "events: Pub/Sub: 403, no right" in done.stderr


def test_a_registry_without_an_address_of_its_own_publishes_nothing(
    environment: Mapping[str, str], stores: Stores, service: FakePubSub, tmp_path: Path
) -> None:
    put(stores.metadata, [event()])
    done = run_lading(["events", "publish"], tmp_path, {**environment, **topics(service), "LADING_URL": ""})
    assert (done.returncode == 0) == ("LADING_DATA" in environment)
    if done.returncode:
        assert "events name the registry's address: set --url" in done.stderr
        assert service.requests == 0


@contextmanager
def watching_publication(
    folder: Path, environment: Mapping[str, str], service: FakePubSub
) -> Iterator["subprocess.Popen[str]"]:
    """Run `lading events publish --watch` until the block ends."""
    command = [sys.executable, "-m", "lading.cli", "events", "publish", "--watch"]
    variables = {**os.environ, "PYTHONPATH": SOURCE_ROOTS, "PYTHONUNBUFFERED": "1", **environment, **topics(service)}
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=folder, env=variables, stdout=pipe, stderr=pipe, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def test_publication_is_watched_until_it_is_interrupted(
    environment: Mapping[str, str], stores: Stores, service: FakePubSub, tmp_path: Path
) -> None:
    put(stores.metadata, [event(1)])
    with watching_publication(tmp_path, environment, service) as watching:
        assert watching.stdout is not None
        assert watching.stdout.readline() == "1 event published, 0 still waiting\n"
        put(stores.metadata, [event(2), event(3)])
        assert watching.stdout.readline() == "2 events published, 0 still waiting\n"
        watching.send_signal(signal.SIGTERM)
        watching.wait(PROCESS_TIMEOUT)
    assert service.ids(EVENTS) == [event(number).name for number in (1, 2, 3)]


def test_a_watch_may_begin_before_the_registry_exists(tmp_path: Path, service: FakePubSub) -> None:
    """As where both start with the machine."""
    folder = tmp_path / "data"
    environment = {"LADING_DATA": str(folder)}
    once = run_lading(["events", "publish"], tmp_path, {**environment, **topics(service)})
    assert (once.returncode, f"no registry at {folder}; use --data FOLDER\n" in once.stderr) == (1, True)
    with watching_publication(tmp_path, environment, service) as watching:
        assert watching.stdout is not None
        assert watching.stderr is not None
        first = watching.stderr.readline()
        assert first == f"no registry at {folder}; use --data FOLDER; the next attempt is in 1 s\n"
        assert not folder.exists()
        with closing(folder_stores(folder)) as stores:
            put(stores.metadata, [event(1)])
            assert watching.stdout.readline() == "1 event published, 0 still waiting\n"


def test_a_watch_ends_at_a_database_of_another_program(tmp_path: Path, service: FakePubSub) -> None:
    with closing(sqlite3.connect(tmp_path / "metadata.sqlite")) as other:
        other.execute("CREATE TABLE songs (title)")
    with watching_publication(tmp_path, {"LADING_DATA": str(tmp_path)}, service) as watching:
        _, errors = watching.communicate(timeout=PROCESS_TIMEOUT)
    assert (watching.returncode, "use another --data FOLDER" in errors) == (1, True)

"""Many clients that wait for events at a real server, beside pulls: many, vanished ones, and the shutdown."""

import http.client
import json
import select
import socket
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing
from datetime import UTC, datetime
from pathlib import Path

import bcrypt
import pytest

from lading.composition import open_metadata
from lading.http.poll_slots import CHECK_INTERVAL, MAX_SHARE
from lading.http.thread_budget import ThreadBudget
from lading.settings import load_settings
from lading_storage.protocols import MetadataStore
from tests.support.published_events import publish, published_event
from tests.support.server_process import Server, basic, serving

POLLERS = 200
THREADS = 32
SLOTS = int(ThreadBudget(THREADS).total * MAX_SHARE)

NO_LINGER = b"\1\0\0\0\0\0\0\0"
"""SO_LINGER of zero seconds: the connection is reset when it is closed."""


@pytest.fixture
def folder(tmp_path: Path) -> Mapping[str, str]:
    """The environment of a registry with POLLERS users, who may pull everything, and few threads."""
    hashed = bcrypt.hashpw(b"secret", bcrypt.gensalt(4)).decode()
    (tmp_path / "users").write_text("".join(f"u{number}:{hashed}\n" for number in range(POLLERS)))
    (tmp_path / "grants").write_text("* * pull,push\n")
    return {
        "LADING_DATA": str(tmp_path / "data"),
        "LADING_ACCESS": "users",
        "LADING_USERS": str(tmp_path / "users"),
        "LADING_GRANTS": str(tmp_path / "grants"),
        "LADING_KEYS": (tmp_path / "keys.json").as_uri(),
        "LADING_THREADS": str(THREADS),
    }


@pytest.fixture
def server(folder: Mapping[str, str], tmp_path: Path) -> Iterator[Server]:
    with serving(folder, tmp_path / "server.log") as started:
        yield started


@pytest.fixture
def metadata(server: Server, folder: Mapping[str, str]) -> Iterator[MetadataStore]:
    """The store of the server, opened in this process as well."""
    with closing(open_metadata(load_settings(folder).metadata)) as opened:
        yield opened


def begin(server: Server, user: int, query: str = "wait=30") -> http.client.HTTPConnection:
    """Send a poll, and leave its response to be read."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    connection.request("GET", f"/v2/_lading/events?{query}", headers={"Authorization": basic(f"u{user}", "secret")})
    return connection


def cursor_of(server: Server, user: int) -> str:
    with closing(begin(server, user, "")) as connection:
        text: str = json.loads(connection.getresponse().read())["next"]
        return text


def two_waiting(server: Server) -> list[http.client.HTTPConnection]:
    """Send three polls of a user; return the two that wait, once the server has refused the other one."""
    polls = [begin(server, 1) for _ in range(3)]
    readable, _, _ = select.select([each.sock for each in polls], [], [], 20)
    (refused,) = (each for each in polls if each.sock in readable)
    with closing(refused):
        assert refused.getresponse().status == 503
    return [each for each in polls if each is not refused]


def wait_until_free(server: Server) -> None:
    """Return once the server accepts a poll of that user."""
    status = 0
    while status != 200:
        with closing(begin(server, 1, "wait=1")) as connection:
            status = connection.getresponse().status


def test_many_pollers_disturb_no_pull(server: Server, metadata: MetadataStore) -> None:
    cursors = [cursor_of(server, user) for user in range(POLLERS)]
    with ExitStack() as stack:
        polls = [
            stack.enter_context(closing(begin(server, user, f"wait=30&after={cursor}")))
            for user, cursor in enumerate(cursors)
        ]
        for _ in range(50):
            response, _ = server.request("GET", "/v2/", headers={"Authorization": basic("u0", "secret")})
            assert response.status == 200
        # Those beyond the limits are refused at once, and the others wait.
        publish(metadata, published_event(1, datetime.now(UTC)))
        responses = [each.getresponse() for each in polls]
        statuses = Counter(each.status for each in responses)
        tags = [event["data"]["tag"] for each in responses if each.status == 200 for event in json.load(each)["events"]]

    assert statuses == {200: SLOTS, 503: POLLERS - SLOTS}
    assert tags == ["v1"] * SLOTS
    for user, cursor in enumerate(cursors):
        with closing(begin(server, user, f"after={cursor}")) as late:
            assert [each["data"]["tag"] for each in json.load(late.getresponse())["events"]] == ["v1"]


@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
def test_a_client_that_disconnects_frees_its_place(server: Server, reset: bool) -> None:
    began = time.monotonic()
    for each in two_waiting(server):
        if reset:
            each.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)
        each.close()
    wait_until_free(server)

    assert time.monotonic() - began < 30 - CHECK_INTERVAL, "the polls would have ended by themselves"


def test_a_server_that_shuts_down_ends_polls(server: Server) -> None:
    began = time.monotonic()
    polls = two_waiting(server)
    assert server.stop() == 0
    assert time.monotonic() - began < 30 - CHECK_INTERVAL
    for each in polls:
        with closing(each):
            response = each.getresponse()
            assert (response.status, json.load(response)["events"]) == (200, [])


def test_a_client_without_credentials_has_the_slots_of_its_network(folder: Mapping[str, str], tmp_path: Path) -> None:
    environment = {**folder, "LADING_PUBLIC": "library/*"}
    with serving(environment, tmp_path / "log") as public, ExitStack() as stack:
        polls = []
        for _ in range(3):
            connection = http.client.HTTPConnection("127.0.0.1", public.port, timeout=60)
            stack.enter_context(closing(connection)).request("GET", "/v2/_lading/events?wait=3")
            polls.append(connection)
        statuses = Counter(each.getresponse().status for each in polls)
    assert statuses == {200: 2, 503: 1}

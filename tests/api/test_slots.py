"""How many threads are at requests with a body, in all and for one principal."""

import time
from collections.abc import Iterator

import pytest
from werkzeug.test import EnvironBuilder
from werkzeug.wrappers import Request

from lading import settings
from lading.app import App
from lading.auth.authenticator import OpenAuthenticator
from lading.http.body_slots import BodySlots
from lading.http.read_ahead import CHUNK_SIZE
from lading.http.request_body import RequestBody
from lading.http.thread_budget import ThreadBudget
from lading.registry.errors import BODY_STALLED, RegistryError
from lading.registry.registry import Registry
from lading_storage.digests import digest_of
from tests.support import images
from tests.support.app_client import HOST, Client, CountingBody

UPLOADS = "/v2/a/blobs/uploads/"


@pytest.mark.parametrize(
    ("threads", "total"), [(1, 1), (2, 1), (4, 2), (8, 4), (16, 8), (32, 24), (128, 96), (1000, 750)]
)
def test_some_threads_are_kept(threads: int, total: int) -> None:
    budget = ThreadBudget(threads)
    slots = BodySlots(budget)
    taken = sum(slots.acquire(f"user {number}") for number in range(threads))
    assert (budget.total, taken) == (total, total)
    slots.release("user 0")
    assert slots.acquire("another")
    assert not slots.acquire("one too many")


def test_no_client_takes_all_slots() -> None:
    budget = ThreadBudget(128)
    slots = BodySlots(budget)
    greedy = sum(slots.acquire("greedy") for _ in range(200))
    assert greedy == budget.total // 2
    assert slots.acquire("modest")
    slots.release("greedy")
    assert slots.acquire("greedy")
    assert not slots.acquire("greedy")


def test_anonymous_clients_share_all_slots() -> None:
    budget = ThreadBudget(128)
    slots = BodySlots(budget)
    assert sum(slots.acquire(None) for _ in range(200)) == budget.total


def test_callers_without_a_name_are_one_principal() -> None:
    budget = ThreadBudget(128)
    slots = BodySlots(budget)
    assert sum(slots.acquire("") for _ in range(200)) == budget.total // 2


def test_however_many_are_greedy_some_are_left_for_the_next() -> None:
    budget = ThreadBudget(128)
    slots = BodySlots(budget)
    for number in range(5):
        while slots.acquire(f"greedy {number}"):
            pass
        assert slots.acquire(f"modest {number}")


@pytest.fixture
def app(registry: Registry) -> App:
    """An app with one slot."""
    return App(
        registry,
        settings.load_settings({"LADING_THREADS": "1", "LADING_ACCESS": "everybody", "LADING_URL": f"http://{HOST}"}),
        OpenAuthenticator(),
    )


def test_a_slot_is_free_again_after_each_request_whatever_came_of_it(app: App) -> None:
    client, content = Client(app), images.blob()
    for _ in range(2):
        client.push_blob("a", content)
        assert client.request("PUT", "/v2/a/manifests/v1", b"{").status == 400
        assert client.request("PATCH", f"{UPLOADS}absent", content).status == 404
        assert client.request("POST", f"{UPLOADS}?digest={digest_of(b'other')}", content).status == 400
        assert client.request("PUT", "/v2/a/manifests/v1", b"x", length=10, chunked=False).status == 400


def test_a_request_without_a_slot_is_refused_and_one_without_a_body_needs_none(app: App) -> None:
    client, content = Client(app), images.blob()
    digest = client.push_blob("a", content)

    def pieces() -> Iterator[bytes]:
        refused = Client(app).request("POST", f"{UPLOADS}?digest={digest_of(b'x')}", b"x")
        assert (refused.status, refused.code, refused.headers["Retry-After"]) == (503, "UNAVAILABLE", "5")
        assert "too many concurrent uploads" in refused.json["errors"][0]["message"]
        assert Client(app).request("POST", UPLOADS).status == 202
        assert Client(app).request("POST", f"/v2/b/blobs/uploads/?mount={digest}&from=a").status == 201
        assert Client(app).request("GET", f"/v2/a/blobs/{digest}").body == content
        yield b"y"

    assert client.request("POST", f"{UPLOADS}?digest={digest_of(b'y')}", CountingBody(pieces()), length=1).status == 201


class Trickle:
    """A body of which a byte comes each hundredth of a second, without end."""

    def read(self, size: int = -1) -> bytes:
        time.sleep(0.01)
        return b"x"


@pytest.mark.parametrize("seconds", [0.2, float("inf")])
def test_what_is_read_whole_has_an_end_however_it_trickles(seconds: float) -> None:
    builder = EnvironBuilder(method="PUT", headers=[("Transfer-Encoding", "chunked")])
    environ = {**builder.get_environ(), "wsgi.input": Trickle(), "wsgi.input_terminated": True}
    body = RequestBody(Request(environ), stall_timeout=0.1)
    with pytest.raises(RegistryError) as raised:
        body.read(4 * CHUNK_SIZE, seconds)
    assert raised.value.descriptor is BODY_STALLED

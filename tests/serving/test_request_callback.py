"""What stands between the server and the app keeps nothing of a request that is answered."""

import gc
import io
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Iterator
from typing import Any, cast

import pytest
from werkzeug.wrappers import Request

from lading import settings
from lading.app import CLOSE_HEADER, App
from lading.auth.authenticator import OpenAuthenticator
from lading.http.responses import Response
from lading.leader import Leader, step_down
from lading.registry.registry import Registry
from lading.server.serve import RequestCallback
from lading_storage.digests import digest_of

CONTENT = b"all"
PUSH = {"REQUEST_METHOD": "POST", "QUERY_STRING": f"digest={digest_of(CONTENT)}", "CONTENT_LENGTH": str(len(CONTENT))}
TIMEOUT = 20.0


class Protocol:
    """The server's end of one request."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: list[tuple[str, str]] = []
        self.answered = threading.Event()

    def response_bytes(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self.status, self.headers = status, headers
        self.answered.set()


@pytest.fixture
def gc_disabled() -> Iterator[None]:
    """The collector of reference cycles is off: it might run late."""
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("gc_disabled")
def test_a_thread_that_waits_to_be_the_leader_holds_nothing_of_its_last_response(registry: Registry) -> None:
    leader, protocol = Leader(), Protocol()
    leader.acquire()
    body = io.BytesIO(CONTENT)
    gone = weakref.ref(body)
    # Held to the end, as by a server that waits for its thread to come back.
    scope: dict[str, Any] = {**PUSH, "HTTP_HOST": "x", "PATH_INFO": "/v2/a/blobs/uploads/", "wsgi.input": body}
    del body
    runner = RequestCallback(App(registry, settings.load_settings({}), OpenAuthenticator()), leader)
    thread = threading.Thread(target=runner, args=[protocol, scope])
    try:
        thread.start()
        assert protocol.answered.wait(TIMEOUT)
        assert protocol.status == 201

        deadline = time.monotonic() + TIMEOUT
        while gone() is not None and time.monotonic() < deadline:
            time.sleep(0.01)

        assert gone() is None
        assert thread.is_alive(), "it waits for the leader"
    finally:
        step_down()
        thread.join(TIMEOUT)
    assert not thread.is_alive()


class RetainingApp:
    """An app that keeps each request, as a cycle of references may."""

    def __init__(self) -> None:
        self.held: list[Request] = []

    def respond(self, request: Request) -> Response:
        self.held.append(request)
        return Response(404)


@pytest.mark.usefixtures("gc_disabled")
def test_a_body_is_released_with_its_response_although_the_request_is_still_referenced() -> None:
    """Otherwise a connection stays open that is not read, and its client sends for ever."""
    body, app = io.BytesIO(CONTENT), RetainingApp()
    gone = weakref.ref(body)
    scope: dict[str, Any] = {**PUSH, "HTTP_HOST": "x", "PATH_INFO": "/v2/a/blobs/uploads/", "wsgi.input": body}
    del body

    RequestCallback(cast(App, app), None)(Protocol(), scope)

    assert gone() is None


SIZES = {"a length": {"CONTENT_LENGTH": str(len(CONTENT))}, "chunks": {"HTTP_TRANSFER_ENCODING": "chunked"}}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_a_body_that_no_method_wants_is_read_to_its_end(registry: Registry, method: str, size: str) -> None:
    """Else the next request waits until the thread of this one comes back, and that may wait to be the leader."""
    body, protocol = io.BytesIO(CONTENT), Protocol()
    scope: dict[str, Any] = {"REQUEST_METHOD": method, "HTTP_HOST": "x", "PATH_INFO": "/v2/", **SIZES[size]}

    RequestCallback(App(registry, settings.load_settings({}), OpenAuthenticator()), None)(
        protocol, {**scope, "wsgi.input": body}
    )

    assert body.tell() == len(CONTENT)
    assert CLOSE_HEADER not in protocol.headers


def test_a_thread_whose_request_has_an_unread_body_comes_back_at_once(registry: Registry) -> None:
    """Until then the server holds the body, and with it the connection, which is to end."""
    leader, protocol = Leader(), Protocol()
    leader.acquire()
    scope: dict[str, Any] = {**PUSH, "HTTP_HOST": "x", "PATH_INFO": "/v2/", "HTTP_EXPECT": "100-continue"}
    scope["wsgi.input"] = io.BytesIO(CONTENT)
    runner = RequestCallback(App(registry, settings.load_settings({}), OpenAuthenticator()), leader)
    thread = threading.Thread(target=runner, args=[protocol, scope], daemon=True)
    try:
        thread.start()
        thread.join(TIMEOUT)
        assert not thread.is_alive(), "it waits to be the leader"
        assert CLOSE_HEADER in protocol.headers
    finally:
        step_down()


def test_a_signal_within_the_handler_of_another_stops_nothing() -> None:
    """As `timeout` and impatient people send two: with threading.Event, the second one waits for ever."""
    program = """
import signal
from lading.server.signal_event import PollingEvent

event = PollingEvent()
signal.signal(signal.SIGALRM, lambda *_: event.set())
signal.setitimer(signal.ITIMER_REAL, 1e-4, 1e-4)
for _ in range(30_000):
    event.set()
    event.wait()
signal.setitimer(signal.ITIMER_REAL, 0)
"""

    done = subprocess.run([sys.executable, "-c", program], timeout=60, check=False)

    assert done.returncode == 0

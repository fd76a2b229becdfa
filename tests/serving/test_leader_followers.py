"""One thread at a time handles short requests; a long one delays no other."""

import contextlib
import logging
import socket
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lading.auth.bulkhead import Bulkhead
from lading.http.thread_budget import ThreadBudget
from lading.leader import MAX_HELD, Leader, begin_request, is_leader, log_held, step_down
from lading.settings import load_settings
from lading_storage.digests import digest_of
from tests.support.server_process import Server, read_response, serving

THREADS = 12
UPLOADS = ThreadBudget(THREADS).total
TIMEOUT = 20.0


class Worker:
    """A thread that does what it is told, one thing after the other."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1)

    def do(self, work: Callable[[], object]) -> threading.Event:
        """Begin; return an event that is set at the end."""
        done = threading.Event()
        self._pool.submit(work).add_done_callback(lambda _: done.set())
        return done


def test_who_comes_waits_until_who_is_there_leaves() -> None:
    leader, first, second = Leader(), Worker(), Worker()
    assert first.do(leader.acquire).wait(TIMEOUT)
    assert first.do(leader.acquire).wait(TIMEOUT), "who is there stays"

    second_there = second.do(leader.acquire)
    assert not second_there.wait(0.2)
    assert first.do(step_down).wait(TIMEOUT)
    assert second_there.wait(TIMEOUT)

    first_there = first.do(leader.acquire)
    assert not first_there.wait(0.2)
    assert second.do(step_down).wait(TIMEOUT)
    assert second.do(step_down).wait(TIMEOUT), "who has left has nothing to leave"
    assert first_there.wait(TIMEOUT)
    assert not second.do(leader.acquire).wait(0.2)
    first.do(step_down)


def test_a_thread_that_waits_for_a_turn_is_no_leader() -> None:
    leader = Leader()
    leader.acquire()
    assert is_leader()
    with Bulkhead(1, 0).slot():
        assert not is_leader()


@pytest.mark.parametrize("ends", [step_down, lambda: log_held("GET")], ids=["stepped down", "answered"])
@pytest.mark.parametrize(("seconds", "logged"), [(MAX_HELD * 2, 1), (0, 0)])
def test_a_request_that_holds_the_leader_for_long_is_logged(
    ends: Callable[[], None],
    seconds: float,
    logged: int,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    now = [0.0]
    monkeypatch.setattr("lading.leader.time.monotonic", lambda: now[0])
    caplog.set_level(logging.DEBUG, "lading.leader")
    Leader().acquire()
    begin_request()
    now[0] = seconds
    ends()

    assert len([record for record in caplog.records if record.name == "lading.leader"]) == logged
    step_down()


@pytest.mark.parametrize(
    ("stores", "embedded"),
    [
        ({}, True),
        ({"LADING_METADATA": "firestore://project"}, False),
        ({"LADING_BLOBS": "gs://bucket"}, False),
    ],
)
def test_with_stores_in_a_cloud_there_is_no_leader(stores: dict[str, str], embedded: bool) -> None:
    assert load_settings(stores).embedded is embedded


def test_all_slots_may_be_at_what_takes_long_whatever_came_before(tmp_path: Path) -> None:
    environment = {"LADING_DATA": str(tmp_path / "data"), "LADING_THREADS": str(THREADS)}
    content = b"all"
    with serving(environment, tmp_path / "log") as server:
        for _ in range(3):
            pull_much(server)
            with contextlib.ExitStack() as stack:
                uploads = [stack.enter_context(begun(server)) for _ in range(UPLOADS)]
                for upload in uploads:
                    # Nothing is asked for before a thread has begun to read.
                    assert upload.recv(100).startswith(b"HTTP/1.1 100 ")
                pull_much(server)
                for upload in uploads:
                    upload.sendall(content)
                assert [read_response(upload)[0] for upload in uploads] == [201] * len(uploads)
        pulled = server.request("GET", f"/v2/a/blobs/{digest_of(content)}")
        assert (pulled[0].status, pulled[1]) == (200, content)


def begun(server: Server) -> socket.socket:
    """An upload whose client waits to be asked for the content."""
    sock = socket.create_connection(("127.0.0.1", server.port), timeout=TIMEOUT)
    line = f"POST /v2/a/blobs/uploads/?digest={digest_of(b'all')} HTTP/1.1"
    sock.sendall(f"{line}\r\nHost: localhost\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n".encode())
    return sock


def pull_much(server: Server) -> None:
    """Many short requests at once: every thread has answered some of them."""
    with ThreadPoolExecutor(2 * THREADS) as pool:
        answers = pool.map(lambda _: server.request("GET", "/v2/")[0].status, range(20 * THREADS))
    assert set(answers) == {200}

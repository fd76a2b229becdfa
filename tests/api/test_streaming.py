"""Large responses: anonymous clients have a share of the threads and of the memory, authenticated ones have all."""

from typing import Final

import pytest

from lading.http import streaming
from lading.http.body_slots import BodySlots
from lading.http.streaming import BYTES_IN_FLIGHT, MAX_ANONYMOUS_BYTES, ResponseStream, ResponseStreams, in_chunks
from lading.http.thread_budget import ThreadBudget

MANY = 1000


def limits(threads: int) -> ResponseStreams:
    """Those of a server with so many threads and no uploads."""
    return ResponseStreams(threads, ThreadBudget(threads))


def begun(response_streams: ResponseStreams, count: int, known: bool, peer: str = "192.0.2.{}") -> int:
    """How many of `count` answers begin, each to an address of its own unless `peer` is one."""
    principal = "known" if known else None
    answers = [response_streams.add([b"a"], peer.format(number), 0, principal) for number in range(count)]
    return sum(answer is not None for answer in answers)


def test_anonymous_clients_have_three_quarters_of_the_budget_and_one_of_them_three_quarters_of_that() -> None:
    response_streams = limits(64)

    assert begun(response_streams, MANY, known=False, peer="192.0.2.1") == 27
    assert begun(response_streams, MANY, known=False) == 9


def test_anonymous_clients_and_uploads_have_three_quarters_of_the_threads_together() -> None:
    budget = ThreadBudget(64)
    response_streams, slots = ResponseStreams(64, budget), BodySlots(budget)
    assert sum(slots.acquire("user") for _ in range(MANY)) == 24
    download = response_streams.add([b"a"], "192.0.2.1", 0, None)
    assert download is not None
    assert begun(response_streams, MANY, known=False) == 11
    # A quarter is left to uploads.
    assert sum(slots.acquire("another") for _ in range(MANY)) == 6
    while slots.acquire(None):
        pass
    assert budget.held == budget.total == 48
    assert begun(response_streams, MANY, known=True) == MANY
    response_streams.remove(download)
    response_streams.remove(download)
    assert slots.acquire("another") or slots.acquire(None)
    assert budget.held == 48


def test_memory_for_anonymous_clients_is_bounded() -> None:
    response_streams = limits(MANY)

    assert begun(response_streams, MANY, known=False) == MAX_ANONYMOUS_BYTES // BYTES_IN_FLIGHT
    assert limits(MANY).add([b"a"], "192.0.2.1", MAX_ANONYMOUS_BYTES, principal=None) is None


def test_an_authenticated_client_waits_for_no_anonymous_one() -> None:
    response_streams = limits(16)
    begun(response_streams, MANY, known=False)

    assert begun(response_streams, MANY, known=True, peer="192.0.2.1") == MANY


def test_what_has_ended_makes_room() -> None:
    response_streams = limits(1)
    first = response_streams.add([b"a"], "192.0.2.1", 0, principal=None)
    assert first is not None
    assert begun(response_streams, 1, known=False) == 0

    response_streams.remove(first)

    assert begun(response_streams, 1, known=False) == 1


def test_the_pieces_are_the_content() -> None:
    for size in (0, 1, 11, 12, 13, 100_000):
        content = bytes(range(256)) * (size // 256 + 1)
        assert b"".join(in_chunks(content[:size])) == content[:size]


def paused_download(response_streams: ResponseStreams, peer: str, known: bool = True) -> ResponseStream:
    answer = response_streams.add([b"a", b"b"], "192.0.2.1", 0, "known" if known else None, peer)
    assert answer is not None
    assert next(iter(answer)) == b"a"
    return answer


def test_downloads_of_authenticated_clients_are_counted_while_they_stand_still() -> None:
    response_streams = limits(16)
    for peer in ("one", "one", "two"):
        paused_download(response_streams, peer)
    paused_download(response_streams, "two", known=False)

    assert response_streams.paused({"one": 2, "two": 2}, 0) == {"one": 2, "two": 1}
    assert response_streams.paused({"one": 2, "two": 2}, 60) == {}
    response_streams.add([b"a"], "192.0.2.1", 0, "known", "three")
    assert response_streams.paused({}, 0)["three"] == 0, "one that the server has not begun with"


def test_more_paused_downloads_than_threads_are_left_for_others_are_no_excuse() -> None:
    response_streams = limits(16)
    for _ in range(4):
        paused_download(response_streams, "one")
    assert response_streams.paused({"one": 4}, 0) == {"one": 4}

    paused_download(response_streams, "two")

    assert response_streams.paused({"one": 4, "two": 1}, 0) == {}


def test_what_the_server_has_taken_counts_while_the_client_has_not() -> None:
    response_streams = limits(16)
    ended, going_on = paused_download(response_streams, "one"), paused_download(response_streams, "one")
    response_streams.remove(ended)

    assert response_streams.paused({"one": 2}, 0) == {"one": 2}
    assert response_streams.paused({"one": 1}, 0) == {"one": 1}
    # It is forgotten by then.
    assert response_streams.paused({"one": 2}, 0) == {"one": 1}
    response_streams.remove(going_on)
    assert response_streams.paused({}, 0) == {}


@pytest.fixture
def short_stall(monkeypatch: pytest.MonkeyPatch) -> None:
    """Downloads have stalled as soon as they stand still."""
    monkeypatch.setattr(streaming, "STALL_TIMEOUT", 0.0)


UNREAD: Final = {"one": MANY}
"""Connections with bytes that no client reads, as the kernel reports them: as many as there are downloads."""


def stalled(response_streams: ResponseStreams, principal: str, count: int) -> list[ResponseStream]:
    streams = [response_streams.add([b"a", b"b"], "192.0.2.1", 0, principal, "one") for _ in range(count)]
    assert None not in streams
    begun = [stream for stream in streams if stream is not None and next(iter(stream))]
    assert len(begun) == count
    return begun


@pytest.mark.usefixtures("short_stall")
def test_a_principal_whose_stalled_downloads_have_half_of_the_threads_is_limited() -> None:
    response_streams = limits(32)
    one, two = stalled(response_streams, "mallory", 14), stalled(response_streams, "alice", 1)
    assert not response_streams.limit_stalled(UNREAD)
    one += stalled(response_streams, "mallory", 1)

    assert response_streams.limit_stalled(UNREAD)

    assert response_streams.add([b"a"], "192.0.2.1", 0, "mallory") is None
    assert stalled(response_streams, "alice", 10)
    for each in (*one, *two):
        response_streams.remove(each)
    # A sixteenth of the threads, and no more, as long as it is limited.
    stalled(response_streams, "mallory", 2)
    assert response_streams.add([b"a"], "192.0.2.1", 0, "mallory") is None


@pytest.mark.usefixtures("short_stall")
def test_beside_uploads_fewer_stalled_downloads_are_too_many() -> None:
    budget = ThreadBudget(32)
    response_streams = ResponseStreams(32, budget)
    stalled(response_streams, "mallory", 4)
    assert not response_streams.limit_stalled(UNREAD)
    while budget.acquire():
        pass
    assert response_streams.limit_stalled(UNREAD)


@pytest.mark.usefixtures("short_stall")
def test_the_limit_of_a_principal_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "LIMIT_TIME", 0.0)
    response_streams = limits(16)
    stalled(response_streams, "mallory", 8)
    assert response_streams.limit_stalled(UNREAD)
    assert stalled(response_streams, "mallory", 1)


def test_downloads_that_move_are_no_reason_to_limit_their_principal() -> None:
    response_streams = limits(16)
    stalled(response_streams, "alice", 100)
    assert not response_streams.limit_stalled(UNREAD)


@pytest.mark.usefixtures("short_stall")
def test_downloads_that_a_slow_client_reads_are_not_stalled() -> None:
    """The server takes nothing for seconds, while the kernel's buffer drains."""
    response_streams = limits(16)
    stalled(response_streams, "fleet", 100)

    assert not response_streams.limit_stalled({})
    assert not response_streams.limit_stalled({"one": 7, "another": MANY})
    assert begun_by(response_streams, "fleet") == 1
    assert response_streams.limit_stalled({"one": 8})
    assert begun_by(response_streams, "fleet") == 0


@pytest.mark.usefixtures("short_stall")
def test_the_downloads_that_stand_still_for_longest_are_those_that_stall() -> None:
    response_streams = limits(16)
    stalled(response_streams, "mallory", 8)
    stalled(response_streams, "alice", 8)

    assert response_streams.limit_stalled({"one": 8})
    assert begun_by(response_streams, "mallory") == 0
    assert begun_by(response_streams, "alice") == 1


@pytest.mark.usefixtures("short_stall")
def test_without_authentication_no_client_is_limited_for_another() -> None:
    response_streams = limits(16)
    stalled(response_streams, "", 100)

    assert response_streams.limit_stalled(UNREAD)
    assert begun_by(response_streams, "") == 1


def begun_by(response_streams: ResponseStreams, principal: str) -> int:
    """How many downloads of a principal begin, of one."""
    return int(response_streams.add([b"a"], "192.0.2.1", 0, principal) is not None)

"""Large responses: anonymous clients have a share of the threads and of the memory, authenticated ones have all."""

from lading.http.streaming import BYTES_IN_FLIGHT, MAX_ANONYMOUS_BYTES, ResponseStream, ResponseStreams, in_chunks

MANY = 1000


def begun(response_streams: ResponseStreams, count: int, known: bool, peer: str = "192.0.2.{}") -> int:
    """How many of `count` answers begin, each to an address of its own unless `peer` is one."""
    answers = [response_streams.add([b"a"], peer.format(number), 0, known) for number in range(count)]
    return sum(answer is not None for answer in answers)


def test_anonymous_clients_have_three_quarters_of_the_threads_and_one_of_them_three_quarters_of_that() -> None:
    response_streams = ResponseStreams(16)

    assert begun(response_streams, MANY, known=False, peer="192.0.2.1") == 9
    assert begun(response_streams, MANY, known=False) == 3


def test_memory_for_anonymous_clients_is_bounded() -> None:
    response_streams = ResponseStreams(MANY)

    assert begun(response_streams, MANY, known=False) == MAX_ANONYMOUS_BYTES // BYTES_IN_FLIGHT
    assert ResponseStreams(MANY).add([b"a"], "192.0.2.1", MAX_ANONYMOUS_BYTES, authenticated=False) is None


def test_an_authenticated_client_waits_for_no_anonymous_one() -> None:
    response_streams = ResponseStreams(16)
    begun(response_streams, MANY, known=False)

    assert begun(response_streams, MANY, known=True, peer="192.0.2.1") == MANY


def test_what_has_ended_makes_room() -> None:
    response_streams = ResponseStreams(1)
    first = response_streams.add([b"a"], "192.0.2.1", 0, authenticated=False)
    assert first is not None
    assert begun(response_streams, 1, known=False) == 0

    response_streams.remove(first)

    assert begun(response_streams, 1, known=False) == 1


def test_the_pieces_are_the_content() -> None:
    for size in (0, 1, 11, 12, 13, 100_000):
        content = bytes(range(256)) * (size // 256 + 1)
        assert b"".join(in_chunks(content[:size])) == content[:size]


def paused_download(response_streams: ResponseStreams, peer: str, known: bool = True) -> ResponseStream:
    answer = response_streams.add([b"a", b"b"], "192.0.2.1", 0, known, peer)
    assert answer is not None
    assert next(iter(answer)) == b"a"
    return answer


def test_downloads_of_authenticated_clients_are_counted_while_they_stand_still() -> None:
    response_streams = ResponseStreams(16)
    for peer in ("one", "one", "two"):
        paused_download(response_streams, peer)
    paused_download(response_streams, "two", known=False)

    assert response_streams.paused({"one": 2, "two": 2}, 0) == {"one": 2, "two": 1}
    assert response_streams.paused({"one": 2, "two": 2}, 60) == {}
    response_streams.add([b"a"], "192.0.2.1", 0, True, "three")
    assert response_streams.paused({}, 0)["three"] == 0, "one that the server has not begun with"


def test_more_paused_downloads_than_threads_are_left_for_others_are_no_excuse() -> None:
    response_streams = ResponseStreams(16)
    for _ in range(4):
        paused_download(response_streams, "one")
    assert response_streams.paused({"one": 4}, 0) == {"one": 4}

    paused_download(response_streams, "two")

    assert response_streams.paused({"one": 4, "two": 1}, 0) == {}


def test_what_the_server_has_taken_counts_while_the_client_has_not() -> None:
    response_streams = ResponseStreams(16)
    ended, going_on = paused_download(response_streams, "one"), paused_download(response_streams, "one")
    response_streams.remove(ended)

    assert response_streams.paused({"one": 2}, 0) == {"one": 2}
    assert response_streams.paused({"one": 1}, 0) == {"one": 1}
    # It is forgotten by then.
    assert response_streams.paused({"one": 2}, 0) == {"one": 1}
    response_streams.remove(going_on)
    assert response_streams.paused({}, 0) == {}

"""Answers that are not small: strangers have only so much of threads and memory with them, and who is known has all."""

from functions.api.outgoing import ON_THE_WAY, ROOM, Outgoing, Piecewise, in_pieces

MANY = 1000


def begun(outgoing: Outgoing, count: int, known: bool, peer: str = "192.0.2.{}") -> int:
    """How many of `count` answers begin, each to an address of its own unless `peer` is one."""
    answers = [outgoing.begin([b"a"], peer.format(number), 0, known) for number in range(count)]
    return sum(answer is not None for answer in answers)


def test_strangers_have_three_quarters_of_the_threads_and_one_of_them_three_quarters_of_that() -> None:
    outgoing = Outgoing(16)

    assert begun(outgoing, MANY, known=False, peer="192.0.2.1") == 9
    assert begun(outgoing, MANY, known=False) == 3


def test_strangers_have_only_so_much_memory() -> None:
    outgoing = Outgoing(MANY)

    assert begun(outgoing, MANY, known=False) == ROOM // ON_THE_WAY
    assert Outgoing(MANY).begin([b"a"], "192.0.2.1", ROOM, known=False) is None


def test_who_is_known_waits_for_no_stranger() -> None:
    outgoing = Outgoing(16)
    begun(outgoing, MANY, known=False)

    assert begun(outgoing, MANY, known=True, peer="192.0.2.1") == MANY


def test_what_has_ended_makes_room() -> None:
    outgoing = Outgoing(1)
    first = outgoing.begin([b"a"], "192.0.2.1", 0, known=False)
    assert first is not None
    assert begun(outgoing, 1, known=False) == 0

    outgoing.end(first)

    assert begun(outgoing, 1, known=False) == 1


def test_the_pieces_are_the_content() -> None:
    for size in (0, 1, 11, 12, 13, 100_000):
        content = bytes(range(256)) * (size // 256 + 1)
        assert b"".join(in_pieces(content[:size])) == content[:size]


def paused_download(outgoing: Outgoing, peer: str, known: bool = True) -> Piecewise:
    answer = outgoing.begin([b"a", b"b"], "192.0.2.1", 0, known, peer)
    assert answer is not None
    assert next(iter(answer)) == b"a"
    return answer


def test_downloads_of_authenticated_clients_are_counted_while_they_stand_still() -> None:
    outgoing = Outgoing(16)
    for peer in ("one", "one", "two"):
        paused_download(outgoing, peer)
    paused_download(outgoing, "two", known=False)

    assert outgoing.paused({"one": 2, "two": 2}, 0) == {"one": 2, "two": 1}
    assert outgoing.paused({"one": 2, "two": 2}, 60) == {}
    outgoing.begin([b"a"], "192.0.2.1", 0, True, "three")
    assert outgoing.paused({}, 0)["three"] == 0, "one that the server has not begun with"


def test_more_paused_downloads_than_threads_are_left_for_others_are_no_excuse() -> None:
    outgoing = Outgoing(16)
    for _ in range(4):
        paused_download(outgoing, "one")
    assert outgoing.paused({"one": 4}, 0) == {"one": 4}

    paused_download(outgoing, "two")

    assert outgoing.paused({"one": 4, "two": 1}, 0) == {}


def test_what_the_server_has_taken_counts_while_the_client_has_not() -> None:
    outgoing = Outgoing(16)
    ended, going_on = paused_download(outgoing, "one"), paused_download(outgoing, "one")
    outgoing.end(ended)

    assert outgoing.paused({"one": 2}, 0) == {"one": 2}
    assert outgoing.paused({"one": 1}, 0) == {"one": 1}
    # It is forgotten by then.
    assert outgoing.paused({"one": 2}, 0) == {"one": 1}
    outgoing.end(going_on)
    assert outgoing.paused({}, 0) == {}

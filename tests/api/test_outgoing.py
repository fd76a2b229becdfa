"""Answers that are not small: strangers have only so much of threads and memory with them, and who is known has all."""

from functions.api.outgoing import ON_THE_WAY, ROOM, Outgoing, in_pieces

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

"""The checker of histories itself: it takes those that can have happened, and no others."""

import itertools
import random
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from tests.faults.linearizability import NO_END, ObservedOperation, is_linearizable


def put(began: float, ended: float, digest: str) -> ObservedOperation:
    return ObservedOperation(began, ended, "put", digest)


def get(began: float, ended: float, digest: str | None) -> ObservedOperation:
    return ObservedOperation(began, ended, "get", digest)


def delete(began: float, ended: float, found: bool | None) -> ObservedOperation:
    return ObservedOperation(began, ended, "delete", None, found)


GOOD = {
    "nothing": [],
    "one after the other": [put(0, 1, "a"), get(2, 3, "a"), put(4, 5, "b"), get(6, 7, "b"), delete(8, 9, True)],
    "at once, new read first": [put(0, 9, "a"), get(1, 2, "a"), get(3, 4, "a")],
    "at once, old read first": [put(0, 9, "a"), get(1, 2, None), get(3, 4, "a")],
    "two puts at once, either order": [put(0, 5, "a"), put(0, 5, "b"), get(6, 7, "a")],
    "of two deletes one finds it": [put(0, 1, "a"), delete(2, 5, True), delete(2, 5, False)],
    "no answer, and it happened late": [put(0, NO_END, "a"), get(1, 2, None), get(8, 9, "a")],
    "no answer, and it never happened": [put(0, NO_END, "a"), get(1, 2, None), get(8, 9, None)],
    "a delete without an answer": [put(0, 1, "a"), delete(2, NO_END, None), get(3, 4, "a"), get(5, 6, None)],
    "an unanswered put, deleted unseen": [put(0, NO_END, "a"), delete(1, 2, True)],
}

BAD = {
    "never put": [put(0, 1, "a"), get(2, 3, "b")],
    "a stale read": [put(0, 1, "a"), put(2, 3, "b"), get(4, 5, "a")],
    "a lost put": [put(0, 1, "a"), get(2, 3, None)],
    "new, then old": [put(0, 1, "a"), put(2, 9, "b"), get(3, 4, "b"), get(5, 6, "a")],
    "two readers see two orders": [put(0, 3, "a"), put(0, 3, "b"), get(4, 5, "a"), get(6, 7, "b")],
    "a delete of nothing": [delete(0, 1, True)],
    "a delete that missed it": [put(0, 1, "a"), delete(2, 3, False)],
    "two deletes of one": [put(0, 1, "a"), delete(2, 5, True), delete(2, 5, True)],
    "back from the dead": [put(0, 1, "a"), delete(2, 3, True), get(4, 5, "a")],
    "no answer, and it unhappened": [put(0, NO_END, "a"), get(1, 2, "a"), get(3, 4, None)],
    "no answer, and it happened twice": [put(0, NO_END, "a"), get(1, 2, "a"), delete(3, 4, True), get(5, 6, "a")],
    "before it was asked": [get(0, 1, "a"), put(2, NO_END, "a")],
}


@pytest.mark.parametrize("name", GOOD)
def test_what_can_have_happened_is_taken(name: str) -> None:
    assert is_linearizable(GOOD[name])


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_have_happened_is_rejected(name: str) -> None:
    assert not is_linearizable(BAD[name])


def by_trying_all(seen: Sequence[ObservedOperation]) -> bool:
    """The definition, word by word: some order, of all that was answered and any of what was not."""
    unanswered = [each for each in seen if each.ended == NO_END]
    answered = [each for each in seen if each.ended != NO_END]
    return any(
        explains(order)
        for count in range(len(unanswered) + 1)
        for happened in itertools.combinations(unanswered, count)
        for order in itertools.permutations([*answered, *happened])
    )


def explains(order: Sequence[ObservedOperation]) -> bool:
    named = None
    for number, each in enumerate(order):
        if any(later.ended < each.began for later in order[number + 1 :]):
            return False
        fits = {"get": each.digest == named, "put": True, "delete": each.found in (None, named is not None)}
        if not fits[each.action]:
            return False
        named = {"get": named, "put": each.digest, "delete": None}[each.action]
    return True


@some.composite
def histories(draw: some.DrawFn) -> list[ObservedOperation]:
    history = []
    for _ in range(draw(some.integers(1, 5))):
        began = draw(some.integers(0, 8))
        action = draw(some.sampled_from(["put", "get", "delete"]))
        known = draw(some.booleans()) or action == "get"
        ended = began + draw(some.integers(1, 5)) if known else NO_END
        if action == "put":
            history.append(put(began, ended, draw(some.sampled_from("ab"))))
        elif action == "get":
            history.append(get(began, ended, draw(some.sampled_from(["a", "b", None]))))
        else:
            history.append(delete(began, ended, draw(some.booleans()) if known else None))
    return history


@given(histories())
@settings(max_examples=400)
def test_it_agrees_with_the_definition(history: list[ObservedOperation]) -> None:
    assert is_linearizable(history) == by_trying_all(history)


def true_history(count: int, clients: int) -> list[ObservedOperation]:
    """Operations of clients that overlap, each of which happens at a moment of its own in between."""
    chance, named = random.Random(7), None
    free, history = [0.0] * clients, []
    for number in range(count):
        client = free.index(min(free))
        moment = max(free[client], number * 1.0) + chance.random()
        free[client] = moment + chance.random() * clients
        match chance.choice(["put", "get", "get", "delete"]):
            case "put":
                named = f"digest {number}"
                history.append(put(number, free[client], named))
            case "get":
                history.append(get(number, free[client], named))
            case "delete":
                history.append(delete(number, free[client], named is not None))
                named = None
    return history


def test_a_long_history_is_checked_and_one_wrong_answer_in_it_is_found() -> None:
    history = true_history(2000, 16)
    assert is_linearizable(history)
    wrong = next(number for number in range(1900, 2000) if history[number].action == "get")
    history[wrong] = history[wrong]._replace(digest=next(each.digest for each in history if each.action == "put"))
    assert not is_linearizable(history)

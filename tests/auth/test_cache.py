"""Answers that are remembered."""

import itertools

import pytest

from lading.auth import cache
from lading.auth.cache import NEGATIVE_TTL, POSITIVE_TTL, ResultCache


def test_an_answer_that_becomes_too_old_while_it_is_looked_at_is_asked_for_again() -> None:
    """Each look at the clock finds it later: whenever the answer's end falls, there is an answer."""
    for start in range(10):
        times = itertools.chain([0.0], itertools.count(POSITIVE_TTL - 5 + start))
        answers: ResultCache[str, int] = ResultCache(bool, lambda times=times: next(times))  # type: ignore[misc]
        assert answers.put("question", 1) == 1

        assert answers.get("question", lambda: 2) in (1, 2)


def test_nothing_is_an_answer_as_well() -> None:
    now = [0.0]
    answers: ResultCache[str, int | None] = ResultCache(lambda answer: answer is not None, lambda: now[0])
    asked = []

    def ask() -> None:
        asked.append(1)

    for now[0] in (0.0, NEGATIVE_TTL - 1, NEGATIVE_TTL + 1):
        assert answers.get("question", ask) is None
    assert len(asked) == 2


def test_no_answer_that_is_a_yes_makes_room_for_those_that_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "MAX_ENTRIES", 10)
    answers: ResultCache[str, bool] = ResultCache(bool)
    answers.put("granted", True)

    for number in range(100):
        answers.put(f"invented {number}", False)

    assert answers.peek("granted") is True
    assert answers.peek("invented 0") is None
    assert answers.put("granted", False) is answers.peek("granted") is False

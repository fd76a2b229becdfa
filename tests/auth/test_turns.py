"""Turns: what takes long holds few threads, whoever asks for it."""

import threading
from typing import Any

import pytest
import requests

from functions.auth import google
from functions.auth.google import Google
from functions.auth.turns import Turns
from functions.registry.errors import UNAVAILABLE
from functions.settings import SETTINGS
from tests.auth.floods import PATIENCE, flood


def test_few_go_on_at_once_some_wait_and_the_rest_are_turned_away() -> None:
    turns, go_on, lock = Turns(2, 3), threading.Event(), threading.Lock()
    going, most = 0, 0

    def work() -> None:
        nonlocal going, most
        with turns.take():
            with lock:
                going += 1
                most = max(most, going)
            assert go_on.wait(PATIENCE)
            with lock:
                going -= 1

    for _ in range(2):
        # The second time shows that all have given their turn back.
        go_on.clear()
        assert flood(work, 20, 5, go_on) == ([UNAVAILABLE] * 15, [])
    assert most == 2


def test_a_fault_gives_the_turn_back() -> None:
    turns = Turns(1, 0)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError), turns.take():
            raise ZeroDivisionError


def test_a_google_that_is_slow_does_not_hold_all_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    go_on = threading.Event()

    class Slow:
        def request(self, *words: Any, **more: Any) -> Any:
            assert go_on.wait(PATIENCE)
            raise requests.ConnectionError

    monkeypatch.setattr(google, "_session", Slow)
    asked = Google()
    threads = next(setting for setting in SETTINGS if setting.option == "threads")

    turned_away, kept = flood(lambda: asked.token_info("ya29.made-up"), int(threads.default), 96, go_on)

    assert turned_away == [UNAVAILABLE] * 32
    assert kept == [UNAVAILABLE] * 96

"""Listings of repositories, many at a time: one caller has no more than a share, and holds up no other."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from lading.api import catalog
from lading.dispatcher import MAX_SEARCHES, MAX_WAITING_SEARCHES
from tests.corpus.user_headers import Headers
from tests.support.fake_iam_world import RestrictedApp

FLOOD = 20
SECONDS = 30.0


def test_many_listings_of_one_caller_keep_no_other_waiting(
    guarded: RestrictedApp, headers: Headers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They take the interpreter's lock from pulls: beside 50 of them the slowest pull in 100 took 0.4 s, not 0.06."""
    searching, go_on, turned_away = threading.Semaphore(0), threading.Event(), threading.Semaphore(0)
    page_of, alices = catalog.page_of, []

    def slow(*arguments: object) -> catalog.CatalogPage:
        if threading.current_thread().name.startswith("alice"):
            alices.append(threading.current_thread().name)
            searching.release()
            assert go_on.wait(SECONDS)
        return page_of(*arguments)  # type: ignore[arg-type]

    def listing(user: str) -> int:
        status = guarded.client.request("GET", "/v2/_catalog", headers=sent[user]).status
        if status == 503:
            turned_away.release()
        return status

    sent = {user: headers(user, "registry:catalog:*") for user in ("alice", "carol")}
    monkeypatch.setattr(catalog, "page_of", slow)
    with ThreadPoolExecutor(FLOOD, thread_name_prefix="alice") as clients:
        flood = [clients.submit(listing, "alice") for _ in range(FLOOD)]
        assert searching.acquire(timeout=SECONDS)
        for _ in range(FLOOD - MAX_SEARCHES // 2 - MAX_WAITING_SEARCHES // 2):
            assert turned_away.acquire(timeout=SECONDS), "no thread of the server waits for it"
        assert len(alices) == MAX_SEARCHES // 2
        assert listing("carol") == 200
        go_on.set()

    assert sorted(each.result() for each in flood)[: 1 + MAX_WAITING_SEARCHES // 2] == [200] * (
        1 + MAX_WAITING_SEARCHES // 2
    )

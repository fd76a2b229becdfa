"""Probes, OPTIONS and trailing slashes: what load balancers, browsers and people ask first."""

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from lading.registry.readiness import RESPONSE_TIMEOUT, Readiness
from lading.registry.registry import Registry
from lading_storage.errors import Unavailable
from lading_storage.protocols import Found
from lading_storage.stores import Stores
from tests.support.app_client import Client, make_client
from tests.support.server_process import Server, basic, serving, user_environment
from tests.support.store_hooks import Fault, hooked_registry

BAD: Mapping[str, str] = {"Authorization": basic("nobody", "wrong")}


@pytest.fixture
def guarded(environment: Mapping[str, str], tmp_path: Path) -> Any:
    variables, _ = user_environment(tmp_path / "access")
    with serving({**environment, **variables}, tmp_path / "log") as server:
        yield server


@pytest.mark.parametrize("path", ["/", "/healthz", "/readyz"])
def test_probes_need_no_credentials_and_take_bad_ones(guarded: Server, path: str) -> None:
    for headers in ({}, BAD, {"Authorization": "nonsense"}):
        response, body = guarded.request("GET", path, headers=headers)
        assert (response.status, bool(body)) == (200, True)
        response, body = guarded.request("HEAD", path, headers=headers)
        assert (response.status, body) == (200, b"")
    assert guarded.request("POST", path)[0].status == 405


def test_options_say_what_a_path_takes_and_look_nothing_up(guarded: Server) -> None:
    for path, allowed in {
        "/v2/": "GET, HEAD, OPTIONS",
        "/v2/absent/manifests/v1": "DELETE, GET, HEAD, OPTIONS, PUT",
        "/v2/absent/blobs/uploads/": "OPTIONS, POST",
        "/healthz": "GET, HEAD, OPTIONS",
        "*": "DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT",
    }.items():
        for headers in ({}, BAD):
            response, body = guarded.request("OPTIONS", path, headers=headers)
            assert (response.status, response.headers["Allow"], body) == (204, allowed, b"")
            assert "Content-Length" not in response.headers
            assert "Access-Control-Allow-Origin" not in response.headers
    assert guarded.request("OPTIONS", "/nothing")[0].status == 404
    assert guarded.request("GET", "*")[0].status == 405


def test_a_slash_at_the_end_of_a_listing_changes_nothing(client: Client) -> None:
    client.push_image("team/app", "v1")
    client.push_image("team/app", "v2")
    for path in ("/v2/_catalog", "/v2/team/app/tags/list"):
        assert client.request("GET", f"{path}/").json == client.request("GET", path).json
    page = client.request("GET", "/v2/team/app/tags/list/?n=1")
    assert page.json["tags"] == ["v1"]
    link = page.headers["Link"].partition("<")[2].partition(">")[0]
    assert client.request("GET", link).json["tags"] == ["v2"]


class CountingStores:
    """Stores that count how often they are asked, and fail on demand."""

    def __init__(self) -> None:
        self.calls = 0
        self.failing = ""
        self.entered, self.go_on = threading.Event(), threading.Event()
        self.go_on.set()

    def read(self, keys: Any, **_: Any) -> Found:
        self.calls += 1
        self.entered.set()
        assert self.go_on.wait(30)
        if self.failing == "metadata":
            raise Unavailable("down")
        return Found(dict.fromkeys(keys))

    def open(self, *_: Any) -> Any:
        if self.failing == "blobs":
            raise Unavailable("down")
        return iter(())


def test_stores_are_asked_once_a_second() -> None:
    time, stores = [10.0], CountingStores()
    readiness = Readiness(stores, stores, lambda: time[0])  # type: ignore[arg-type]

    for _ in range(5):
        assert readiness.failing() == ""
    assert stores.calls == 1
    for failing in ("metadata", "blobs", ""):
        time[0] += 0.9
        stores.failing = failing
        before = stores.calls
        readiness.failing()
        assert stores.calls == before
        time[0] += 0.1
        assert [readiness.failing() for _ in range(3)] == [failing] * 3
        assert stores.calls == before + 1


def test_while_one_asks_others_are_told_what_was_before() -> None:
    time, stores = [10.0], CountingStores()
    readiness = Readiness(stores, stores, lambda: time[0])  # type: ignore[arg-type]
    assert readiness.failing() == ""
    time[0], stores.failing = 12.0, "metadata"
    stores.go_on.clear()
    stores.entered.clear()
    asking = threading.Thread(target=readiness.failing)
    asking.start()
    assert stores.entered.wait(30)

    assert readiness.failing() == ""

    stores.go_on.set()
    asking.join()
    assert readiness.failing() == "metadata"
    assert stores.calls == 2


def test_a_store_that_does_not_answer_fails_after_a_while() -> None:
    time, stores = [10.0], CountingStores()
    readiness = Readiness(stores, stores, lambda: time[0])  # type: ignore[arg-type]
    assert readiness.failing() == ""
    time[0] = 12.0
    stores.go_on.clear()
    stores.entered.clear()
    asking = threading.Thread(target=readiness.failing)
    asking.start()
    assert stores.entered.wait(30)

    time[0] += RESPONSE_TIMEOUT - 0.1
    assert readiness.failing() == ""
    time[0] += 0.1
    assert readiness.failing() == "metadata"

    stores.go_on.set()
    asking.join()
    assert readiness.failing() == ""


def test_a_store_that_never_answered_is_not_waited_for_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lading.registry.readiness.RESPONSE_TIMEOUT", 0.1)
    stores = CountingStores()
    readiness = Readiness(stores, stores)  # type: ignore[arg-type]
    stores.go_on.clear()
    asking = threading.Thread(target=readiness.failing)
    asking.start()
    assert stores.entered.wait(30)

    assert readiness.failing() == "metadata"

    stores.go_on.set()
    asking.join()
    assert readiness.failing() == ""


def test_a_store_that_fails_is_told_as_503(stores: Stores) -> None:
    registry = hooked_registry(stores, Fault("read"))

    answer = make_client(registry).request("GET", "/readyz")

    assert (answer.status, answer.code) == (503, "UNAVAILABLE")
    assert answer.json["errors"][0]["detail"] == {"store": "metadata"}
    assert "Retry-After" in answer.headers
    assert make_client(registry).request("GET", "/healthz").status == 200


def test_both_stores_say_that_an_object_is_not_there(registry: Registry) -> None:
    assert make_client(registry).request("GET", "/readyz").json == {"status": "ready"}

"""The endpoint of the function `scan`: who may call it, and what it says where the registry is down."""

from collections.abc import Callable
from typing import Any

import pytest
from werkzeug.test import EnvironBuilder
from werkzeug.wrappers import Request

from lading import logs, scan_function
from lading.auth.google import scheduler
from lading.scanner.registry_client import RegistryUnreachable


class _Scanner:
    """A scanner whose run does as a test says."""

    def __init__(self, run: Callable[[], dict[str, Any]]) -> None:
        self.run = run


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LADING_URL", "https://registry.example.com")
    monkeypatch.setattr(logs, "start", lambda *_: None)
    monkeypatch.setattr(scheduler, "check", lambda *_: None)


def request(method: str = "POST") -> Request:
    return Request(EnvironBuilder(method=method).get_environ())


def unreachable() -> dict[str, Any]:
    raise RegistryUnreachable("it does not answer")


def test_a_registry_that_cannot_be_reached_is_asked_again_later(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Eventarc repeats what fails with 503, and Cloud Scheduler calls again."""
    monkeypatch.setattr(scan_function, "_scanner", lambda: _Scanner(unreachable))

    response = scan_function.respond(request())

    assert response.status == 503
    assert int(dict(response.headers)["Retry-After"]) > 0
    assert "the registry failed: it does not answer" in caplog.text
    assert not scan_function._running.locked(), "the next call can scan"


def test_a_call_returns_the_report(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan_function, "_scanner", lambda: _Scanner(lambda: {"scans": {"done": 1}}))

    response = scan_function.respond(request())

    assert (response.status, response.content) == (200, b'{"scans": {"done": 1}}')


def test_only_posts_scan(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan_function, "_scanner", lambda: pytest.fail("it scans"))

    assert scan_function.respond(request("GET")).status == 405

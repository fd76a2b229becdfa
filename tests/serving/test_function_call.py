"""What all functions that Google Cloud calls have in common: who may call them, and what a failure comes to."""

import json
from collections.abc import Callable
from typing import Any, Final

import pytest
from werkzeug.test import EnvironBuilder
from werkzeug.wrappers import Request

from lading import attest_function, function_call, logs, publish_function, scan_function, scheduled
from lading.auth.google import scheduler
from lading.http.responses import Response
from lading.job_table import COLLECT
from lading.registry.errors import DENIED, UNAVAILABLE, RegistryError
from lading_storage.errors import Unavailable

COLLECTOR: Final = "scheduler@some-project.iam.gserviceaccount.com"
PUBLISHER: Final = "events@some-project.iam.gserviceaccount.com"

FUNCTIONS: Final[dict[str, tuple[Callable[[Request], Response], str, str]]] = {
    "collect": (lambda request: scheduled.run_slice(COLLECT, request), COLLECTOR, "LADING_COLLECTOR"),
    "publish": (publish_function.respond, PUBLISHER, "LADING_PUBLISHER"),
    "scan": (scan_function.respond, COLLECTOR, "LADING_COLLECTOR"),
    "attest": (attest_function.respond, COLLECTOR, "LADING_COLLECTOR"),
}
"""All functions but the registry, each with the account that may call it, and the setting that names it."""


@pytest.fixture
def checks(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str, str]]:
    """The checks of callers: header, account and setting. All are refused."""
    monkeypatch.setenv("LADING_URL", "https://registry.example.com")
    monkeypatch.setenv("LADING_COLLECTOR", COLLECTOR)
    monkeypatch.setenv("LADING_PUBLISHER", PUBLISHER)
    monkeypatch.setattr(logs, "start", lambda *_: None)
    made: list[tuple[str, str, str]] = []

    def check(authorization: str, account: str, _: object, variable: str) -> None:
        made.append((authorization, account, variable))
        raise RegistryError(DENIED)

    monkeypatch.setattr(scheduler, "check", check)
    return made


def request(method: str = "POST") -> Request:
    headers = [("Authorization", "Bearer t")]
    return Request(EnvironBuilder(method=method, headers=headers).get_environ())


@pytest.mark.parametrize("name", FUNCTIONS)
def test_each_function_names_its_only_caller(name: str, checks: list[tuple[str, str, str]]) -> None:
    respond, account, variable = FUNCTIONS[name]

    assert respond(request()).status == 403

    assert checks == [("Bearer t", account, variable)]


def run(call: Callable[[Any], dict[str, Any]], method: str = "POST") -> Response:
    return function_call.respond(request(method), "some", lambda config: config.collector, call)


def raising(error: Exception) -> Callable[[Any], dict[str, Any]]:
    def call(_: Any) -> dict[str, Any]:
        raise error

    return call


def test_a_caller_that_is_refused_runs_nothing(checks: list[tuple[str, str, str]]) -> None:
    assert run(lambda _: pytest.fail("it runs")).status == 403
    assert run(lambda _: pytest.fail("it runs"), "GET").status == 403, "a method says nothing to others"


def test_what_a_run_comes_to(
    checks: list[tuple[str, str, str]], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(scheduler, "check", lambda *_: None)

    report = run(lambda _: {"done": 1})
    assert (report.status, json.loads(b"".join(report))) == (200, {"done": 1})
    assert run(lambda _: pytest.fail("it runs"), "GET").status == 405
    assert run(raising(RegistryError(UNAVAILABLE))).status == 503
    assert caplog.text == ""

    failed = run(raising(Unavailable("down")))
    assert (failed.status, "Retry-After" in dict(failed.headers)) == (503, True)
    assert "a store failed: the function some" in caplog.text

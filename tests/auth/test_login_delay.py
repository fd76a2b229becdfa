"""The delay after failed logins, over HTTP."""

import tracemalloc
from pathlib import Path

import pytest

from lading.auth.bulkhead import WAIT_TIMEOUT
from lading.auth.guess_limit import (
    GUESSES_PER_SECOND,
    GUESSES_PER_SECOND_OF_NETWORK,
    MAX_GUESSES,
    MAX_GUESSES_OF_NETWORK,
)
from lading.auth.leaky_counters import MAX_KEYS, LeakyCounters
from lading.auth.login_delay import (
    ATTEMPTS_PER_SECOND,
    BY_NAME,
    BY_NETWORK,
    FIRST_DELAY,
    MAX_ATTEMPTS,
    MAX_DELAY,
    LoginDelay,
)
from lading.auth.passwords import INVALID_TTL, MAX_CHECKS, MAX_WAITING_CHECKS, RESERVED_CHECKS
from lading.auth.recent_logins import RECENT_LOGIN_TTL
from lading.auth.robot_cache import MIN_REREAD_INTERVAL
from tests.support.app_client import Response
from tests.support.auth_fixtures import AppFactory
from tests.support.fake_iam_world import RestrictedApp
from tests.support.server_process import basic, user_environment

V4 = ("192.0.2.66", "192.0.2.66", "192.0.2.67")
V6 = ("2001:db8::1", "2001:db8::2:3", "2001:db8:0:1::1")
"""An attacker, an address of the same network, and one of another."""


@pytest.fixture
def app(make_app: AppFactory, tmp_path: Path) -> RestrictedApp:
    """A registry with a user, behind a trusted proxy."""
    variables, _ = user_environment(tmp_path / "access")
    return make_app(
        **{name.removeprefix("LADING_").lower(): value for name, value in variables.items()}, trusted_hops="1"
    )


def log_in(app: RestrictedApp, password: str, address: str, way: str = "GET") -> Response:
    headers = {"X-Forwarded-For": address}
    if way == "GET":
        return app.client.request("GET", "/v2/token", headers=headers | {"Authorization": basic("alice", password)})
    headers["Content-Type"] = "application/x-www-form-urlencoded"
    form = f"grant_type=password&username=alice&password={password}"
    return app.client.request("POST", "/v2/token", form.encode(), headers)


@pytest.mark.parametrize("way", ["GET", "POST"])
@pytest.mark.parametrize("addresses", [V4, V6], ids=["v4", "v6"])
def test_guesses_are_answered_with_429_and_a_time(
    app: RestrictedApp, addresses: tuple[str, str, str], way: str, caplog: pytest.LogCaptureFixture
) -> None:
    attacker, same, other = addresses
    refused = {"GET": 401, "POST": 400}[way]  # a form is refused as RFC 6749 has it
    for number in range(BY_NAME.failures + 1):
        assert log_in(app, f"guess-{number}", attacker, way).status == refused
    caplog.clear()

    delayed = log_in(app, "guess-x", same, way)

    assert (delayed.status, delayed.code) == (429, "TOOMANYREQUESTS")
    assert delayed.headers["Retry-After"] == "1"
    assert "WWW-Authenticate" not in delayed.headers
    (line,) = [each.getMessage() for each in caplog.records if each.name == "lading.audit"]
    assert line.startswith(f'audit outcome=refused status=429 client={same} user="alice"')
    assert log_in(app, "guess-y", other, way).status == refused


def test_the_delay_doubles_to_its_end() -> None:
    for allowance in (BY_NAME, BY_NETWORK):
        delays = [allowance.delay(allowance.failures + more) for more in range(9)]
        assert delays == [0, 0.5, 1, 2, 4, 8, 16, MAX_DELAY, MAX_DELAY]
        assert allowance.delay(allowance.max_level) == MAX_DELAY


def test_failures_are_forgotten() -> None:
    now = [0.0]
    delay = LoginDelay(lambda: now[0])
    for _ in range(1000):
        delay.record_failure("alice", "a")
    assert delay.remaining("alice", "a", known=True) == MAX_DELAY

    now[0] = (BY_NAME.max_level - BY_NAME.failures) * BY_NAME.decay_seconds
    assert delay.remaining("alice", "a", known=False) == 0
    delay.record_failure("alice", "a")
    assert delay.remaining("alice", "a", known=False) == 0.5


def test_what_is_counted_is_bounded() -> None:
    counters: LeakyCounters[int] = LeakyCounters(0.0, lambda: 0.0)
    for number in range(MAX_KEYS + 1):
        counters.add(number)

    assert [counters.last(number).level for number in (0, 1, MAX_KEYS)] == [0, 1, 1]


def test_a_long_name_is_delayed_and_not_kept() -> None:
    """10,000 names of 16,384 characters, which any client may send, would take 640 MiB."""
    delay = LoginDelay(lambda: 0.0)
    tracemalloc.start()
    try:
        name = "".join(["\N{GRINNING FACE}"] * 2**20)
        for _ in range(BY_NAME.failures + 1):
            delay.record_failure(name, "a")
        del name
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert kept < 2**16
    assert delay.remaining("\N{GRINNING FACE}" * 2**20, "a", known=True) == FIRST_DELAY


def test_a_counter_is_taken_up_to_its_maximum_and_leaks() -> None:
    now = [0.0]
    counters: LeakyCounters[str] = LeakyCounters(0.5, lambda: now[0])

    assert [counters.try_increment("a", 3) for _ in range(5)] == [True] * 3 + [False] * 2
    now[0] = 2
    assert [counters.try_increment("a", 3) for _ in range(2)] == [True, False]
    counters.add("a", -10)
    assert counters.last("a").level == 0


def test_the_document_says_what_the_program_does() -> None:
    text = (Path(__file__).parents[2] / "docs" / "access.md").read_text()

    assert f"\n| user name and network | {BY_NAME.failures} | 5 minutes |" in text
    assert f"\n| network | {BY_NETWORK.failures} | minute |" in text
    assert (BY_NAME.decay_seconds, BY_NETWORK.decay_seconds, INVALID_TTL) == (300, 60, 600)
    for said in (
        f"{FIRST_DELAY} s after the next failure, doubling with each up to {MAX_DELAY:.0f} s",
        f"last {RECENT_LOGIN_TTL / 3600:.0f} hours",
        f"a burst of {MAX_ATTEMPTS}, then",
        f"queue of {MAX_WAITING_CHECKS} checks",
        f"once a second for one network (burst of {MAX_GUESSES_OF_NETWORK})",
        f"(burst of {MAX_GUESSES})",
    ):
        assert said in " ".join(text.split()), said
    assert (MAX_CHECKS, RESERVED_CHECKS, WAIT_TIMEOUT, MIN_REREAD_INTERVAL) == (3, 1, 5, 5)
    assert (ATTEMPTS_PER_SECOND, GUESSES_PER_SECOND, GUESSES_PER_SECOND_OF_NETWORK) == (0.1, 10, 1)

"""The endpoint of the function `publish`: whom it serves, and what it reads of a request."""

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jwt
import pytest
from werkzeug.test import EnvironBuilder
from werkzeug.wrappers import Request

from lading import publish_function
from lading.events.publish_report import PublishReport
from lading.http.responses import Response

ACCOUNT = "lading-events@p-1.iam.gserviceaccount.com"
EVENT = {"ce-document": "events/7-0001795955415000250-0000000007-5e2f0a1c"}


class RecordingRuns:
    """Runs that keep what was called: the range of a wake-up, or "sweep"."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def run(self) -> PublishReport:
        """Publish nothing."""
        self.calls.append("sweep")
        return PublishReport()

    def wake_up(self, first: str) -> PublishReport:
        """Publish nothing."""
        self.calls.append(first)
        return PublishReport()


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> RecordingRuns:
    """The runs of a function in Cloud Run, which has verified the token of each call."""
    recording = RecordingRuns()
    monkeypatch.setenv("K_SERVICE", "lading-publish")
    monkeypatch.setenv("FUNCTION_TARGET", "publish")
    monkeypatch.setenv("LADING_PUBLISHER", ACCOUNT)
    monkeypatch.setattr(publish_function, "_runs", lambda: recording)
    return recording


def token(**changes: Any) -> str:
    """Return what Cloud Run passes on of an ID token: it removes the signature."""
    claims = {
        "iss": "https://accounts.google.com",
        "aud": "https://lading-publish-abc.a.run.app",
        "email": ACCOUNT,
        "email_verified": True,
        "exp": int(time.time()) + 3600,
    }
    signed = jwt.encode({**claims, **changes}, "x" * 32)
    return f"Bearer {signed.rpartition('.')[0]}.SIGNATURE_REMOVED_BY_GOOGLE"


def call(authorization: str, headers: dict[str, str], method: str = "POST") -> Response:
    """Call the function."""
    given = {"Authorization": authorization, **headers} if authorization else headers
    return publish_function.respond(Request(EnvironBuilder(method=method, headers=list(given.items())).get_environ()))


@pytest.mark.parametrize(
    ("authorization", "status"),
    [
        ("", 401),
        ("Basic YTpi", 401),
        ("Bearer x", 401),
        ("Bearer " + "a." * 5000, 401),
        (token(email="attacker@example.com"), 403),
        (token(email=ACCOUNT.upper()), 403),
        (token(email=f"{ACCOUNT}.example.com"), 403),
        (token(email=None), 401),
        (token(email_verified=False), 401),
        (token(iss="https://issuer.example.com"), 401),
        (token(exp=int(time.time()) - 60), 401),
        (token(exp="never"), 401),
    ],
)
def test_it_publishes_for_no_other_caller(runs: RecordingRuns, authorization: str, status: int) -> None:
    """Whatever the headers of the event say, and however many call at once."""
    with ThreadPoolExecutor(16) as pool:
        responses = list(pool.map(lambda _: call(authorization, EVENT).status, range(20)))
    assert responses == [status] * 20
    assert runs.calls == []


@pytest.mark.parametrize(
    ("headers", "first"),
    [
        (EVENT, "7"),
        ({"ce-subject": "documents/events/a-1"}, "a"),
        ({}, "sweep"),
        ({"ce-document": "events/../manifests/7-1"}, ""),
        ({"ce-document": "events/g-1"}, ""),
        ({"ce-document": "events/7-" + "1" * 10_000}, ""),
    ],
)
def test_of_an_event_it_reads_the_range_alone(runs: RecordingRuns, headers: dict[str, str], first: str) -> None:
    assert call(token(), headers).status == 200
    assert runs.calls == [first]


def test_other_methods_publish_nothing(runs: RecordingRuns) -> None:
    assert call(token(), EVENT, "GET").status == 405
    assert runs.calls == []

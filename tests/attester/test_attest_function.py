"""The function as Pub/Sub and Cloud Scheduler call it: who may, what a call does, and what the log says."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from requests import Session
from werkzeug.test import EnvironBuilder
from werkzeug.wrappers import Request

from lading import attest_function
from lading.attester import google_api
from lading.attester.attest_run import AttestReport, AttestRun
from lading.auth.google.own_identity import OwnIdentity
from lading.http.responses import Response
from lading.registry.registry import Registry
from tests.attester.attester_server import AttesterServer
from tests.support.binary_authorization import ACCOUNT, KEY_VERSION, NOTE, occurrences_of
from tests.support.fake_iam_world import PROJECT, FakeIamWorld, id_token
from tests.support.registry_pushes import push_image

CALLER: Final = "lading-scheduler@some-project.iam.gserviceaccount.com"


@pytest.fixture
def duplicates() -> bool:
    return False


@pytest.fixture
def function(
    served: AttesterServer, world: FakeIamWorld, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[AttesterServer]:
    """The function in the environment that Terraform gives it; the metadata server is that of a test."""
    settings = {
        "LADING_URL": served.url,
        "LADING_LOG": "json",
        "LADING_COLLECTOR": CALLER,
        "LADING_ATTESTER": ACCOUNT,
        "LADING_ATTEST_REPOSITORIES": "team/*",
        "LADING_ATTESTATION_NOTE": NOTE,
        "LADING_ATTESTATION_KEY": KEY_VERSION,
        "LADING_DATA": str(tmp_path / "none"),
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(OwnIdentity, "token", lambda _: id_token(email=ACCOUNT, aud=served.url))
    monkeypatch.setattr(google_api, "_own_session", served.session)
    monkeypatch.setattr(google_api, "RETRY_DELAYS", ())
    attest_function._attester.cache_clear()
    yield served
    attest_function._attester.cache_clear()


def call(function: AttesterServer, body: bytes = b"", email: str = CALLER, method: str = "POST") -> tuple[int, Any]:
    """Call the function; return the status, and the content of the response."""
    headers = [("Authorization", f"Bearer {id_token(email=email, aud=function.url)}")]
    environ = EnvironBuilder(method=method, data=body, headers=headers).get_environ()
    response: Response = attest_function.respond(Request(environ))
    return response.status, json.loads(b"".join(response))


def push_request(repository: str, digest: str) -> bytes:
    event = {"type": "dev.lading.image.scanned.v1", "data": {"repository": repository, "digest": digest}}
    return json.dumps({"message": {"data": base64.b64encode(json.dumps(event).encode()).decode()}}).encode()


def test_a_message_attests_and_a_sweep_finds_nothing_more(
    registry: Registry, function: AttesterServer, world: FakeIamWorld, capfd: pytest.CaptureFixture[str]
) -> None:
    image = push_image(registry, "team/app", "v1").id

    status, report = call(function, push_request("team/app", image))

    assert (status, report["images"]["attested"]) == (200, 1)
    assert len(occurrences_of(world)) == 1
    line = next(each for each in capfd.readouterr().err.splitlines() if "attestations: " in each)
    assert json.loads(line)["attest"]["images"] == {
        "attested": 1,
        "present": 0,
        "refused": 0,
        "failed": 0,
        "other": 0,
    }
    status, report = call(function)
    assert (status, report["images"], report["finished"]) == (200, dict.fromkeys(report["images"], 0), True)


def test_only_the_scheduler_calls_it(registry: Registry, function: AttesterServer, world: FakeIamWorld) -> None:
    image = push_image(registry, "team/app", "v1").id
    assert call(function, push_request("team/app", image), email=ACCOUNT)[0] == 403
    assert call(function, push_request("team/app", image), method="PUT")[0] == 405
    assert (occurrences_of(world), function.requests) == ([], [])


def test_a_message_that_is_none_is_acknowledged_and_logged(
    function: AttesterServer, capfd: pytest.CaptureFixture[str]
) -> None:
    for body in (b"{}", b"x" * 300_000):
        assert call(function, body)[0] == 200
    lines = [json.loads(each)["message"] for each in capfd.readouterr().err.splitlines() if "dropped" in each]
    assert lines == [
        "a message is dropped: the message is no event of a registry: KeyError",
        "a message is dropped: it has more than 262144 bytes",
    ]
    assert function.requests == []


def test_a_missing_right_is_one_line_of_the_log_and_the_message_is_sent_again(
    registry: Registry, function: AttesterServer, world: FakeIamWorld, capfd: pytest.CaptureFixture[str]
) -> None:
    image = push_image(registry, "team/app", "v1").id
    world.fields["projects"][PROJECT] = {}
    world.save()

    assert call(function, push_request("team/app", image))[0] == 503

    (line,) = [json.loads(each) for each in capfd.readouterr().err.splitlines() if "Google refuses" in each]
    assert line["severity"] == "ERROR"
    assert f"containeranalysis.occurrences.create on projects/{PROJECT}" in line["message"]


def test_one_attestation_that_is_refused_is_an_error_in_the_log(
    function: AttesterServer, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """An alert waits for it; Pub/Sub does not repeat the call, since the same would happen."""
    monkeypatch.setattr(AttestRun, "handle", lambda *_: AttestReport(failed=1, reasons={"team/app@x": "delete it"}))

    assert call(function, push_request("team/app", f"sha256:{'0' * 64}"))[0] == 200

    error, report = (json.loads(each) for each in capfd.readouterr().err.splitlines())
    assert (error["severity"], "1 attestation:" in error["message"]) == ("ERROR", True)
    assert report["attest"]["reasons"] == {"team/app@x": "delete it"}


def test_an_outage_is_sent_again(registry: Registry, function: AttesterServer, world: FakeIamWorld) -> None:
    image = push_image(registry, "team/app", "v1").id
    world.outage("v1/projects/", 503)
    assert call(function, push_request("team/app", image))[0] == 503
    world.outage("nowhere", 503)
    assert call(function, push_request("team/app", image))[1]["images"]["attested"] == 1
    function.statuses += [503]
    assert call(function)[0] in (200, 503)


def test_one_sweep_at_a_time(registry: Registry, function: AttesterServer) -> None:
    push_image(registry, "team/app", "v1")
    attester = attest_function._attester()
    with attester._sweeping:
        status, report = call(function)
    assert (status, report["finished"], report["images"]["attested"]) == (200, False, 0)
    assert call(function)[1]["images"]["attested"] == 1


def test_the_emulated_session_is_googles_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """`_own_session`, which the other tests replace, uses the application default credentials."""
    import google.auth
    import google.oauth2.credentials

    credentials = google.oauth2.credentials.Credentials("ya29.own")  # type: ignore[no-untyped-call]
    asked: list[Any] = []

    def default(scopes: list[str]) -> tuple[Any, str]:
        asked.append(scopes)
        return credentials, "p"

    monkeypatch.setattr(google.auth, "default", default)
    session = google_api._own_session()
    assert isinstance(session, Session)
    assert asked == [["https://www.googleapis.com/auth/cloud-platform"]]

"""What metrics observe in the process: the route of a request, conflicts of commits, and requests to Google."""

import contextlib
from datetime import UTC, datetime
from pathlib import Path

import pytest
import requests
from werkzeug.test import EnvironBuilder
from werkzeug.wrappers import Request

from lading.app import Respond, request_of
from lading.auth.google import client
from lading.auth.google.client import GoogleClient
from lading.auth.google.subject import IamSubject
from lading.composition import create, open_metadata
from lading.http.responses import Response
from lading.metrics.metrics import Metrics
from lading.registry.errors import RegistryError
from lading.registry.retry import retry_on_conflict
from lading.settings import Settings, load_settings
from lading.surface.route import Match
from lading.surface.surface import Surface
from lading_storage.errors import Conflict
from lading_storage.protocols import Create, Found, Replace, Touch
from lading_storage.records.core import Record, Repository
from tests.metrics.metered_server import parse, total
from tests.support.fake_iam_world import PROJECT, PULL, FakeIamWorld


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings({"LADING_DATA": str(tmp_path), "LADING_ACCESS": "everybody"})


def value(metrics: Metrics, name: str, /, **labels: str) -> float:
    metrics._made_at = -1.0  # an exposition is reused for a second
    return total(parse(metrics.exposition().decode()), name, **labels)


@pytest.mark.parametrize("path", ["/v2/", "/v2/team/app/manifests/v1", "/unknown"])
@pytest.mark.parametrize("is_metered", [True, False])
def test_a_request_is_matched_once(
    path: str, is_metered: bool, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    matched: list[str] = []
    match = Surface.match

    def count(surface: Surface, method: str, path: str) -> Match:
        matched.append(path)
        return match(surface, method, path)

    monkeypatch.setattr(Surface, "match", count)
    app = create(settings, Metrics(settings) if is_metered else None)

    def hook(forward: Respond, request: Request) -> Response:
        """See the route before and after, as traces do."""
        before = app.match(request)
        response = forward(request)
        assert app.match(request) is before
        return response

    if is_metered:
        app.add_hook(hook)
    with (
        contextlib.closing(app.registry),
        contextlib.closing(app.respond(request_of(EnvironBuilder(path).get_environ()))),
    ):
        assert matched == [path]


def test_conflicts_of_commits_are_counted(settings: Settings) -> None:
    metrics, record = Metrics(settings), Repository(id="a", created=datetime.now(UTC))
    with contextlib.closing(metrics.metadata(open_metadata(settings.metadata))) as store:
        store.commit([Create(record)])
        assert value(metrics, "lading_commit_conflicts_total") == 0
        with pytest.raises(Conflict):
            store.commit([Create(record)])
        assert value(metrics, "lading_commit_conflicts_total") == 1

        before = store.read([record.key])
        store.commit([Touch(record.key)])
        versions = iter([before, store.read([record.key])])
        retry_on_conflict(lambda: store.commit([Replace(existing(next(versions), record))]))
    assert value(metrics, "lading_commit_conflicts_total") == 2
    assert value(metrics, "registry_storage_action_seconds_count", driver="sqlite", action="commit") == 5


def existing(found: Found, record: Record) -> Record:
    now = found[record.key]
    assert isinstance(now, Record)
    return now


def test_requests_to_google_are_measured_by_host(
    settings: Settings, world: FakeIamWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    metrics = Metrics(settings)
    google, subject = metrics.google_client(), IamSubject(world.token("alice"))
    google.token_info(subject)
    google.test_project_permissions(subject, PROJECT, [PULL])
    name = "lading_google_request_seconds_count"
    assert value(metrics, name, host="oauth2.googleapis.com") == 1
    assert value(metrics, name, host="cloudresourcemanager.googleapis.com") == 1

    def fail() -> None:
        raise requests.ConnectionError

    monkeypatch.setattr(client, "_session", fail)
    with pytest.raises(RegistryError):
        google.token_info(subject)
    assert value(metrics, name, host="oauth2.googleapis.com") == 2


def test_the_client_of_traces_is_measured_as_well(settings: Settings, world: FakeIamWorld) -> None:
    class Traced(GoogleClient):
        """As TracedGoogleClient."""

    metrics, given = Metrics(settings), Traced()
    assert metrics.google_client(given) is given
    given.token_info(IamSubject(world.token("alice")))
    assert value(metrics, "lading_google_request_seconds_count") == 1

"""GET /v2/_lading/events: what each caller receives, on both pairs of stores."""

import threading
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import bcrypt
import pytest
from opentelemetry.trace import NoOpTracer

from lading.auth.tokens import MAX_CLOCK_SKEW, TOKEN_TTL
from lading.registry.events import event_feed
from lading.registry.events.event_cursor import EventCursor
from lading.traces.traced_authenticator import TracedAuthenticator
from lading_storage.records.events import PublishedEvent
from lading_storage.stores import Stores
from tests.support.app_client import Response
from tests.support.fake_iam_world import RestrictedApp, bearer, restricted_app
from tests.support.published_events import publish, published_event
from tests.support.server_process import basic

GRANTS = """admin * pull,push,delete
reader team/* pull
pusher team/app pull,push
deleter team/* delete
"""
USERS = ("admin", "reader", "pusher", "deleter", "outsider")


@pytest.fixture
def app(stores: Stores, tmp_path: Path) -> RestrictedApp:
    """A registry with users, where `library/*` is public."""
    hashes = {user: bcrypt.hashpw(f"{user}-password".encode(), bcrypt.gensalt(4)).decode() for user in USERS}
    (tmp_path / "users").write_text("".join(f"{user}:{text}\n" for user, text in hashes.items()))
    (tmp_path / "grants").write_text(GRANTS)
    environment = {
        "LADING_ACCESS": "users",
        "LADING_PUBLIC": "library/*",
        "LADING_USERS": str(tmp_path / "users"),
        "LADING_GRANTS": str(tmp_path / "grants"),
        "LADING_KEYS": (tmp_path / "keys.json").as_uri(),
    }
    return restricted_app(stores, environment, tmp_path / "data")


def login(user: str) -> Mapping[str, str]:
    return {"Authorization": basic(user, f"{user}-password")} if user else {}


def read(app: RestrictedApp, user: str, query: str = "", headers: Mapping[str, str] | None = None) -> Response:
    return app.client.request("GET", f"/v2/_lading/events?{query}", headers=headers or login(user))


def ago(**by: float) -> datetime:
    return datetime.now(UTC) - timedelta(**by)


def since(time: datetime) -> str:
    return f"since={time.isoformat().replace('+00:00', 'Z')}"


def subjects(response: Response) -> Sequence[str]:
    assert response.status == 200, response
    return [each["subject"] for each in response.json["events"]]


@pytest.fixture
def published(stores: Stores) -> Sequence[PublishedEvent]:
    """Events of three repositories, published in the last seconds."""
    names = ("team/app", "library/app", "other/app")
    events = [published_event(number, ago(seconds=30 - number), name) for number, name in enumerate(names)]
    publish(stores.metadata, *events)
    return events


@pytest.mark.parametrize(
    ("user", "expected"),
    [
        ("", ["library/app:v1"]),
        ("outsider", ["library/app:v1"]),
        ("deleter", ["library/app:v1"]),
        ("reader", ["team/app:v0", "library/app:v1"]),
        ("admin", ["team/app:v0", "library/app:v1", "other/app:v2"]),
    ],
)
def test_a_caller_receives_what_it_may_pull(
    app: RestrictedApp, published: object, user: str, expected: Sequence[str]
) -> None:
    for query in (since(ago(minutes=1)), "since=1m", "since=60s"):
        assert subjects(read(app, user, query)) == expected


def test_a_token_receives_what_it_grants(app: RestrictedApp, published: object) -> None:
    query, admin = since(ago(minutes=1)), login("admin")["Authorization"]
    listing = app.token("registry:catalog:*", authorization=admin)
    single = app.token("repository:other/app:pull", authorization=admin)
    anonymous = app.token("repository:other/app:pull")

    assert len(subjects(read(app, "", query, bearer(listing)))) == 3
    assert subjects(read(app, "", query, bearer(single))) == ["library/app:v1", "other/app:v2"]
    assert subjects(read(app, "", query, bearer(anonymous))) == ["library/app:v1"]
    assert read(app, "", query, bearer("x.y.z")).status == 401


def test_who_made_a_change_is_shown_to_those_who_may_push(app: RestrictedApp, published: object) -> None:
    query = since(ago(minutes=1))

    def actors(user: str) -> list[tuple[str, str]]:
        events = read(app, user, query).json["events"]
        return [(each.get("actor", ""), each.get("requestid", "")) for each in events]

    assert actors("") == [("", "")]
    assert actors("reader") == [("", ""), ("", "")]
    assert actors("pusher") == [("alice", "r" * 8), ("", "")]
    assert actors("admin") == [("alice", "r" * 8)] * 3


def test_a_single_repository_is_refused_as_a_pull_is(app: RestrictedApp, published: object) -> None:
    for repository in ("other/app", "other/none"):
        assert read(app, "reader", f"repository={repository}").status == 403
        refused = read(app, "", f"repository={repository}")
        assert (refused.status, "WWW-Authenticate" in refused.headers) == (401, True)
    assert subjects(read(app, "reader", f"repository=team/app&{since(ago(minutes=1))}")) == ["team/app:v0"]


def test_a_private_registry_has_nothing_for_anonymous_callers(stores: Stores, tmp_path: Path) -> None:
    (tmp_path / "users").write_text("")
    (tmp_path / "grants").write_text("")
    settings = {"LADING_ACCESS": "users", "LADING_USERS": str(tmp_path / "users")}
    settings |= {"LADING_GRANTS": str(tmp_path / "grants"), "LADING_KEYS": (tmp_path / "keys.json").as_uri()}
    private = restricted_app(stores, settings, tmp_path / "data")

    assert read(private, "").status == 401


def test_a_response_reveals_nothing_of_hidden_events(
    app: RestrictedApp, stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    query = since(ago(minutes=10))
    before = read(app, "reader", query)
    hidden = [published_event(number, ago(minutes=5), "other/app") for number in range(300)]
    publish(stores.metadata, *hidden)
    # One page of the feed.
    monkeypatch.setattr(event_feed, "PAGE_SIZE", 100)
    monkeypatch.setattr(event_feed, "MAX_SCANNED", 100)
    after = read(app, "reader", query)

    assert before.json["events"] == after.json["events"] == []
    assert before.json["more"] is after.json["more"] is False
    assert len(before.json["next"]) == len(after.json["next"])


def test_globs_choose_repositories_and_types(app: RestrictedApp, stores: Stores) -> None:
    publish(stores.metadata, published_event(1, ago(seconds=9), "team/app", "image.pushed"))
    publish(stores.metadata, published_event(2, ago(seconds=8), "team/web", "tag.moved"))
    query = since(ago(minutes=1))

    assert subjects(read(app, "admin", f"{query}&repository=*web")) == ["team/web:v2"]
    assert subjects(read(app, "admin", f"{query}&type=image.*")) == ["team/app:v1"]
    assert subjects(read(app, "admin", f"{query}&type=dev.lading.tag.moved.v1")) == ["team/web:v2"]
    assert subjects(read(app, "admin", f"{query}&type=image.*&repository=team/web")) == []


def test_a_reader_goes_on_from_its_cursor(app: RestrictedApp, stores: Stores) -> None:
    publish(stores.metadata, *(published_event(number, ago(seconds=60 - number)) for number in range(7)))
    received, query = list[str](), since(ago(minutes=2))
    for _ in range(4):
        page = read(app, "admin", f"{query}&n=2")
        received += subjects(page)
        query = f"after={page.json['next']}"

    assert received == [f"team/app:v{number}" for number in range(7)]
    assert subjects(read(app, "admin", query)) == []


def test_a_reader_that_begins_now_receives_what_follows(app: RestrictedApp, stores: Stores, published: object) -> None:
    begun = read(app, "admin")
    assert subjects(begun) == []
    publish(stores.metadata, published_event(9, datetime.now(UTC)))

    assert subjects(read(app, "admin", f"after={begun.json['next']}&wait=30")) == ["team/app:v9"]


def test_a_waiting_reader_receives_an_event_when_it_is_published(app: RestrictedApp, stores: Stores) -> None:
    begun = read(app, "admin")
    waiting = app.client.app._dispatcher.polls._waiting

    def publish_once_it_waits() -> None:
        while not waiting:
            pass
        publish(stores.metadata, published_event(9, datetime.now(UTC)))

    thread = threading.Thread(target=publish_once_it_waits)
    thread.start()
    assert subjects(read(app, "admin", f"after={begun.json['next']}&wait=30")) == ["team/app:v9"]
    thread.join()
    assert not waiting


def test_a_wait_without_an_event_ends_with_a_cursor(app: RestrictedApp) -> None:
    waited = read(app, "admin", "wait=1")
    assert (subjects(waited), waited.json["next"] != "") == ([], True)


@pytest.fixture
def waited(app: RestrictedApp, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds of the endpoint's waits, which end at once, as if they had passed."""
    seconds: list[float] = []
    monkeypatch.setattr("lading.api.events.time", SimpleNamespace(monotonic=lambda: sum(seconds)))
    monkeypatch.setattr(app.client.app.registry.event_feed, "wait", lambda version, limit: seconds.append(limit))
    return seconds


@pytest.mark.parametrize("traced", [False, True], ids=["", "traced"])
def test_a_wait_ends_when_the_token_expires(app: RestrictedApp, waited: list[float], traced: bool) -> None:
    authenticator: Any = app.authenticator
    if traced:
        app.client.app._dispatcher._authenticator = TracedAuthenticator(authenticator, NoOpTracer())
    authenticator._tokens._clock = lambda: time.time() - TOKEN_TTL - MAX_CLOCK_SKEW + 20
    expiring = app.token("registry:catalog:*", authorization=login("admin")["Authorization"])
    authenticator._tokens._clock = time.time

    assert subjects(read(app, "", "wait=30", bearer(expiring))) == []
    assert 0 < sum(waited) <= 20

    waited.clear()
    assert subjects(read(app, "admin", "wait=30")) == []
    assert sum(waited) == 30


INVALID: Sequence[str] = (
    "after=x",
    "after=~",
    "after=~AAAA",
    f"after=~{EventCursor.after_time(datetime(2026, 1, 1, tzinfo=UTC))}",
    "since=yesterday",
    "since=10y",
    "since=-1m",
    "since=2026-11-01T12:00:00",
    "since=9999-12-31T23:59:59-01:00",
    "wait=31",
    "wait=-1",
    "wait=x",
    "wait=0.5",
    "n=0",
    "n=-1",
    "repository=",
    "repository=A",
    "type=",
    "type=%0A",
    "type=" + "x" * 101,
)


@pytest.mark.parametrize("query", INVALID)
def test_a_query_that_is_not_valid_is_refused(app: RestrictedApp, query: str) -> None:
    assert (read(app, "admin", query).status, read(app, "admin", query).code) == (400, "UNSUPPORTED")


def test_a_cursor_is_its_callers_own_and_unchanged(app: RestrictedApp) -> None:
    cursor: str = read(app, "reader").json["next"]

    assert read(app, "reader", f"after={cursor}").status == 200
    assert read(app, "pusher", f"after={cursor}").status == 400
    assert read(app, "", f"after={cursor}").status == 400
    for changed in (
        cursor[:-5],
        f"{cursor}!",
        f"{cursor[:9]}!{cursor[9:]}",
        f"{cursor}=",
        f"{cursor[:9]}%0A{cursor[9:]}",
    ):
        assert (read(app, "reader", f"after={changed}").status, changed) == (400, changed)
    assert read(app, "reader", f"after={cursor[:30]}{'B' if cursor[30] == 'A' else 'A'}{cursor[31:]}").status == 400
    assert read(app, "reader", f"after={cursor}&{since(ago(minutes=1))}").status == 400


def test_a_reader_that_was_away_for_too_long_is_told_to_begin_anew(app: RestrictedApp) -> None:
    gone = read(app, "admin", since(ago(minutes=61)))
    assert (gone.status, "replay" in gone.json["errors"][0]["message"]) == (410, True)
    assert read(app, "admin", since(ago(minutes=58))).status == 200


def test_the_longest_cursor_fits_into_a_url(app: RestrictedApp, stores: Stores) -> None:
    publish(stores.metadata, *(published_event(number, ago(seconds=20)) for number in range(300)))
    query, received, longest = since(ago(seconds=60)), 0, ""
    for _ in range(5):
        page = read(app, "admin", f"{query}&n=250")
        received += len(page.json["events"])
        query = f"after={page.json['next']}"
        longest = max(longest, query, key=len)

    assert received == 256, "those that no cursor has room for follow when earlier ones are settled"
    assert len(longest) < 3_200


def test_head_never_waits(app: RestrictedApp) -> None:
    response = app.client.request("HEAD", "/v2/_lading/events?wait=30", headers=login("admin"))
    assert (response.status, response.body) == (200, b"")


def test_a_store_that_fails_is_temporary(app: RestrictedApp, monkeypatch: pytest.MonkeyPatch) -> None:
    from lading_storage.errors import Unavailable

    def fail(query: Any) -> Any:
        raise Unavailable("down")

    monkeypatch.setattr(app.client.app.registry.metadata, "find", fail)
    response = read(app, "admin")
    assert (response.status, response.headers["Retry-After"]) == (503, "5")

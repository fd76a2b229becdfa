"""Who sees what of the past: a caller who may only pull learns no more of it than a listing of tags tells."""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import bcrypt
import pytest

from lading import settings
from lading.app import App
from lading.auth_composition import open_authenticator
from lading.registry.change_context import ChangeContext
from lading.registry.content.manifests import Put
from lading.registry.registry import Registry
from lading.registry.tags import tags
from lading_storage.stores import Stores
from tests.support.app_client import Client, Response
from tests.support.fake_clock import FakeClock
from tests.support.registry_pushes import push_image
from tests.support.server_process import basic, user_environment

ANYBODY = ""
READER, PUSHER = (basic(name, "secret") for name in ("reader", "pusher"))
READERS = [ANYBODY, READER]


@dataclass
class PartlyPublicRegistry:
    """A registry whose repository `app` is public, and where `pusher` may push."""

    registry: Registry
    client: Client
    clock: FakeClock

    def push(self, *tags: str, by: str = "") -> str:
        """Push a new image, a minute later."""
        self.clock.advance(minutes=1)
        digest = push_image(self.registry, "app").digest
        content = self.registry.manifests.content(self.registry.manifests.find("app", digest))
        self.registry.manifests.put("app", Put(content, "", digest, tags), ChangeContext("push", by))
        return digest

    def delete(self, tag: str, by: str = "") -> None:
        """Delete a tag, a minute later."""
        self.clock.advance(minutes=1)
        self.registry.tags.delete("app", tag, ChangeContext("delete", by))

    def request(self, path: str, authorization: str) -> Response:
        return self.client.request("GET", path, headers={"Authorization": authorization} if authorization else {})

    def tag_history(self, authorization: str, query: str = "") -> list[tuple[str, int, str | None]]:
        answer = self.request(f"/v2/_lading/app/history?{query}", authorization)
        assert answer.status == 200
        return [(row["tag"], row["number"], row["by"]) for row in answer.json["moves"]]


@pytest.fixture
def guarded(stores: Stores, tmp_path: Path) -> PartlyPublicRegistry:
    variables, _ = user_environment(tmp_path / "access")
    hashed = bcrypt.hashpw(b"secret", bcrypt.gensalt(4)).decode()
    Path(variables["LADING_USERS"]).write_text("".join(f"{name}:{hashed}\n" for name in ("reader", "pusher")))
    Path(variables["LADING_GRANTS"]).write_text("reader * pull\npusher * pull,push\n")
    read = settings.load_settings({"LADING_DATA": str(tmp_path), "LADING_PUBLIC": "app", **variables})
    clock = FakeClock()
    registry = Registry(stores.blobs, stores.metadata, clock=clock)
    return PartlyPublicRegistry(registry, Client(App(registry, read, open_authenticator(read, stores.metadata))), clock)


def test_only_who_may_push_sees_tags_that_are_gone_and_who_moved_what(guarded: PartlyPublicRegistry) -> None:
    for tag in ("v1", "v2"):
        guarded.push(tag)
    guarded.delete("v1", by="alice@example.com")
    guarded.push("v2", by="bob@example.com")

    assert guarded.tag_history(PUSHER) == [
        *(("v2", 2, "bob@example.com"), ("v1", 2, "alice@example.com")),
        *(("v2", 1, None), ("v1", 1, None)),
    ]
    assert guarded.tag_history(PUSHER, "tag=v1") == [("v1", 2, "alice@example.com"), ("v1", 1, None)]
    for reader in READERS:
        assert guarded.tag_history(reader) == [("v2", 2, None), ("v2", 1, None)]
        assert guarded.tag_history(reader, "tag=v1") == guarded.tag_history(reader, "tag=never") == []
        assert guarded.tag_history(reader, "tag=v2") == [("v2", 2, None), ("v2", 1, None)]
    assert guarded.request("/v2/_lading/other/history", ANYBODY).status == 401


@pytest.mark.parametrize("reader", READERS)
def test_a_history_answers_as_a_listing_of_tags_does(guarded: PartlyPublicRegistry, reader: str) -> None:
    guarded.push("v1")
    guarded.registry.deletion.repository("app")

    assert guarded.request("/v2/app/tags/list", reader).code == "NAME_UNKNOWN"
    for query in ("", "?tag=v1", "?n=0"):
        answer = guarded.request(f"/v2/_lading/app/history{query}", reader)
        assert (answer.status, answer.code) == (404, "NAME_UNKNOWN")
    assert [number for _, number, _ in guarded.tag_history(PUSHER)] == [2, 1]
    assert guarded.request("/v2/_lading/never/history", PUSHER).code == "NAME_UNKNOWN"


def test_a_pull_as_of_a_time_tells_an_unauthenticated_client_nothing_of_a_tag_that_is_gone(
    guarded: PartlyPublicRegistry,
) -> None:
    digest = guarded.push("v1", "stays")
    later = guarded.clock.time + timedelta(minutes=1)
    guarded.clock.advance(hours=1)
    guarded.delete("v1")

    def pull(tag: str, time: datetime, authorization: str = ANYBODY) -> Response:
        return guarded.request(f"/v2/app/manifests/{tag}.asof-{time:%Y%m%dT%H%M%SZ}", authorization)

    absent = pull("never", later)
    assert (absent.status, absent.code) == (404, "MANIFEST_UNKNOWN")
    for time in (later, later - timedelta(days=1), later + timedelta(days=1)):
        gone = pull("v1", time)
        assert (gone.status, gone.body) == (404, absent.body.replace(b"never", b"v1").replace(*stamps(later, time)))
    assert pull("stays", later).headers["Docker-Content-Digest"] == digest
    for named in (READER, PUSHER):
        assert pull("v1", later, named).headers["Docker-Content-Digest"] == digest


def test_details_as_of_a_time_tell_an_unauthenticated_client_nothing_of_a_tag_that_is_gone(
    guarded: PartlyPublicRegistry,
) -> None:
    digest = guarded.push("v1", "stays")
    later = guarded.clock.time + timedelta(minutes=1)
    guarded.clock.advance(hours=1)
    guarded.delete("v1")

    def details(tag: str, authorization: str = ANYBODY) -> Response:
        reference = f"{tag}.asof-{later:%Y%m%dT%H%M%SZ}"
        return guarded.request(f"/v2/_lading/app/manifest?reference={reference}", authorization)

    absent = details("never")
    assert (absent.status, absent.code) == (404, "MANIFEST_UNKNOWN")
    assert (details("v1").status, details("v1").body) == (404, absent.body.replace(b"never", b"v1"))
    assert details("stays").json["digest"] == digest
    for named in (READER, PUSHER):
        assert details("v1", named).json["digest"] == digest


@pytest.mark.parametrize("reader", READERS)
def test_a_pull_as_of_a_time_tells_no_digest_of_what_was_deleted(guarded: PartlyPublicRegistry, reader: str) -> None:
    digest = guarded.push("v1")
    time = guarded.clock.advance(minutes=1)
    guarded.clock.advance(minutes=1)
    guarded.registry.deletion.repository("app")

    answer = guarded.request(f"/v2/app/manifests/v1.asof-{time:%Y%m%dT%H%M%SZ}", reader)

    assert (answer.status, answer.code) == (404, "MANIFEST_UNKNOWN")
    assert digest.encode() not in answer.body


def stamps(one: datetime, other: datetime) -> tuple[bytes, bytes]:
    return f"{one:%Y%m%dT%H%M%SZ}".encode(), f"{other:%Y%m%dT%H%M%SZ}".encode()


def test_pages_tell_of_no_tag_that_is_gone(guarded: PartlyPublicRegistry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tags, "MIN_EVENTS_PER_READ", 2)
    for number in range(12):
        guarded.push(f"t{number}")
    for number in range(12):
        if number % 4:
            guarded.delete(f"t{number}")

    for size in (1, 2, 3, 9):
        listed, path = [], f"/v2/_lading/app/history?n={size}"
        while path:
            answer = guarded.request(path, ANYBODY)
            assert len(answer.json["moves"]) <= size
            listed += [row["tag"] for row in answer.json["moves"]]
            path = "".join(re.findall(r"<(.+)>", answer.headers.get("Link", "")))
            assert not path or path.endswith(f"-{listed[-1]}")
        assert listed == ["t8", "t4", "t0"]


def test_a_history_of_many_tags_that_are_gone_ends(
    guarded: PartlyPublicRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, limit in (("MIN_EVENTS_PER_READ", 2), ("MAX_EVENTS_PER_READ", 2), ("MAX_SCANNED", 6)):
        monkeypatch.setattr(tags, name, limit)
    guarded.push("old")
    for number in range(5):
        guarded.push(f"t{number}")
        guarded.delete(f"t{number}")
    guarded.push("new")

    answer = guarded.request("/v2/_lading/app/history", ANYBODY)
    assert [row["tag"] for row in answer.json["moves"]] == ["new"]
    answer = guarded.request(re.findall(r"<(.+)>", answer.headers["Link"])[0], ANYBODY)
    assert (answer.json["moves"], "Link" in answer.headers) == ([], False)
    assert guarded.tag_history(ANYBODY, "tag=old") == [("old", 1, None)]

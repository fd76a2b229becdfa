"""Messages: which events deploy, which are ignored, and what is not valid."""

import json
from typing import Any

import pytest

from deployer.events import InvalidMessageError, TagMoved, event_of
from lading.events.cloud_event import cloud_event
from tests.deploy.google_world import HOST, digest, event, outbox_event, push_body


def published(**fields: Any) -> dict[str, Any]:
    return cloud_event(outbox_event(1, **fields), f"https://{HOST}")


def test_a_moved_tag_is_an_event() -> None:
    found = event(1, of=2)
    sequence = outbox_event(1).sequence
    assert found == TagMoved(f"{1:032x}", sequence, HOST, "team-a/app", "prod", digest(2))


@pytest.mark.parametrize("action", ["push", "tag", "rollback", "restore"])
def test_each_action_that_moves_a_tag_deploys(action: str) -> None:
    assert event_of(push_body({**published(), "data": published()["data"] | {"action": action}})) is not None


@pytest.mark.parametrize(
    "type",
    ["tag.deleted", "image.pushed", "image.deleted", "image.restored", "image.purged", "repository.deleted", "new"],
)
def test_other_types_deploy_nothing(type: str) -> None:
    assert event_of(push_body(published(type=type))) is None


def test_a_registry_with_a_port_has_it_in_its_host() -> None:
    found = event_of(push_body(cloud_event(outbox_event(1), "http://127.0.0.1:5000")))
    assert found is not None
    assert found.host == "127.0.0.1:5000"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b'"message"',
        b'{"message": {}}',
        b'{"message": {"data": "%%%"}}',
        b'{"message": {"data": 1}}',
        push_body(b"{"),
        push_body(b"\xff"),
        push_body(None),
        push_body(["type"]),
        b"[" * 100_000,
        push_body(b"[" * 100_000),
        push_body({"type": "dev.lading.tag.moved.v1"}),
        push_body({"type": "dev.lading.tag.moved.v1", "data": []}),
    ],
)
def test_what_is_no_event_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidMessageError):
        event_of(body)


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("id", "../../x"),
        ("id", None),
        ("sequence", "9"),
        ("source", "registry.example.com"),
        ("source", "https://a b/x"),
        ("source", "https://user:password@registry.example.com/team-a/app"),
        ("source", 1),
        ("source", "https://[registry/team-a/app"),
        ("source", "https://registry.example.com\u2100/team-a/app"),
        ("source", "https://registry.exa\nmple.com/team-a/app"),
        ("source", "https://\uff52egistry.example.com/team-a/app"),
        ("repository", "../secrets"),
        ("repository", "team-a/../team-b/app"),
        ("repository", "team-a//app"),
        ("repository", "team-a/app/"),
        ("repository", "a" * 256),
        ("repository", "Team"),
        ("repository", "a@b"),
        ("tag", "a/b"),
        ("tag", ""),
        ("digest", "latest"),
        ("digest", digest(1) + "\n"),
        ("digest", ["x"]),
    ],
)
def test_a_value_that_could_leave_its_place_is_refused(place: str, value: Any) -> None:
    valid = published()
    data = place in ("repository", "tag", "digest")
    wrong = {**valid, "data": {**valid["data"], place: value}} if data else {**valid, place: value}
    with pytest.raises(InvalidMessageError, match=place) as caught:
        event_of(push_body(wrong))
    assert len(str(caught.value)) < 400
    assert event_of(push_body(valid)) is not None


def test_no_field_of_the_data_stands_for_one_of_the_event() -> None:
    valid = published()
    assert json.dumps(valid)
    sequence = valid.pop("sequence")
    with pytest.raises(InvalidMessageError, match="sequence"):
        event_of(push_body({**valid, "data": {**valid["data"], "sequence": sequence}}))

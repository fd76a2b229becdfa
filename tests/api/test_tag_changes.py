"""Bodies of the management API's changes that are no valid request: 400 with the reason, and nothing is changed."""

import json
from typing import Any

import pytest

from lading.registry.registry import Registry
from tests.support.app_client import make_client
from tests.support.registry_pushes import push_image

DIGEST = f"sha256:{'0' * 64}"


@pytest.mark.parametrize(
    ("word", "fields", "reason"),
    [
        ("tag", [], "the body is no JSON object"),
        ("tag", {"reference": "v1"}, "tag is needed, a string"),
        ("tag", {"reference": 1, "tag": "v2"}, "reference is needed, a string"),
        ("tag", {"reference": "v1", "tag": "v2", "force": True}, "there is no force"),
        ("rollback", {"tag": "v1"}, "one of digest and at is needed"),
        ("rollback", {"tag": "v1", "digest": DIGEST, "at": "2026-11-01T12:00:00Z"}, "one of digest and at is needed"),
        ("rollback", {"tag": "v1", "at": "2026-11-01"}, "at is a time"),
        ("rollback", {"tag": "v1", "steps": 1}, "there is no steps"),
        ("undelete", {"tag": "gone", "digest": DIGEST}, "one of tag and digest is needed"),
        ("undelete", {"tag": None}, "tag is needed, a string"),
    ],
)
def test_a_body_that_is_no_valid_request_changes_nothing(
    registry: Registry, word: str, fields: Any, reason: str
) -> None:
    push_image(registry, "team/app", "v1", "gone")
    registry.tags.delete("team/app", "gone")
    before = registry.tags.history("team/app", "", "", 10)

    response = make_client(registry).request("POST", f"/v2/_lading/team/app/{word}", json.dumps(fields).encode())

    assert (response.status, response.code) == (400, "UNSUPPORTED")
    assert reason in response.body.decode()
    assert registry.tags.history("team/app", "", "", 10) == before


@pytest.mark.parametrize("fields", [{"tag": "v1"}, {"digest": None}, {}])
def test_an_undelete_that_is_sent_again_succeeds_again(registry: Registry, fields: dict[str, Any]) -> None:
    digest = push_image(registry, "team/app", "v1", "v2").digest
    if "tag" in fields:
        registry.tags.delete("team/app", "v1")
    elif fields:
        registry.deletion.manifest("team/app", digest)
    else:
        registry.deletion.repository("team/app")
    body = json.dumps({"digest": digest[:20]} if "digest" in fields else fields).encode()
    client = make_client(registry)

    statuses = [client.request("POST", "/v2/_lading/team/app/undelete", body).status for _ in range(3)]

    assert statuses == [200, 200, 200]
    history = registry.tags.history("team/app", "v1", "", 10).items
    assert [event.action for event in history] == ["restore", "delete", "push"]


@pytest.mark.parametrize("fields", [{"tag": "v1"}, {"digest": None}, {}])
def test_an_undelete_of_what_was_never_deleted_is_404(registry: Registry, fields: dict[str, Any]) -> None:
    digest = push_image(registry, "team/app", "v1").digest
    body = json.dumps({"digest": digest} if "digest" in fields else fields).encode()

    assert make_client(registry).request("POST", "/v2/_lading/team/app/undelete", body).status == 404

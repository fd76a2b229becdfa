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

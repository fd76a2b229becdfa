"""The JSON of events: CloudEvents, and Artifact Registry's notifications."""

import json
from typing import Any

import pytest

from lading.events.artifact_registry import notification
from lading.events.cloud_event import cloud_event
from tests.events.outbox_events import BEFORE, DIGEST, event

URL = "https://registry.example.com:8443"
NAME = "registry.example.com:8443/team/app"


def test_a_cloud_event_has_all_that_is_known() -> None:
    moved = event(
        7,
        before=BEFORE,
        action="push",
        by="alice@example.com",
        request="r-1",
        media_type="application/vnd.oci.image.manifest.v1+json",
        size=1234,
    )
    assert cloud_event(moved, URL) == {
        "specversion": "1.0",
        "id": moved.name,
        "source": f"{URL}/team/app",
        "type": "dev.lading.tag.moved.v1",
        "subject": "team/app:v1",
        "time": "2026-11-28T12:30:15.000250Z",
        "datacontenttype": "application/json",
        "sequence": "1795869015000250-0000000007",
        "actor": "alice@example.com",
        "requestid": "r-1",
        "data": {
            "action": "push",
            "repository": "team/app",
            "tag": "v1",
            "digest": DIGEST,
            "previousDigest": BEFORE,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "size": 1234,
            "uri": f"{NAME}@{DIGEST}",
        },
    }
    assert json.loads(json.dumps(cloud_event(moved, URL)))["id"] == moved.name


def test_a_cloud_event_has_no_empty_attributes() -> None:
    deleted = cloud_event(event(type="repository.deleted", digest="", action="delete"), URL)
    assert deleted["subject"] == "team/app"
    assert deleted["data"] == {"action": "delete", "repository": "team/app"}
    assert not {"actor", "requestid"} & deleted.keys()


def test_the_subject_of_an_image_is_its_digest() -> None:
    assert cloud_event(event(type="image.pushed"), URL)["subject"] == f"team/app@{DIGEST}"


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"type": "tag.moved"}, {"action": "INSERT", "digest": f"{NAME}@{DIGEST}", "tag": f"{NAME}:v1"}),
        (
            {"type": "tag.moved", "action": "rollback", "before": BEFORE},
            {"action": "INSERT", "digest": f"{NAME}@{DIGEST}", "tag": f"{NAME}:v1"},
        ),
        (
            {"type": "tag.moved", "action": "restore"},
            {"action": "INSERT", "digest": f"{NAME}@{DIGEST}", "tag": f"{NAME}:v1"},
        ),
        ({"type": "image.pushed"}, {"action": "INSERT", "digest": f"{NAME}@{DIGEST}"}),
        ({"type": "image.pushed", "tagged": True}, None),
        ({"type": "tag.deleted", "before": BEFORE, "digest": ""}, {"action": "DELETE", "tag": f"{NAME}:v1"}),
        ({"type": "image.deleted"}, {"action": "DELETE", "digest": f"{NAME}@{DIGEST}"}),
        ({"type": "image.restored"}, None),
        ({"type": "image.purged"}, None),
        ({"type": "repository.deleted", "digest": ""}, None),
    ],
    ids=lambda value: " ".join(map(str, value.values())) if isinstance(value, dict) else "none",
)
def test_notifications_are_those_of_artifact_registry(fields: Any, expected: Any) -> None:
    assert notification(event(**fields), URL) == expected

"""The audit tells what a request did, as its handler reports it, and never what its query asks for."""

import json
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from lading.logs import JsonLines
from lading_storage.digests import digest_of
from lading_storage.errors import StorageError
from lading_storage.records.core import Key, Manifest
from lading_storage.stores import Stores
from tests.support import images
from tests.support.app_client import Client, content_type_header
from tests.support.fake_iam_world import BUCKET, DELETE, PULL, PUSH, FakeIamWorld, restricted_app, token_as_basic
from tests.support.server_process import user_environment

LAYER = images.blob(100)
IMAGE = images.manifest([LAYER])
OTHER = images.manifest([LAYER], annotations={"number": "two"})
MAIN = digest_of(IMAGE)
TOLD = ("outcome", "reference", "change", "digest", "tags", "also", "session", "source")


class Audited:
    """A client with credentials, and what the audit says of its requests."""

    def __init__(self, client: Client, authorization: str, caplog: pytest.LogCaptureFixture) -> None:
        self.client = client
        self._headers = {"Authorization": authorization}
        self._caplog = caplog

    def request(self, method: str, target: str, body: bytes = b"", headers: Mapping[str, str] | None = None) -> int:
        self.answer = self.client.request(method, target, body, {**self._headers, **(headers or {})})
        return self.answer.status

    def push(self, reference: str, content: bytes = IMAGE, query: str = "") -> int:
        return self.request("PUT", f"/v2/team/app/manifests/{reference}{query}", content, content_type_header(content))

    def lines(self) -> list[dict[str, Any]]:
        """What the audit said since the last call, without what all lines have."""
        records = [each for each in self._caplog.records if each.name == "lading.audit"]
        self._caplog.clear()
        audits = [json.loads(JsonLines().format(each))["audit"] for each in records]
        for audit in audits:
            assert audit["principal"] in ("admin", "alice@example.com")
            assert audit["repository"] == "team/app"
        return [{name: audit[name] for name in TOLD if name in audit} for audit in audits]


@pytest.fixture(params=["users", "IAM"])
def audited(
    request: pytest.FixtureRequest, stores: Stores, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> Audited:
    """Over each pair of stores, a caller who may do everything, by local users and by IAM; and an image's blobs."""
    if request.param == "users":
        environment, authorization = user_environment(tmp_path / "access")
    else:
        world: FakeIamWorld = request.getfixturevalue("world")
        world.folder("team/", PULL, PUSH, DELETE, member="user:alice@example.com")
        environment, authorization = {"LADING_ACCESS": f"gs://{BUCKET}"}, token_as_basic(world.token("alice"))
    made = Audited(restricted_app(stores, environment, tmp_path / "keys").client, authorization, caplog)
    for content in (images.EMPTY_CONFIG, LAYER):
        made.request("POST", f"/v2/team/app/blobs/uploads/?digest={digest_of(content)}", content)
    caplog.set_level(logging.INFO)
    caplog.clear()
    return made


def pushed(reference: str, content: bytes, *tags: str) -> dict[str, Any]:
    line = {"outcome": "allowed", "reference": reference, "change": "manifest-pushed", "digest": digest_of(content)}
    return {**line, "tags": [*tags]} if tags else line


@pytest.mark.parametrize("query", ["?digest=dev", "?mount=dev", "?digest=dev&tag=", "?from=dev&reference=dev"])
def test_a_push_names_the_tag_that_it_moved(audited: Audited, query: str) -> None:
    assert audited.push("prod", IMAGE, query.removesuffix("&tag=")) == 201

    assert audited.lines() == [pushed("prod", IMAGE, "prod")]


def test_a_push_names_every_tag_that_it_moved(audited: Audited) -> None:
    assert audited.push(MAIN, IMAGE, "?tag=prod&tag=v1&tag=prod&tag=v2") == 201
    assert audited.push("dev", OTHER, "?tag=prod&digest=v1") == 201
    assert audited.push(MAIN) == 201

    assert audited.lines() == [
        pushed(MAIN, IMAGE, "prod", "v1", "v2"),
        pushed("dev", OTHER, "dev", "prod"),
        pushed(MAIN, IMAGE),
    ]


@pytest.mark.parametrize("query", ["", "?digest=prod", "?tag=prod", "?mount=prod"])
def test_a_chunk_names_its_session_and_no_tag(audited: Audited, query: str) -> None:
    audited.request("POST", "/v2/team/app/blobs/uploads/")
    path = audited.answer.headers["Location"].removeprefix("https://registry.example")
    reference = path.rpartition("/")[2]
    session = reference.removesuffix("-0")
    assert audited.request("PATCH", path + query, b"four") == 202
    assert audited.request("PUT", f"{path}?digest={digest_of(b'four')}&tag=prod") == 201

    assert audited.lines() == [
        {"outcome": "allowed", "reference": "-", "change": "upload-started", "session": session},
        {"outcome": "allowed", "reference": reference, "change": "upload-appended", "session": session},
        {
            "outcome": "allowed",
            "reference": reference,
            "change": "blob-pushed",
            "digest": digest_of(b"four"),
            "session": session,
        },
    ]


def test_a_cancelled_upload_is_told(audited: Audited) -> None:
    audited.request("POST", "/v2/team/app/blobs/uploads/")
    path = audited.answer.headers["Location"].removeprefix("https://registry.example")
    reference = path.rpartition("/")[2]
    session = reference.removesuffix("-0")
    audited.lines()

    assert audited.request("DELETE", f"{path}?digest=prod") == 204

    cancelled = {"outcome": "allowed", "reference": reference, "change": "upload-cancelled", "session": session}
    assert audited.lines() == [cancelled]


def test_a_mount_tells_what_was_mounted_or_which_session_began(audited: Audited) -> None:
    digest, absent = digest_of(LAYER), digest_of(b"absent")
    target = "/v2/team/app/blobs/uploads/?from=team/app&mount="

    assert audited.request("POST", f"{target}{digest}&digest={absent}") == 201
    assert audited.request("POST", f"{target}{absent}") == 202

    session = audited.answer.headers["Docker-Upload-UUID"]
    mounted = {"change": "blob-mounted", "digest": digest, "source": "team/app"}
    assert audited.lines() == [
        {"outcome": "allowed", "reference": "-", **mounted},
        {"outcome": "allowed", "reference": "-", "change": "upload-started", "session": session},
    ]


def test_a_deleted_manifest_tells_which_tags_and_signatures_went_along(audited: Audited) -> None:
    signature = images.manifest([LAYER], subject=images.descriptor(IMAGE))
    audited.push("prod", IMAGE, "?tag=v1")
    audited.push(digest_of(signature), signature)
    audited.lines()

    assert audited.request("DELETE", f"/v2/team/app/manifests/{MAIN}?tag=other&digest=dev") == 202

    (line,) = audited.lines()
    assert sorted(line.pop("tags")) == ["prod", "v1"]
    assert line == {
        "outcome": "allowed",
        "reference": MAIN,
        "change": "manifest-deleted",
        "digest": MAIN,
        "also": [digest_of(signature)],
    }


def test_a_deleted_tag_tells_what_it_named(audited: Audited) -> None:
    audited.push("prod", IMAGE, "?tag=v1")
    audited.lines()

    assert audited.request("DELETE", "/v2/team/app/manifests/v1?digest=prod") == 202

    deleted = {"change": "tag-deleted", "digest": MAIN, "tags": ["v1"]}
    assert audited.lines() == [{"outcome": "allowed", "reference": "v1", **deleted}]


def test_a_deleted_blob_is_told(audited: Audited) -> None:
    digest = digest_of(LAYER)

    assert audited.request("DELETE", f"/v2/team/app/blobs/{digest}?digest={MAIN}") == 202

    deleted = {"outcome": "allowed", "reference": digest, "change": "blob-deleted", "digest": digest}
    assert audited.lines() == [deleted]


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("PUT", "manifests/prod?digest={digest}&tag=v1"),
        ("POST", "blobs/uploads/?digest={digest}"),
        ("POST", "blobs/uploads/?digest=prod"),
        ("PATCH", "blobs/uploads/prod?digest={digest}"),
        ("DELETE", "blobs/uploads/prod?digest={digest}"),
        ("DELETE", "manifests/prod?digest={digest}"),
        ("DELETE", "manifests/{digest}?tag=prod"),
    ],
)
def test_what_failed_has_done_nothing(audited: Audited, method: str, target: str) -> None:
    """The reference is what the path says, and nothing of the query is in the line."""
    target = target.format(digest=digest_of(b"absent"))
    last = target.partition("?")[0].rpartition("/")[2]

    assert audited.request(method, f"/v2/team/app/{target}", b"{") >= 400

    assert audited.lines() == [{"outcome": "failed", "reference": last or "-"}]


@pytest.fixture
def breaking(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Lets a deletion fail after so many commits."""
    from lading.registry.lifecycle.delete import Deletion

    def arrange(commits: int) -> None:
        apart, left = Deletion.delete_or_split, [commits]

        def failing(self: Deletion, *arguments: Any) -> None:
            if not left[0]:
                raise StorageError("the store has gone")
            left[0] -= 1
            apart(self, *arguments)

        monkeypatch.setattr(Deletion, "delete_or_split", failing)
        monkeypatch.setattr("lading.registry.lifecycle.delete.MAX_BATCH_ITEMS", 1)

    return arrange


def test_a_deletion_that_fails_halfway_tells_what_went(audited: Audited, breaking: Callable[[int], None]) -> None:
    audited.push("prod", IMAGE, "?tag=v1")
    audited.lines()
    breaking(1)

    assert audited.request("DELETE", f"/v2/team/app/manifests/{MAIN}") == 503

    (line,) = audited.lines()
    assert line.pop("tags") in (["prod"], ["v1"])
    assert line == {"outcome": "failed", "reference": MAIN, "change": "manifest-deleted"}
    key = Key(Manifest, MAIN, "team/app")
    assert audited.client.app.registry.manifests._metadata.read([key])[key] is not None


def test_a_change_with_many_tags_has_several_lines(audited: Audited) -> None:
    tags = [f"v{number}" for number in range(150)]
    for start in (0, 75):
        audited.push(MAIN, IMAGE, "?" + "&".join(f"tag={tag}" for tag in tags[start : start + 75]))
    audited.lines()

    assert audited.request("DELETE", f"/v2/team/app/manifests/{MAIN}") == 202

    lines = audited.lines()
    assert [len(line["tags"]) for line in lines] == [100, 50]
    assert {tag for line in lines for tag in line["tags"]} == set(tags)
    assert {line["digest"] for line in lines} == {MAIN}


def test_changes_by_the_management_api_are_reported(audited: Audited) -> None:
    audited.push("v1", IMAGE)
    audited.push("v1", OTHER)
    audited.lines()
    other = digest_of(OTHER)
    requests: list[tuple[str, str, Any, dict[str, Any]]] = [
        ("POST", "tag", {"reference": "v1", "tag": "v2"}, {"change": "tag-set", "digest": other, "tags": ["v2"]}),
        (
            "POST",
            "rollback",
            {"tag": "v1", "digest": MAIN[:20]},
            {"change": "tag-rolled-back", "digest": MAIN, "tags": ["v1"]},
        ),
        ("DELETE", "repository", None, {"change": "repository-deleted"}),
        ("POST", "undelete", {}, {"change": "repository-restored"}),
    ]

    for method, word, body, change in requests:
        content = b"" if body is None else json.dumps(body).encode()
        assert audited.request(method, f"/v2/_lading/team/app/{word}?tag=x", content) in (200, 202)
        assert audited.lines() == [{"outcome": "allowed", "reference": "-", **change}]

    audited.request("DELETE", f"/v2/team/app/manifests/{other}")
    audited.request("DELETE", "/v2/team/app/manifests/v1")
    audited.lines()
    for fields, change in (
        ({"digest": other[:20]}, {"change": "manifest-restored", "digest": other}),
        ({"tag": "v1"}, {"change": "tag-restored", "digest": MAIN, "tags": ["v1"]}),
    ):
        assert audited.request("POST", "/v2/_lading/team/app/undelete", json.dumps(fields).encode()) == 200
        assert audited.lines() == [{"outcome": "allowed", "reference": "-", **change}]


@pytest.mark.parametrize(
    "body",
    [
        "",
        "[]",
        "{",
        "[" * 60_000,
        '{"tag": "v1"}',
        '{"tag": "v1", "steps": 1}',
        f'{{"tag": "v1", "digest": "{MAIN}", "at": "2026-11-01T12:00:00Z"}}',
        '{"tag": "v1", "at": "2026-11-01"}',
        '{"tag": "v1", "digest": "sha256:0"}',
        f'{{"tag": "v1", "digest": "{MAIN}", "x": 1}}',
        f'{{"tag": "a b", "digest": "{MAIN}"}}',
        f'{{"tag": 5, "digest": "{MAIN}"}}',
        '{"tag": "v1", "digest": "v1"}',
        '{"tag": "' + "x" * 70_000 + '"}',
    ],
)
def test_a_request_that_is_not_valid_changes_nothing(body: str, audited: Audited) -> None:
    audited.push("v1", IMAGE)
    audited.push("v1", OTHER)

    assert audited.request("POST", "/v2/_lading/team/app/rollback", body.encode()) == 400

    audited.request("GET", "/v2/team/app/manifests/v1")
    assert audited.answer.headers["Docker-Content-Digest"] == digest_of(OTHER)

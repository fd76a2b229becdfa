"""If-Match and If-None-Match of writes: exact, also with concurrent writes."""

from collections.abc import Mapping
from functools import partial

import pytest

from lading_storage.digests import digest_of
from tests.support import images
from tests.support.app_client import Client, Response, content_type_header
from tests.support.concurrency import run_concurrently

WRITERS = 8


def content(name: str, size: int = 0) -> bytes:
    return images.manifest([], annotations={"n": name, "x": "x" * size})


ONE, TWO, THREE = content("one"), content("two"), content("three")
LARGE = content("large", 2_000_000)
OTHER = f'"{digest_of(b"other")}"'
"""An entity tag of nothing."""


def etag(manifest: bytes) -> str:
    return f'"{digest_of(manifest)}"'


def put(client: Client, reference: str, manifest: bytes, headers: Mapping[str, str] | None = None) -> Response:
    return client.request(
        "PUT", f"/v2/app/manifests/{reference}", manifest, {**content_type_header(manifest), **(headers or {})}
    )


@pytest.fixture
def app(client: Client) -> Client:
    """A registry whose tag v1 names ONE."""
    client.push_blob("app", images.EMPTY_CONFIG)
    answer = put(client, "v1", ONE)
    assert (answer.status, answer.headers["ETag"]) == (201, etag(ONE))
    return client


HELD = [
    {"If-Match": etag(ONE)},
    {"If-Match": f"{OTHER}, {etag(ONE)}"},
    {"If-Match": "*"},
    {"If-None-Match": etag(TWO)},
    {"If-None-Match": OTHER},
    {"If-Match": etag(ONE), "If-None-Match": OTHER},
    {"If-None-Match": '"*"'},
    {"If-Match": digest_of(ONE)},
    {"If-None-Match": f"{OTHER},{digest_of(TWO)}"},
]
FAILED = [
    {"If-Match": OTHER},
    {"If-Match": f"W/{etag(ONE)}"},
    {"If-Match": '"*"'},
    {"If-Match": ""},
    {"If-Match": '"'},
    {"If-None-Match": "*"},
    {"If-None-Match": etag(ONE)},
    {"If-None-Match": f"W/{etag(ONE)}"},
    {"If-None-Match": f"{OTHER}, {etag(ONE)}"},
    {"If-Match": etag(ONE), "If-None-Match": "*"},
    # What cannot be read is taken at its strictest.
    {"If-Match": f"*, {etag(ONE)}"},
    {"If-Match": f"{etag(ONE)[:-1]}"},
    {"If-None-Match": f"*, {OTHER}"},
    {"If-None-Match": f"{OTHER},*"},
    {"If-None-Match": OTHER[:-1]},
    {"If-None-Match": ""},
    {"If-None-Match": "W/*"},
]


@pytest.mark.parametrize("manifest", [TWO, LARGE], ids=["small", "large"])
@pytest.mark.parametrize("headers", HELD, ids=str)
def test_a_tag_moves_where_the_condition_holds(app: Client, headers: dict[str, str], manifest: bytes) -> None:
    assert put(app, "v1", manifest, headers).status == 201
    assert app.request("GET", "/v2/app/manifests/v1").body == manifest


@pytest.mark.parametrize("manifest", [TWO, ONE, LARGE], ids=["other", "same", "large"])
@pytest.mark.parametrize("headers", FAILED, ids=str)
def test_a_tag_stays_where_the_condition_fails(app: Client, headers: dict[str, str], manifest: bytes) -> None:
    answer = put(app, "v1", manifest, headers)

    assert (answer.status, answer.code) == (412, "DENIED")
    assert app.request("GET", "/v2/app/manifests/v1").body == ONE
    if manifest != ONE:
        assert app.request("GET", f"/v2/app/manifests/{digest_of(manifest)}").status == 404
        assert app.request("HEAD", f"/v2/app/blobs/{digest_of(manifest)}").status == 404


def test_what_is_not_there_matches_nothing(app: Client) -> None:
    digest = digest_of(TWO)
    for reference in ("v2", digest):
        for headers in ({"If-Match": "*"}, {"If-Match": etag(TWO)}):
            assert put(app, reference, TWO, headers).status == 412
        assert app.request("DELETE", f"/v2/app/manifests/{reference}", headers={"If-Match": "*"}).status == 404
    for reference in (digest, "v2"):
        assert put(app, reference, TWO, {"If-None-Match": "*"}).status == 201
        assert put(app, reference, TWO, {"If-None-Match": "*"}).status == 412
        assert put(app, reference, TWO, {"If-Match": etag(TWO)}).status == 201


def test_the_condition_is_on_the_path_and_not_on_further_tags(app: Client) -> None:
    assert put(app, f"{digest_of(TWO)}?tag=v1", TWO, {"If-None-Match": "*"}).status == 201
    assert app.request("GET", "/v2/app/manifests/v1").body == TWO
    assert put(app, f"{digest_of(THREE)}?tag=v1", THREE, {"If-Match": etag(TWO)}).status == 412
    assert app.request("GET", "/v2/app/manifests/v1").body == TWO


@pytest.mark.parametrize("reference", ["v1", digest_of(ONE)], ids=["tag", "digest"])
@pytest.mark.parametrize("headers", FAILED, ids=str)
def test_nothing_is_deleted_where_the_condition_fails(app: Client, headers: dict[str, str], reference: str) -> None:
    answer = app.request("DELETE", f"/v2/app/manifests/{reference}", headers=headers)

    assert (answer.status, answer.code) == (412, "DENIED")
    assert app.request("GET", "/v2/app/manifests/v1").body == ONE


@pytest.mark.parametrize("reference", ["v1", digest_of(ONE)], ids=["tag", "digest"])
@pytest.mark.parametrize("headers", HELD, ids=str)
def test_what_is_deleted_meets_the_condition(app: Client, headers: dict[str, str], reference: str) -> None:
    assert app.request("DELETE", f"/v2/app/manifests/{reference}", headers=headers).status == 202
    assert app.request("GET", "/v2/app/manifests/v1").status == 404


def test_a_blob_is_deleted_where_the_condition_holds(app: Client) -> None:
    digest = app.push_blob("app", b"content")
    path = f"/v2/app/blobs/{digest}"
    for failed in (
        {"If-Match": OTHER},
        {"If-Match": f'W/"{digest}"'},
        {"If-Match": ""},
        {"If-None-Match": "*"},
        {"If-None-Match": f'"{digest}"'},
    ):
        answer = app.request("DELETE", path, headers=failed)
        assert (answer.status, answer.code) == (412, "DENIED")
        assert app.request("GET", path).body == b"content"
    assert app.request("DELETE", path, headers={"If-Match": f'{OTHER}, "{digest}"'}).status == 202
    assert app.request("DELETE", path, headers={"If-Match": "*"}).status == 404


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_what_is_read_meets_if_match(app: Client, method: str) -> None:
    blob = digest_of(images.EMPTY_CONFIG)
    for path, tag in (("manifests/v1", etag(ONE)), (f"blobs/{blob}", f'"{blob}"')):
        for held in (tag, "*", f"{OTHER}, {tag}"):
            assert app.request(method, f"/v2/app/{path}", headers={"If-Match": held}).status == 200
            assert (
                app.request(method, f"/v2/app/{path}", headers={"If-Match": held, "If-None-Match": tag}).status == 304
            )
        for failed in (OTHER, f"W/{tag}", "", tag[:-1]):
            assert (
                app.request(method, f"/v2/app/{path}", headers={"If-Match": failed, "If-None-Match": tag}).status == 412
            )


def test_of_all_that_make_a_tag_at_once_one_does(app: Client) -> None:
    manifests = [content(f"writer {number}") for number in range(WRITERS)]

    answers = run_concurrently(*(partial(put, app, "new", each, {"If-None-Match": "*"}) for each in manifests))

    assert sorted(answer.status for answer in answers) == [201] + [412] * (WRITERS - 1)
    won = next(each for each, answer in zip(manifests, answers, strict=True) if answer.status == 201)
    assert app.request("GET", "/v2/app/manifests/new").body == won


def test_of_all_that_move_a_tag_from_one_digest_at_once_one_does(app: Client) -> None:
    for round in range(3):
        before = app.request("HEAD", "/v2/app/manifests/v1").headers["ETag"]
        writers = [partial(put, app, "v1", content(f"{round} {each}"), {"If-Match": before}) for each in range(WRITERS)]
        delete = partial(app.request, "DELETE", "/v2/app/manifests/v1", headers={"If-Match": etag(content("never"))})

        answers = run_concurrently(*writers, delete)

        assert sorted(answer.status for answer in answers) == [201] + [412] * WRITERS


def test_a_tag_is_deleted_or_moved_and_never_both(app: Client) -> None:
    for round in range(5):
        manifest = content(f"round {round}")
        put(app, "v1", ONE)
        condition = {"If-Match": etag(ONE)}
        moved, deleted = run_concurrently(
            partial(put, app, "v1", manifest, condition),
            partial(app.request, "DELETE", "/v2/app/manifests/v1", headers=condition),
        )
        assert (moved.status, deleted.status) in ((201, 412), (412, 202))
        there = app.request("GET", "/v2/app/manifests/v1")
        assert there.body == manifest if moved.status == 201 else there.status == 404

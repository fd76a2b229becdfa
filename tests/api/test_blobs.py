"""Pulling, mounting and deleting blobs; ranges; what one repository must not learn of another."""

import json
from typing import Any

import pytest

from functions.registry.documents import OCI_INDEX
from storage.digests import digest_of
from tests import images
from tests.api.client import Answer, Client, typed

CONTENT = bytes(range(100))
DIGEST = digest_of(CONTENT)
PATH = f"/v2/ranges/blobs/{DIGEST}"
NOWHERE = digest_of(b"nowhere")


@pytest.fixture
def ranges(module_client: Client) -> Client:
    module_client.push_blob("ranges", CONTENT)
    return module_client


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
@pytest.mark.parametrize("size", [0, 1, 300_000])
def test_a_blob_is_pulled_as_it_was_pushed(client: Client, size: int, algorithm: str) -> None:
    content = images.blob(size)
    digest = client.push_blob("app", content, algorithm)

    for method in ("GET", "HEAD"):
        answer = client.ask(method, f"/v2/app/blobs/{digest}")
        assert (answer.status, answer.body) == (200, content if method == "GET" else b"")
        assert answer.headers["Content-Length"] == str(size)
        assert answer.headers["Docker-Content-Digest"] == digest
        assert answer.headers["ETag"] == f'"{digest}"'
        assert answer.headers["Accept-Ranges"] == "bytes"
        assert answer.headers["Content-Type"] == "application/octet-stream"


@pytest.mark.parametrize("etag", [f'"{DIGEST}"', f'W/"{DIGEST}"', f'"x", "{DIGEST}"', "*"])
def test_what_the_client_has_is_not_sent_again(ranges: Client, etag: str) -> None:
    for method in ("GET", "HEAD"):
        answer = ranges.ask(method, PATH, headers={"If-None-Match": etag})
        assert (answer.status, answer.body) == (304, b"")
        assert answer.headers["ETag"] == f'"{DIGEST}"'
    assert ranges.ask("GET", PATH, headers={"If-None-Match": '"other"'}).body == CONTENT


@pytest.mark.parametrize(
    ("asked", "start", "stop"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=0-9", 0, 10),
        ("bytes=10-19", 10, 20),
        ("bytes=90-", 90, 100),
        ("bytes=0-", 0, 100),
        ("bytes=99-99", 99, 100),
        ("bytes=50-1000", 50, 100),
        (f"bytes=50-{'9' * 30}", 50, 100),
        ("bytes=-10", 90, 100),
        ("bytes=-1000", 0, 100),
        (f"bytes=-{'9' * 30}", 0, 100),
        ("BYTES=1-2", 1, 3),
    ],
)
def test_a_range_is_a_part(ranges: Client, asked: str, start: int, stop: int) -> None:
    answer = ranges.ask("GET", PATH, headers={"Range": asked})

    assert (answer.status, answer.body) == (206, CONTENT[start:stop])
    assert answer.headers["Content-Range"] == f"bytes {start}-{stop - 1}/100"
    assert answer.headers["Content-Length"] == str(stop - start)
    assert answer.headers["Docker-Content-Digest"] == DIGEST


@pytest.mark.parametrize("asked", ["bytes=100-", "bytes=100-200", "bytes=1000-", f"bytes={'9' * 30}-"])
def test_a_range_behind_the_end_is_none(ranges: Client, asked: str) -> None:
    answer = ranges.ask("GET", PATH, headers={"Range": asked})

    assert answer.status == 416
    assert answer.headers["Content-Range"] == "bytes */100"


@pytest.mark.parametrize(
    "asked",
    [
        "bytes=0-1,5-6",
        "bytes=0-0,-1",
        "bytes=9-5",
        "bytes=a-b",
        "bytes",
        "bytes=",
        "bytes=-",
        "items=0-1",
        "0-1",
        "x" * 5000,
        f"bytes={'9' * 5000}-",
        "bytes=--1",
        "bytes=1-2-3",
        "",
    ],
)
def test_what_is_not_one_range_is_as_good_as_none(ranges: Client, asked: str) -> None:
    answer = ranges.ask("GET", PATH, headers={"Range": asked})

    assert (answer.status, answer.body) == (200, CONTENT)


@pytest.mark.parametrize(
    ("condition", "status"),
    [
        (f'"{DIGEST}"', 206),
        ('"other"', 200),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 200),
        # RFC 9110, section 13.1.5: a weak validator never matches.
        (f'W/"{DIGEST}"', 200),
    ],
)
def test_a_range_may_depend_on_what_the_client_has(ranges: Client, condition: str, status: int) -> None:
    assert ranges.ask("GET", PATH, headers={"Range": "bytes=0-9", "If-Range": condition}).status == status


def test_an_empty_blob_has_no_ranges(module_client: Client) -> None:
    digest = module_client.push_blob("ranges", b"")

    assert module_client.ask("GET", f"/v2/ranges/blobs/{digest}").body == b""
    assert module_client.ask("GET", f"/v2/ranges/blobs/{digest}", headers={"Range": "bytes=0-"}).status == 416


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_a_blob_is_mounted(client: Client, algorithm: str) -> None:
    content = images.blob()
    digest = client.push_blob("source", content, algorithm)

    for target, query in {"with": f"mount={digest}&from=source", "without": f"mount={digest}"}.items():
        answer = client.ask("POST", f"/v2/{target}/blobs/uploads/?{query}")
        assert answer.status == 201
        assert answer.headers["Location"] == f"/v2/{target}/blobs/{digest}"
        assert answer.headers["Docker-Content-Digest"] == digest
        assert client.ask("GET", f"/v2/{target}/blobs/{digest}").body == content
    # Mounting is a link: it outlives the repository's that it was taken from.
    assert client.ask("DELETE", f"/v2/source/blobs/{digest}").status == 202
    assert client.ask("GET", f"/v2/with/blobs/{digest}").body == content
    assert client.ask("POST", f"/v2/with/blobs/uploads/?mount={digest}&from=with").status == 201


def test_what_cannot_be_mounted_begins_an_upload(client: Client) -> None:
    digest = client.push_blob("source", images.blob())

    for query in (f"mount={NOWHERE}&from=source", f"mount={NOWHERE}", f"mount={digest}&from=other"):
        answer = client.ask("POST", f"/v2/app/blobs/uploads/?{query}")
        assert answer.status == 202
        assert client.ask("GET", answer.headers["Location"]).status == 204


def test_a_deleted_blob_is_gone_here_alone(client: Client) -> None:
    content = images.blob()
    digest = client.push_blob("app", content)
    client.push_blob("other", content)

    assert client.ask("DELETE", f"/v2/app/blobs/{digest}").status == 202

    for method in ("GET", "HEAD", "DELETE"):
        assert client.ask(method, f"/v2/app/blobs/{digest}").status == 404
    assert client.ask("GET", f"/v2/other/blobs/{digest}").body == content
    client.push_blob("app", content)
    assert client.ask("GET", f"/v2/app/blobs/{digest}").body == content


def test_a_blob_goes_with_the_last_manifest_that_names_it(client: Client) -> None:
    layer = images.blob()
    client.push_image("app", "v1", layer)
    digest, manifest = digest_of(layer), digest_of(images.manifest([layer]))

    refused = client.ask("DELETE", f"/v2/app/blobs/{digest}")
    assert (refused.status, refused.code) == (405, "UNSUPPORTED")
    assert client.ask("GET", f"/v2/app/blobs/{digest}").body == layer
    assert client.ask("DELETE", f"/v2/app/manifests/{manifest}").status == 202
    assert [client.ask(method, f"/v2/app/blobs/{digest}").status for method in ("HEAD", "GET", "DELETE")] == [404] * 3
    unnamed = client.push_blob("app", layer)
    assert client.ask("DELETE", f"/v2/app/blobs/{unnamed}").status == 202


def told(answer: Answer, *hidden: str) -> Any:
    """All that an answer tells, but for its number, and the digest and the session that it is about."""
    text = f"{answer.status} {sorted(answer.headers.to_wsgi_list())} {answer.body!r}"
    for each in (*hidden, answer.headers["X-Request-Id"], answer.headers.get("Docker-Upload-UUID", "-")):
        text = text.replace(each, "…")
    return text


def test_a_blob_elsewhere_is_like_one_that_is_nowhere(client: Client) -> None:
    elsewhere = client.push_blob("other", images.blob())
    client.push_image("app", "v1")

    def asked(digest: str) -> list[Any]:
        described = {"mediaType": images.LAYER_TYPE, "digest": digest, "size": 100}
        manifest = images.manifest([]).replace(b'"layers": []', b'"layers": [' + json.dumps(described).encode() + b"]")
        index = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [described]}).encode()
        answers = [client.ask(method, f"/v2/app/blobs/{digest}") for method in ("HEAD", "GET", "DELETE")]
        answers.append(client.ask("GET", f"/v2/app/blobs/{digest}", headers={"Range": "bytes=1000-"}))
        answers.append(client.ask("GET", f"/v2/app/blobs/{digest}", headers={"If-None-Match": "*"}))
        answers.append(client.ask("POST", f"/v2/app/blobs/uploads/?mount={digest}&from=app"))
        answers.append(client.ask("POST", f"/v2/app/blobs/uploads/?mount={digest}&from=absent"))
        answers.append(client.ask("PUT", "/v2/app/manifests/v2", manifest, typed(manifest)))
        answers.append(client.ask("PUT", "/v2/app/manifests/v2", index, typed(index)))
        answers.append(client.ask("POST", f"/v2/app/blobs/uploads/?digest={digest}", b"other bytes"))
        answers.append(client.ask("GET", f"/v2/app/manifests/{digest}"))
        answers.append(client.ask("GET", f"/v2/app/referrers/{digest}"))
        return [told(answer, digest) for answer in answers]

    assert asked(elsewhere) == asked(NOWHERE)


def test_a_manifest_elsewhere_is_like_one_that_is_nowhere(client: Client) -> None:
    manifest = client.push_image("other", "v1", images.blob())
    client.push_image("app", "v1")

    def asked(digest: str) -> list[Any]:
        index = images.index([manifest]).replace(digest_of(manifest).encode(), digest.encode())
        answers = [client.ask(method, f"/v2/app/manifests/{digest}") for method in ("HEAD", "GET", "DELETE")]
        answers.append(client.ask("PUT", "/v2/app/manifests/v2", index, typed(index)))
        answers.append(client.ask("GET", f"/v2/app/referrers/{digest}"))
        return [told(answer, digest) for answer in answers]

    assert asked(digest_of(manifest)) == asked(NOWHERE)

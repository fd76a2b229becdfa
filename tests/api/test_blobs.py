"""Pulling, mounting and deleting blobs; ranges; what one repository must not learn of another."""

import json
from typing import Any

import pytest

from lading.registry.content.manifest_format import OCI_INDEX
from lading_storage.digests import digest_of
from tests.support import images
from tests.support.app_client import Client, Response, content_type_header

NOWHERE = digest_of(b"nowhere")


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
@pytest.mark.parametrize("size", [0, 1, 300_000])
def test_a_blob_is_pulled_as_it_was_pushed(client: Client, size: int, algorithm: str) -> None:
    content = images.blob(size)
    digest = client.push_blob("app", content, algorithm)

    for method in ("GET", "HEAD"):
        answer = client.request(method, f"/v2/app/blobs/{digest}")
        assert (answer.status, answer.body) == (200, content if method == "GET" else b"")
        assert answer.headers["Content-Length"] == str(size)
        assert answer.headers["Docker-Content-Digest"] == digest
        assert answer.headers["ETag"] == f'"{digest}"'
        assert answer.headers["Accept-Ranges"] == "bytes"
        assert answer.headers["Content-Type"] == "application/octet-stream"


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_a_blob_is_mounted(client: Client, algorithm: str) -> None:
    content = images.blob()
    digest = client.push_blob("source", content, algorithm)

    for target, query in {"with": f"mount={digest}&from=source", "without": f"mount={digest}"}.items():
        answer = client.request("POST", f"/v2/{target}/blobs/uploads/?{query}")
        assert answer.status == 201
        assert answer.headers["Location"] == f"/v2/{target}/blobs/{digest}"
        assert answer.headers["Docker-Content-Digest"] == digest
        assert client.request("GET", f"/v2/{target}/blobs/{digest}").body == content
    # Mounting is a link: it outlives the repository's that it was taken from.
    assert client.request("DELETE", f"/v2/source/blobs/{digest}").status == 202
    assert client.request("GET", f"/v2/with/blobs/{digest}").body == content
    assert client.request("POST", f"/v2/with/blobs/uploads/?mount={digest}&from=with").status == 201


def test_what_cannot_be_mounted_begins_an_upload(client: Client) -> None:
    digest = client.push_blob("source", images.blob())

    queries = [f"mount={NOWHERE}&from=source", f"mount={NOWHERE}", f"mount={digest}&from=other"]
    # No repository has such a name.
    names = ("Source", "source/", "/source", "..", "%00", "%FF", "a" * 300, "source%0A", "sourc%C3%A9")
    for query in [*queries, *(f"mount={digest}&from={name}" for name in names)]:
        answer = client.request("POST", f"/v2/app/blobs/uploads/?{query}")
        assert answer.status == 202
        assert client.request("GET", answer.headers["Location"]).status == 204


def test_a_deleted_blob_is_gone_here_alone(client: Client) -> None:
    content = images.blob()
    digest = client.push_blob("app", content)
    client.push_blob("other", content)

    assert client.request("DELETE", f"/v2/app/blobs/{digest}").status == 202

    for method in ("GET", "HEAD", "DELETE"):
        assert client.request(method, f"/v2/app/blobs/{digest}").status == 404
    assert client.request("GET", f"/v2/other/blobs/{digest}").body == content
    client.push_blob("app", content)
    assert client.request("GET", f"/v2/app/blobs/{digest}").body == content


def test_a_blob_goes_with_the_last_manifest_that_names_it(client: Client) -> None:
    layer = images.blob()
    client.push_image("app", "v1", layer)
    digest, manifest = digest_of(layer), digest_of(images.manifest([layer]))

    refused = client.request("DELETE", f"/v2/app/blobs/{digest}")
    assert (refused.status, refused.code) == (405, "UNSUPPORTED")
    assert client.request("GET", f"/v2/app/blobs/{digest}").body == layer
    assert client.request("DELETE", f"/v2/app/manifests/{manifest}").status == 202
    assert [client.request(method, f"/v2/app/blobs/{digest}").status for method in ("HEAD", "GET", "DELETE")] == [
        404
    ] * 3
    unnamed = client.push_blob("app", layer)
    assert client.request("DELETE", f"/v2/app/blobs/{unnamed}").status == 202


def told(answer: Response, *hidden: str) -> Any:
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
        answers = [client.request(method, f"/v2/app/blobs/{digest}") for method in ("HEAD", "GET", "DELETE")]
        answers.append(client.request("GET", f"/v2/app/blobs/{digest}", headers={"Range": "bytes=1000-"}))
        answers.append(client.request("GET", f"/v2/app/blobs/{digest}", headers={"If-None-Match": "*"}))
        answers.append(client.request("POST", f"/v2/app/blobs/uploads/?mount={digest}&from=app"))
        answers.append(client.request("POST", f"/v2/app/blobs/uploads/?mount={digest}&from=absent"))
        answers.append(client.request("PUT", "/v2/app/manifests/v2", manifest, content_type_header(manifest)))
        answers.append(client.request("PUT", "/v2/app/manifests/v2", index, content_type_header(index)))
        answers.append(client.request("POST", f"/v2/app/blobs/uploads/?digest={digest}", b"other bytes"))
        answers.append(client.request("GET", f"/v2/app/manifests/{digest}"))
        answers.append(client.request("GET", f"/v2/app/referrers/{digest}"))
        return [told(answer, digest) for answer in answers]

    assert asked(elsewhere) == asked(NOWHERE)


def test_a_manifest_elsewhere_is_like_one_that_is_nowhere(client: Client) -> None:
    manifest = client.push_image("other", "v1", images.blob())
    client.push_image("app", "v1")

    def asked(digest: str) -> list[Any]:
        index = images.index([manifest]).replace(digest_of(manifest).encode(), digest.encode())
        answers = [client.request(method, f"/v2/app/manifests/{digest}") for method in ("HEAD", "GET", "DELETE")]
        answers.append(client.request("PUT", "/v2/app/manifests/v2", index, content_type_header(index)))
        answers.append(client.request("GET", f"/v2/app/referrers/{digest}"))
        return [told(answer, digest) for answer in answers]

    assert asked(digest_of(manifest)) == asked(NOWHERE)

"""Reports of uploads that were interrupted, repeated or unusual."""

import pytest

from lading.registry.registry import Registry
from lading_storage.digests import digest_of
from tests.support import images
from tests.support.app_client import Client, make_client


def test_01_a_chunk_whose_answer_was_lost_is_sent_again(client: Client) -> None:
    """A client timed out, sent a chunk again, and the layer had it twice, or the push could not go on."""
    first, second = images.blob(3000), images.blob(3000)
    start = client.start_upload("app")
    sent = client.request("PATCH", start, first)
    again = client.request("PATCH", start, first)
    assert (again.status, again.headers["Range"]) == (416, "0-2999")
    assert again.headers["Location"] == sent.headers["Location"]
    location = client.request("PATCH", again.headers["Location"], second).headers["Location"]
    assert client.request("PUT", f"{location}?digest={digest_of(first + second)}").status == 201


@pytest.mark.parametrize("begin", [0, 2999, 3001])
def test_02_a_chunk_out_of_order_leaves_the_upload_as_it_was(client: Client, begin: int) -> None:
    """A chunk in the wrong place was accepted, and the blob's digest was wrong at the very end."""
    first, second = images.blob(3000), images.blob(3000)
    location = client.request("PATCH", client.start_upload("app"), first).headers["Location"]
    refused = client.request("PATCH", location, second, {"Content-Range": f"{begin}-{begin + 2999}"})
    assert (refused.status, refused.headers["Range"]) == (416, "0-2999")
    sent = client.request("PATCH", location, second, {"Content-Range": "3000-5999"})
    assert client.request("PUT", f"{sent.headers['Location']}?digest={digest_of(first + second)}").status == 201


def test_03_an_upload_goes_on_in_another_process(client: Client, registry: Registry) -> None:
    """The status of an upload could not be asked for after a restart, so a push began anew."""
    first, second = images.blob(3000), images.blob(3000)
    location = client.request("PATCH", client.start_upload("app"), first).headers["Location"]
    other = make_client(Registry(registry.objects, registry.metadata))
    status = other.request("GET", location)
    assert (status.status, status.headers["Range"]) == (204, "0-2999")
    sent = other.request("PATCH", status.headers["Location"], second)
    assert other.request("PUT", f"{sent.headers['Location']}?digest={digest_of(first + second)}").status == 201


def test_04_the_last_request_of_an_upload_is_sent_again(client: Client) -> None:
    """The answer to the final PUT was lost, its repetition got 404, and the push failed with all bytes there."""
    content = images.blob()
    location = f"{client.start_upload('app')}?digest={digest_of(content)}"
    for _ in range(2):
        assert client.request("PUT", location, content).status == 201
    assert client.request("GET", f"/v2/app/blobs/{digest_of(content)}").body == content


@pytest.mark.parametrize("size", [1, 1023, 1024, 32 * 1024 + 1, 1024 * 1024 + 1])
@pytest.mark.parametrize("chunked", [False, True])
def test_05_a_body_of_any_size(client: Client, size: int, chunked: bool) -> None:
    """Files just above a buffer's size failed, or came back short."""
    content = images.blob(size)
    location = f"{client.start_upload('app')}?digest={digest_of(content)}"
    assert client.request("PUT", location, content, chunked=chunked).status == 201
    assert client.request("GET", f"/v2/app/blobs/{digest_of(content)}").body == content


def test_06_bytes_that_are_not_those_of_the_digest_are_never_seen(client: Client) -> None:
    """A corrupted layer was kept under the right digest, and every later push of it was skipped."""
    content = images.blob()
    path = f"/v2/app/blobs/{digest_of(content)}"
    refused = client.request(
        "PUT", f"{client.start_upload('app')}?digest={digest_of(content)}", content[:-1] + b"\x00\x01"
    )
    assert (refused.status, refused.code) == (400, "DIGEST_INVALID")
    assert client.request("HEAD", path).status == 404
    client.push_blob("app", content)
    assert client.request("GET", path).body == content


@pytest.mark.parametrize("source", ["absent", "other", "No-Repository", ""])
def test_07_a_mount_that_cannot_be_becomes_an_upload(client: Client, source: str) -> None:
    """A mount from a repository that is not there, or without the layer, ended the push."""
    content = images.blob()
    client.push_image("other", "v1")
    location = client.start_upload("app", f"?mount={digest_of(content)}&from={source}")
    assert client.request("PUT", f"{location}?digest={digest_of(content)}", content).status == 201


@pytest.mark.parametrize("headers", [{}, {"Range": "bytes=0-"}])
def test_08_an_empty_blob(client: Client, headers: dict[str, str]) -> None:
    """An empty file could be pushed and not pulled, by clients that ask for ranges least of all."""
    digest = client.push_blob("app", b"")
    answer = client.request("GET", f"/v2/app/blobs/{digest}", headers=headers)
    assert (answer.status, answer.body, answer.headers["Content-Length"]) == (200, b"", "0")

"""Upload sessions: in one request, in one stream, in chunks, out of order, again, given up."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from lading_storage.digests import digest_of
from lading_storage.stores import Stores
from tests.support import images
from tests.support.app_client import Client

CHUNKS = [images.blob(1000), images.blob(700), images.blob(1), images.blob(2000)]
WHOLE = b"".join(CHUNKS)


def test_a_session_begins(client: Client) -> None:
    for path in ("/v2/app/blobs/uploads/", "/v2/app/blobs/uploads"):
        answer = client.request("POST", path)
        id = answer.headers["Docker-Upload-UUID"]
        assert (answer.status, answer.body) == (202, b"")
        assert answer.headers["Location"] == f"/v2/app/blobs/uploads/{id}-0"
        assert answer.headers["Range"] == "0-0"
        assert int(answer.headers["OCI-Chunk-Min-Length"]) > 0
        assert len(id) >= 32


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
@pytest.mark.parametrize("ranges", [True, False])
@pytest.mark.parametrize("chunked", [True, False])
def test_a_blob_comes_in_chunks(client: Client, algorithm: str, ranges: bool, chunked: bool) -> None:
    location = client.start_upload("app", f"?digest-algorithm={algorithm}")
    offset = 0
    for chunk in CHUNKS[:-1]:
        headers = {"Content-Range": f"{offset}-{offset + len(chunk) - 1}"} if ranges else {}
        answer = client.request("PATCH", location, chunk, headers, chunked=chunked)
        offset += len(chunk)
        assert answer.status == 202
        assert answer.headers["Range"] == f"0-{offset - 1}"
        assert location.startswith(f"/v2/app/blobs/uploads/{answer.headers['Docker-Upload-UUID']}-")
        location = answer.headers["Location"]
        status = client.request("GET", location)
        assert (status.status, status.headers["Range"]) == (204, f"0-{offset - 1}")
        assert status.headers["Location"] == location

    digest = digest_of(WHOLE, algorithm)
    answer = client.request("PUT", f"{location}?digest={digest}", CHUNKS[-1], chunked=chunked)

    assert answer.status == 201
    assert answer.headers["Location"] == f"/v2/app/blobs/{digest}"
    assert answer.headers["Docker-Content-Digest"] == digest
    assert client.request("GET", answer.headers["Location"]).body == WHOLE
    assert client.request("GET", location).status == 404


@pytest.mark.parametrize("begun", ["sha256", "sha512"])
@pytest.mark.parametrize("ended", ["sha256", "sha512"])
def test_any_algorithm_may_end_a_session(client: Client, begun: str, ended: str) -> None:
    location = client.start_upload("app", f"?digest-algorithm={begun}")
    assert client.request("PATCH", location, WHOLE).status == 202
    digest = digest_of(WHOLE, ended)

    assert client.request("PUT", f"{location}?digest={digest}").status == 201
    assert client.request("GET", f"/v2/app/blobs/{digest}").body == WHOLE


@pytest.mark.parametrize("body", [b"", WHOLE])
def test_a_session_may_end_with_all_of_the_body(client: Client, body: bytes) -> None:
    location, digest = client.start_upload("app"), digest_of(body)

    assert client.request("PUT", f"{location}?digest={digest}", body).status == 201
    assert client.request("GET", f"/v2/app/blobs/{digest}").body == body


def test_a_chunk_out_of_order_is_refused_and_the_session_goes_on(client: Client) -> None:
    begun = client.request("PATCH", client.start_upload("app"), WHOLE[:1000], {"Content-Range": "0-999"})
    location = begun.headers["Location"]
    assert begun.status == 202

    for start in (0, 500, 999, 1001, 1500):
        answer = client.request("PATCH", location, WHOLE[:500], {"Content-Range": f"{start}-{start + 499}"})
        assert (answer.status, answer.code) == (416, "BLOB_UPLOAD_INVALID")
        assert answer.headers["Range"] == "0-999"
        assert answer.headers["Location"] == location

    rest = {"Content-Range": f"1000-{len(WHOLE) - 1}"}
    assert client.request("PATCH", location, WHOLE[1000:], rest).status == 202
    assert client.request("PUT", f"{location}?digest={digest_of(WHOLE)}").status == 201


def test_a_body_that_is_cut_leaves_the_session_as_it_was(client: Client, stores: Stores) -> None:
    location = client.start_upload("app")
    grown = client.request("PATCH", location, WHOLE[:1000]).headers["Location"]
    names = stores.blobs.names("", limit=10)

    cut = client.request("PATCH", grown, WHOLE[1000:1100], length=len(WHOLE))

    assert (cut.status, cut.code) == (400, "SIZE_INVALID")
    assert client.request("GET", location).headers["Range"] == "0-999"
    assert stores.blobs.names("", limit=10) == names
    assert client.request("PUT", f"{grown}?digest={digest_of(WHOLE)}", WHOLE[1000:]).status == 201


@pytest.mark.parametrize("chunked", [True, False])
@pytest.mark.parametrize("method", ["PATCH", "PUT"])
def test_a_body_that_is_sent_again_is_not_appended_twice(client: Client, method: str, chunked: bool) -> None:
    begun = client.start_upload("app")
    location = client.request("PATCH", begun, WHOLE[:1000]).headers["Location"]
    query = f"?digest={digest_of(WHOLE)}" if method == "PUT" else ""

    for offset in ("0", "999", "1001", "9" * 18):
        stale = begun.removesuffix("0") + offset
        answer = client.request(method, stale + query, WHOLE[:1000], chunked=chunked)
        assert (answer.status, answer.code) == (416, "BLOB_UPLOAD_INVALID")
        assert (answer.headers["Range"], answer.headers["Location"]) == ("0-999", location)
        for other in ("GET", "HEAD"):
            assert client.request(other, stale).headers["Location"] == location

    assert client.request("PUT", f"{location}?digest={digest_of(WHOLE)}", WHOLE[1000:]).status == 201


def test_a_content_range_counts_before_the_location(client: Client) -> None:
    begun = client.start_upload("app")
    for start, status in ((0, 202), (0, 416), (1000, 202), (1000, 416)):
        chunk = WHOLE[start : start + 1000]
        answer = client.request("PATCH", begun, chunk, {"Content-Range": f"{start}-{start + 999}"})
        assert answer.status == status
    stale = client.request("PATCH", answer.headers["Location"], WHOLE[:1000], {"Content-Range": "0-999"})
    assert (stale.status, stale.headers["Range"]) == (416, "0-1999")


def test_nothing_is_appended_wherever_the_location_leads(client: Client) -> None:
    begun = client.start_upload("app")
    client.request("PATCH", begun, WHOLE)

    assert client.request("PATCH", begun).headers["Range"] == f"0-{len(WHOLE) - 1}"
    assert client.request("PUT", f"{begun}?digest={digest_of(WHOLE)}").status == 201


def test_a_session_without_an_offset_takes_what_comes(client: Client) -> None:
    location = client.start_upload("app").removesuffix("-0")
    for chunk in CHUNKS:
        assert client.request("PATCH", location, chunk).status == 202

    assert client.request("PUT", f"{location}?digest={digest_of(WHOLE)}").status == 201


def test_of_chunks_sent_at_once_to_one_location_one_is_appended(client: Client) -> None:
    begun = client.start_upload("app")
    with ThreadPoolExecutor(8) as pool:
        answers = [*pool.map(lambda _: client.request("PATCH", begun, WHOLE[:1000]), range(8))]

    assert sorted(answer.status for answer in answers) == [202] + [416] * 7
    assert {answer.headers["Range"] for answer in answers} == {"0-999"}
    (location,) = {answer.headers["Location"] for answer in answers}
    assert client.request("PUT", f"{location}?digest={digest_of(WHOLE)}", WHOLE[1000:]).status == 201


def test_the_end_may_be_repeated(client: Client) -> None:
    location, digest = client.start_upload("app"), digest_of(WHOLE)
    for _ in range(3):
        answer = client.request("PUT", f"{location}?digest={digest}", WHOLE)
        assert answer.status == 201
        assert answer.headers["Location"] == f"/v2/app/blobs/{digest}"
    other = client.request("PUT", f"{location}?digest={digest_of(b'other')}", b"other")
    assert (other.status, other.code) == (404, "BLOB_UPLOAD_UNKNOWN")
    assert client.request("PATCH", location, b"more").status == 404
    assert client.request("DELETE", location).status == 404
    assert client.request("GET", f"/v2/app/blobs/{digest}").body == WHOLE


def test_a_session_is_given_up(client: Client, stores: Stores) -> None:
    location = client.start_upload("app")
    client.request("PATCH", location, WHOLE)

    assert client.request("DELETE", location).status == 204

    for method in ("GET", "HEAD", "PATCH", "DELETE"):
        assert client.request(method, location).status == 404
    assert client.request("PUT", f"{location}?digest={digest_of(WHOLE)}", WHOLE).status == 404
    assert stores.blobs.names("", limit=10) == []


def test_a_session_belongs_to_its_repository(client: Client) -> None:
    location = client.start_upload("app")
    other = location.replace("/app/", "/other/")

    for method in ("GET", "HEAD", "PATCH", "DELETE"):
        assert client.request(method, other, b"x" if method == "PATCH" else b"").status == 404
    assert client.request("PUT", f"{other}?digest={digest_of(b'x')}", b"x").status == 404
    assert client.request("GET", location).headers["Range"] == "0-0"


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_other_bytes_than_the_digest_says_leave_nothing(client: Client, stores: Stores, algorithm: str) -> None:
    digest = digest_of(b"what was meant", algorithm)
    chunks = client.request("PATCH", client.start_upload("app"), b"other ").headers["Location"]
    targets = [
        f"/v2/app/blobs/uploads/?digest={digest}",
        f"{client.start_upload('app')}?digest={digest}",
        f"{chunks}?digest={digest}",
    ]

    for method, target in zip(("POST", "PUT", "PUT"), targets, strict=True):
        for body in (b"what was sent",):
            answer = client.request(method, target, body)
            assert (answer.status, answer.code) == (400, "DIGEST_INVALID")
    assert stores.blobs.names("", limit=10) == []
    assert client.request("HEAD", f"/v2/app/blobs/{digest}").status == 404
    assert client.request("GET", chunks).status == 404


def test_the_same_blob_again_keeps_one_object(client: Client, stores: Stores) -> None:
    for repository in ("app", "app", "other"):
        client.push_blob(repository, WHOLE)

    assert len(stores.blobs.names("", limit=10)) == 1

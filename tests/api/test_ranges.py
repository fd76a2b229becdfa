"""Ranges of blobs: one part, several parts, conditions, and what is not a range."""

import email
import email.policy
from collections.abc import Iterator
from contextlib import closing
from typing import Any, cast

import pytest
from werkzeug.test import EnvironBuilder

from lading.app import request_of
from lading.http.byteranges import MIN_CHUNK_SIZE, byteranges
from lading.registry.errors import BLOB_UNKNOWN, RegistryError
from lading.registry.registry import Registry
from lading_storage.digests import digest_of
from lading_storage.records.core import Link
from tests.support import images
from tests.support.app_client import HOST, Client, Response, make_client

CONTENT = bytes(range(100))

DIGEST = digest_of(CONTENT)

PATH = f"/v2/ranges/blobs/{DIGEST}"


@pytest.fixture
def ranges(module_client: Client) -> Client:
    module_client.push_blob("ranges", CONTENT)
    return module_client


@pytest.mark.parametrize("etag", [f'"{DIGEST}"', f'W/"{DIGEST}"', f'"x", "{DIGEST}"', "*"])
def test_what_the_client_has_is_not_sent_again(ranges: Client, etag: str) -> None:
    for method in ("GET", "HEAD"):
        answer = ranges.request(method, PATH, headers={"If-None-Match": etag})
        assert (answer.status, answer.body) == (304, b"")
        assert answer.headers["ETag"] == f'"{DIGEST}"'
    assert ranges.request("GET", PATH, headers={"If-None-Match": '"other"'}).body == CONTENT


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
    answer = ranges.request("GET", PATH, headers={"Range": asked})

    assert (answer.status, answer.body) == (206, CONTENT[start:stop])
    assert answer.headers["Content-Range"] == f"bytes {start}-{stop - 1}/100"
    assert answer.headers["Content-Length"] == str(stop - start)
    assert answer.headers["Docker-Content-Digest"] == DIGEST


@pytest.mark.parametrize("asked", ["bytes=100-", "bytes=100-200", "bytes=1000-", f"bytes={'9' * 30}-"])
def test_a_range_after_the_end_is_not_satisfiable(ranges: Client, asked: str) -> None:
    answer = ranges.request("GET", PATH, headers={"Range": asked})

    assert answer.status == 416
    assert answer.headers["Content-Range"] == "bytes */100"


@pytest.mark.parametrize(
    "asked",
    [
        "bytes=9-5",
        "bytes=0-1,5-3",
        # Out of order, or overlapping: RFC 9110, section 14.2, lets a server ignore them.
        "bytes=5-6,0-1",
        "bytes=0-9,9-10",
        "bytes=0-89,-11",
        "bytes=0-,0-,0-",
        "bytes=-10,-10",
        # More than anybody asks for.
        "bytes=" + ",".join(["200-"] * 1025),
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
    answer = ranges.request("GET", PATH, headers={"Range": asked})

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
    assert ranges.request("GET", PATH, headers={"Range": "bytes=0-9", "If-Range": condition}).status == status


@pytest.mark.parametrize("asked", ["", "bytes=0-", "bytes=0-0", "bytes=-1", "bytes=5-9", "bytes=0-0,2-3"])
def test_an_empty_blob_is_whole_whatever_the_range(module_client: Client, asked: str) -> None:
    digest = module_client.push_blob("ranges", b"")

    for method in ("GET", "HEAD"):
        answer = module_client.request(method, f"/v2/ranges/blobs/{digest}", headers={"Range": asked})
        assert (answer.status, answer.body, answer.headers["Content-Length"]) == (200, b"", "0")
        assert "Content-Range" not in answer.headers


@pytest.mark.parametrize("asked", ["bytes=0-9", "bytes=0-1,5-6", "bytes=1000-", "bytes=-1"])
def test_a_range_is_for_get_alone(ranges: Client, asked: str) -> None:
    answer = ranges.request("HEAD", PATH, headers={"Range": asked})

    assert (answer.status, answer.body, answer.headers["Content-Length"]) == (200, b"", "100")
    assert "Content-Range" not in answer.headers


def parts_of(answer: Response) -> list[tuple[str, bytes]]:
    """The Content-Range and the bytes of each part, as a MIME parser finds them."""
    text = f"Content-Type: {answer.headers['Content-Type']}\r\n\r\n".encode() + answer.body
    message = email.message_from_bytes(text, policy=email.policy.HTTP)
    assert message.get_content_type() == "multipart/byteranges"
    assert message.defects == []
    parts = [*message.iter_parts()]
    assert {part.get_content_type() for part in parts} == {"application/octet-stream"}
    return [(str(part["Content-Range"]), cast("bytes", part.get_payload(decode=True))) for part in parts]


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("bytes=0-1,5-6", [(0, 2), (5, 7)]),
        ("bytes=0-0,1-1,2-2", [(0, 1), (1, 2), (2, 3)]),
        ("bytes=0-0, 50-59 ,-1", [(0, 1), (50, 60), (99, 100)]),
        ("bytes=0-0,90-", [(0, 1), (90, 100)]),
        ("bytes=0-0,90-1000,2000-", [(0, 1), (90, 100)]),
    ],
)
def test_several_ranges_are_parts(ranges: Client, asked: str, expected: list[tuple[int, int]]) -> None:
    answer = ranges.request("GET", PATH, headers={"Range": asked})

    assert answer.status == 206
    assert "Content-Range" not in answer.headers
    assert answer.headers["Content-Length"] == str(len(answer.body))
    assert answer.headers["Docker-Content-Digest"] == DIGEST
    assert parts_of(answer) == [(f"bytes {start}-{stop - 1}/100", CONTENT[start:stop]) for start, stop in expected]


def test_of_several_ranges_one_may_be_left(ranges: Client) -> None:
    answer = ranges.request("GET", PATH, headers={"Range": "bytes=90-99,100-199,200-300"})

    assert (answer.status, answer.body) == (206, CONTENT[90:])
    assert answer.headers["Content-Range"] == "bytes 90-99/100"
    none = ranges.request("GET", PATH, headers={"Range": "bytes=100-199,200-"})
    assert (none.status, none.headers["Content-Range"]) == (416, "bytes */100")


def test_small_parts_are_sent_together_and_large_ones_are_not_collected() -> None:
    def open_range(start: int, stop: int) -> Iterator[bytes]:
        return (bytes(min(MIN_CHUNK_SIZE, stop - at)) for at in range(start, stop, MIN_CHUNK_SIZE))

    small = byteranges([(2 * number, 2 * number + 1) for number in range(1_000)], 10_000, "a/b", open_range)
    pieces = [*small.chunks]
    assert sum(map(len, pieces)) == small.size
    assert len(pieces) == small.size // MIN_CHUNK_SIZE + 1

    large = byteranges(
        [(0, 3 * MIN_CHUNK_SIZE), (3 * MIN_CHUNK_SIZE, 6 * MIN_CHUNK_SIZE)], 10 * MIN_CHUNK_SIZE, "a/b", open_range
    )
    pieces = [*large.chunks]
    assert sum(map(len, pieces)) == large.size
    assert max(map(len, pieces)) < 2 * MIN_CHUNK_SIZE + 200, "no more than a piece of the store's beside what is joined"


def test_as_many_ranges_as_clients_ask_for_are_parts(ranges: Client) -> None:
    content = images.blob(3_000)
    digest = ranges.push_blob("ranges", content)
    asked = "bytes=" + ",".join(f"{2 * number}-{2 * number}" for number in range(200))

    parts = parts_of(ranges.request("GET", f"/v2/ranges/blobs/{digest}", headers={"Range": asked}))

    assert [body for _, body in parts] == [content[2 * number : 2 * number + 1] for number in range(200)]


def test_parts_are_read_as_they_are_sent(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    client, opened = make_client(registry), list[tuple[int, int]]()
    digest, inner = client.push_blob("app", images.blob(9 * MIN_CHUNK_SIZE)), registry.blobs.open

    def counted(link: Link, start: int, stop: int) -> Iterator[bytes]:
        opened.append((start, stop))
        return inner(link, start, stop)

    spans = [(start * MIN_CHUNK_SIZE, (start + 1) * MIN_CHUNK_SIZE) for start in (0, 4, 8)]
    monkeypatch.setattr(registry.blobs, "open", counted)
    environ: dict[str, Any] = EnvironBuilder(path=f"/v2/app/blobs/{digest}").get_environ()
    environ |= {"HTTP_HOST": HOST, "HTTP_RANGE": "bytes=" + ",".join(f"{start}-{stop - 1}" for start, stop in spans)}
    with closing(client.app.respond(request_of(environ))) as answer:
        pieces = iter(answer)
        assert next(pieces).startswith(b"--")
        assert opened == spans[:1]
        assert b"".join(pieces).endswith(b"--\r\n")
    assert opened == spans


def test_a_blob_that_goes_between_parts_ends_the_answer(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    client = make_client(registry)
    digest, inner = client.push_blob("app", CONTENT * 2000), registry.blobs.open

    def failing(link: Link, start: int, stop: int) -> Iterator[bytes]:
        if start:
            raise RegistryError(BLOB_UNKNOWN)
        return inner(link, start, stop)

    monkeypatch.setattr(registry.blobs, "open", failing)
    # A server that gets no more pieces than the Content-Length says cuts the connection.
    with pytest.raises(RegistryError):
        client.request("GET", f"/v2/app/blobs/{digest}", headers={"Range": "bytes=0-1,100000-100001"})
    gone = client.request("GET", f"/v2/app/blobs/{digest}", headers={"Range": "bytes=5-6,8-9"})
    assert (gone.status, gone.code) == (404, "BLOB_UNKNOWN")

"""Uploads that Cloud Storage refuses for a while: sent again while the bytes are still at hand, and never twice."""

import json
import secrets
from base64 import b64encode
from collections.abc import Iterator
from typing import Any

import google_crc32c
import pytest

from lading_storage.errors import Corrupt, Unavailable
from lading_storage.google import gcs_uploads
from lading_storage.google.gcs import CloudStorageBlobs
from lading_storage.google.gcs_uploads import MAX_REPLAY, MAX_TRIES, UploadBody
from tests.support.fake_cloud_services import SilentRequestHandler, serve_handler
from tests.support.http_fault_proxy import reset

NAME = "ab01/0-00"
LOST = 0
"""Instead of a status: the object is created, and the answer never comes."""


class Storage:
    """A Cloud Storage that gives these answers to uploads, one after the other, and then takes what comes.

    bodies  what was sent with each
    kept    the objects; a lasting one is never written over
    """

    def __init__(self) -> None:
        self.answers: list[int] = []
        self.bodies: list[bytes] = []
        self.kept: dict[str, bytes] = {}

    def resource(self, name: str) -> bytes:
        content = self.kept[name]
        checksum = google_crc32c.value(content).to_bytes(4, "big")
        return json.dumps({"size": str(len(content)), "crc32c": b64encode(checksum).decode()}).encode()


@pytest.fixture
def storage(monkeypatch: pytest.MonkeyPatch) -> Iterator[Storage]:
    planned = Storage()

    class Handler(SilentRequestHandler):
        def do_POST(self) -> None:  # noqa: N802
            assert "ifGenerationMatch=0" in self.path
            body = self.body()
            planned.bodies.append(body)
            status = planned.answers.pop(0) if planned.answers else 200
            if status in (200, LOST) and NAME in planned.kept:
                status = 412
            elif status in (200, LOST):
                planned.kept[NAME] = body
            if status == LOST:
                reset(self)
            else:
                self.respond(status, planned.resource(NAME) if status == 200 else b"")

        def do_GET(self) -> None:  # noqa: N802
            self.respond(200, planned.resource(NAME))

        def do_DELETE(self) -> None:  # noqa: N802
            planned.kept.pop(NAME)
            self.respond(204, b"")

    monkeypatch.setattr(gcs_uploads, "INITIAL_BACKOFF", 0.001)
    with serve_handler(Handler) as port:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{port}")
        yield planned


@pytest.fixture
def blobs(storage: Storage) -> Iterator[CloudStorageBlobs]:
    opened = CloudStorageBlobs("bucket")
    yield opened
    opened.close()


def pieces(content: bytes, size: int = 100_000) -> Iterator[bytes]:
    return (content[at : at + size] for at in range(0, len(content), size))


@pytest.mark.parametrize("size", [0, 1, 300_000, MAX_REPLAY])
@pytest.mark.parametrize("is_told", [True, False])
@pytest.mark.parametrize("status", [429, 503, LOST])
def test_a_small_body_is_sent_again(
    storage: Storage, blobs: CloudStorageBlobs, size: int, is_told: bool, status: int
) -> None:
    content = secrets.token_bytes(size)
    storage.answers = [503, status]

    stored = blobs.append(NAME, pieces(content), size if is_told else None)

    assert (stored.size, stored.crc32c) == (size, google_crc32c.value(content))
    assert storage.kept == {NAME: content}
    assert storage.bodies == [content] * 3


def test_a_large_body_is_not_kept_to_be_sent_again(storage: Storage, blobs: CloudStorageBlobs) -> None:
    storage.answers = [503]
    with pytest.raises(Unavailable):
        blobs.append(NAME, pieces(bytes(MAX_REPLAY + 1)))
    assert len(storage.bodies) == 1


def test_there_is_no_pause_after_the_last_try(
    storage: Storage, blobs: CloudStorageBlobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr("time.sleep", pauses.append)
    storage.answers = [503] * gcs_uploads.MAX_TRIES
    with pytest.raises(Unavailable):
        blobs.append(NAME, pieces(b"content"))
    assert (len(storage.bodies), len(pauses)) == (gcs_uploads.MAX_TRIES, gcs_uploads.MAX_TRIES - 1)


@pytest.mark.parametrize("status", [400, 401, 403, 412])
def test_what_does_not_pass_is_not_tried_again(storage: Storage, blobs: CloudStorageBlobs, status: int) -> None:
    storage.answers = [status]
    with pytest.raises(Unavailable):
        blobs.append(NAME, [b"a"])
    assert len(storage.bodies) == 1


def test_tries_come_to_an_end(storage: Storage, blobs: CloudStorageBlobs, monkeypatch: pytest.MonkeyPatch) -> None:
    storage.answers = [503] * (MAX_TRIES + 1)
    with pytest.raises(Unavailable):
        blobs.append(NAME, [b"a"])
    assert len(storage.bodies) == MAX_TRIES
    monkeypatch.setattr(gcs_uploads, "RETRY_TIMEOUT", 0)
    storage.answers, storage.bodies = [503], []
    with pytest.raises(Unavailable):
        blobs.append(NAME, [b"a"])
    assert len(storage.bodies) == 1


def test_an_object_that_is_there_with_other_bytes_is_no_success(storage: Storage, blobs: CloudStorageBlobs) -> None:
    storage.kept[NAME] = b"other"
    storage.answers = [503]
    with pytest.raises(Corrupt):
        blobs.append(NAME, [b"mine"])


class GoneError(Exception):
    pass


def test_a_client_that_goes_away_is_no_fault_of_the_storage(storage: Storage, blobs: CloudStorageBlobs) -> None:
    def body(error: Exception) -> Iterator[bytes]:
        yield b"first"
        raise error

    for error in (GoneError(), ConnectionResetError()):
        with pytest.raises((GoneError, ConnectionResetError, Unavailable)):
            blobs.append(NAME, body(error))
    assert storage.kept == {}


def test_a_body_keeps_no_more_than_one_piece() -> None:
    body = UploadBody(pieces(bytes(10 * MAX_REPLAY)), None)
    sent: list[tuple[int, Any]] = []
    for chunk in body:
        kept = body._replay
        assert kept is None or sum(map(len, kept)) <= MAX_REPLAY
        sent.append((len(chunk), body.can_be_replayed))
    assert [replay for _, replay in sent] == [True] * (MAX_REPLAY // 100_000) + [False] * (
        len(sent) - MAX_REPLAY // 100_000
    )


def test_a_replay_goes_on_where_the_try_before_ended() -> None:
    body = UploadBody(iter([b"one ", b"", b"two ", b"three"]), None)
    first = iter(body)
    assert next(first) == b"one "
    assert b"".join(body) == b"one two three"
    assert (body.sent, body.crc32c) == (13, google_crc32c.value(b"one two three"))

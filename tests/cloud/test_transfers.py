"""Large bodies, and streams of one connection beside one another."""

import hashlib
import secrets
import threading
import time
import urllib.request
from typing import Final

from lading_storage.digests import digest_of
from tests.cloud.containers import MIB, open_upload, path_of, repository
from tests.cloud.h2c_requests import connected
from tests.support import images
from tests.support.large_bodies import zeros
from tests.support.server_process import Server

FRONT_LIMIT: Final = 32 * MIB
"""Where Cloud Run ends a request's body over HTTP/1.1."""


def test_a_layer_larger_than_a_request_may_be_over_http1_goes_in_and_comes_out(registry: Server) -> None:
    name, size = repository(), FRONT_LIMIT + 5 * MIB + 1
    digest = hashlib.sha256()
    with connected(registry) as http2:
        path = open_upload(http2, name)
        stream = http2.send_headers("PATCH", path, {"content-type": "application/octet-stream"})
        for piece in zeros(size):
            digest.update(piece)
            http2.send(stream, piece)
        http2.send(stream, b"", end=True)
        sent = http2.wait_for_response(stream)
        assert (sent.status, sent.headers["range"]) == (202, f"0-{size - 1}")
        named = f"sha256:{digest.hexdigest()}"
        path = path_of(sent.headers["location"])
        assert http2.request("PUT", f"{path}{'&' if '?' in path else '?'}digest={named}").status == 201

        head = http2.request("HEAD", f"/v2/{name}/blobs/{named}")
        assert (head.status, head.headers["content-length"]) == (200, str(size))
        redirect = http2.request("GET", f"/v2/{name}/blobs/{named}")
        assert redirect.status == 307
    with urllib.request.urlopen(redirect.headers["location"], timeout=60) as response:
        assert sum(map(len, iter(lambda: response.read(MIB), b""))) == size


def test_a_stream_that_is_reset_disturbs_no_other_of_its_connection(registry: Server) -> None:
    """As an interrupted push does that shares Google's connection to the container with a push that goes on."""
    name, first, second = repository(), secrets.token_bytes(3 * MIB), secrets.token_bytes(3 * MIB)
    with connected(registry) as http2:
        goes_on = http2.send_headers("POST", f"/v2/{name}/blobs/uploads/?digest={digest_of(first)}")
        http2.send(goes_on, first[:MIB])
        is_cut = http2.send_headers("POST", f"/v2/{name}/blobs/uploads/?digest={digest_of(second)}")
        http2.send(is_cut, second[:MIB])
        http2.client.reset(is_cut)

        # More than a window of it, so that the other side has to give credit meanwhile.
        http2.send(goes_on, first[MIB : 2 * MIB])
        assert http2.request("GET", "/v2/").status == 200
        http2.send(goes_on, first[2 * MIB :], end=True)

        assert http2.wait_for_response(goes_on).status == 201
        assert http2.request("HEAD", f"/v2/{name}/blobs/{digest_of(first)}").status == 200
        assert http2.request("HEAD", f"/v2/{name}/blobs/{digest_of(second)}").status == 404


def test_bodies_that_stand_still_leave_the_connection_to_others(registry: Server) -> None:
    name = repository()
    with connected(registry) as http2:
        path = open_upload(http2, name)
        for _ in range(10):
            stalled = http2.send_headers("PATCH", path)
            http2.send(stalled, b"x" * 1000)

        content = images.blob(2 * MIB)
        answer = http2.request("POST", f"/v2/{name}/blobs/uploads/?digest={digest_of(content)}", content)

        assert answer.status == 201


def test_a_client_that_goes_away_disturbs_no_other_connection(registry: Server) -> None:
    name, content = repository(), secrets.token_bytes(2 * MIB)
    statuses: list[int] = []

    def upload() -> None:
        with connected(registry) as http2:
            stream = http2.send_headers("POST", f"/v2/{name}/blobs/uploads/?digest={digest_of(content)}")
            for at in range(0, len(content), MIB // 4):
                http2.send(stream, content[at : at + MIB // 4])
                time.sleep(0.05)
            http2.send(stream, b"", end=True)
            statuses.append(http2.wait_for_response(stream).status)

    thread = threading.Thread(target=upload)
    thread.start()
    for _ in range(5):
        with connected(registry) as gone:
            stream = gone.send_headers("PATCH", open_upload(gone, name))
            gone.send(stream, bytes(MIB // 2))
    thread.join()

    assert statuses == [201]

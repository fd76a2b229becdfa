"""A client that interrupts an upload ends that request and nothing else, over HTTP/1.1 and TLS."""

import contextlib
import os
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from lading_storage.digests import digest_of
from tests.serving.truncated_requests import ENDS, TRUNCATIONS, connect, send_truncated
from tests.support.certificates import self_signed
from tests.support.server_process import Server, read_response, serving

UPLOADS = "/v2/a/blobs/uploads/"
CHUNKS = [os.urandom(10_000) for _ in range(40)]


@pytest.fixture(params=["HTTP/1.1", "TLS"])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    """A registry for everybody."""
    arguments, context = [], None
    if request.param == "TLS":
        certificate, key = self_signed(tmp_path)
        arguments = ["--tls-cert", str(certificate), "--tls-key", str(key)]
        context = ssl.create_default_context(cafile=str(certificate))
    with serving({"LADING_DATA": str(tmp_path / "data")}, tmp_path / "log", arguments, tls=context) as server:
        yield server


@pytest.mark.parametrize("chunked", [True, False], ids=["chunked", "sized"])
def test_interrupted_uploads_disturb_no_slow_one_beside_them(server: Server, chunked: bool) -> None:
    content = b"".join(CHUNKS)
    with contextlib.closing(connect(("127.0.0.1", server.port), server.tls)) as slow:
        length = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {len(content)}"
        slow.sendall(
            f"POST {UPLOADS}?digest={digest_of(content)} HTTP/1.1\r\nHost: localhost\r\n{length}\r\n\r\n".encode()
        )
        for number, piece in enumerate(CHUNKS):
            slow.sendall(f"{len(piece):x}\r\n".encode() + piece + b"\r\n" if chunked else piece)
            end = list(ENDS.values())[number % len(ENDS)]
            interrupted = connect(("127.0.0.1", server.port), server.tls)
            send_truncated(
                interrupted, f"POST {UPLOADS}?digest={digest_of(b'all')}", {}, TRUNCATIONS["in a chunk"](piece), end
            )
            # A new connection is taken at once: none is refused.
            assert server.request("GET", "/v2/")[0].status == 200
        slow.sendall(b"0\r\n\r\n" if chunked else b"")

        assert read_response(slow)[0] == 201
    assert server.log.read_text().count("Lading serves") == 1, "the process has not replaced itself"

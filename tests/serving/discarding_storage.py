"""A Cloud Storage that keeps nothing: it takes uploads of any size, and says of each what Cloud Storage would.

fake-gcs-server holds an upload in memory, several times over. This one reads and forgets.
"""

import base64
import contextlib
import json
from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

import google_crc32c

from tests.support.fake_cloud_services import SilentRequestHandler, serve_handler

CHUNK_SIZE = 1024 * 1024


class UploadHandler(SilentRequestHandler):
    """POST upload/storage/v1/b/BUCKET/o?uploadType=media, and nothing else."""

    def do_POST(self) -> None:  # noqa: N802  # the name that http.server calls
        query = parse_qs(urlsplit(self.path).query)
        assert query["uploadType"] == ["media"], self.path
        size, crc32c = 0, 0
        for piece in self.chunks():
            size, crc32c = size + len(piece), google_crc32c.extend(crc32c, piece)
        described = {"size": str(size), "crc32c": base64.b64encode(crc32c.to_bytes(4, "big")).decode()}
        self.respond(200, json.dumps(described).encode(), {"Content-Type": "application/json"})

    def chunks(self) -> Iterator[bytes]:
        """The request's body, of which no more than a chunk is held."""
        if self.headers.get("Transfer-Encoding") != "chunked":
            yield from self.read_exactly(int(self.headers.get("Content-Length") or 0))
            return
        while size := int(self.rfile.readline(), 16):
            yield from self.read_exactly(size)
            self.rfile.readline()
        self.rfile.readline()

    def read_exactly(self, size: int) -> Iterator[bytes]:
        while size:
            piece = self.rfile.read(min(size, CHUNK_SIZE))
            assert piece, "the body was cut"
            size -= len(piece)
            yield piece


@contextlib.contextmanager
def discarding_storage() -> Iterator[str]:
    """The address of a sink, for STORAGE_EMULATOR_HOST."""
    with serve_handler(UploadHandler) as port:
        yield f"http://127.0.0.1:{port}"

"""A proxy that lets calls over HTTP fail by plan: those to Cloud Storage, and reads of Firestore's documents."""

import base64
import contextlib
import http.client
import io
import json
import socket
import struct
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from typing import ClassVar

from tests.support.fake_cloud_services import HOP_BY_HOP, SilentRequestHandler, serve_handler
from tests.support.fault_plan import ANYWHERE, DELAY, STATUSES, FaultKind, Plan

Upstream = tuple[int, dict[str, str], bytes]


class FaultProxyHandler(SilentRequestHandler):
    """Forwards each request to `upstream`, which is HOST:PORT, with the fault that `plan` has for it."""

    upstream: ClassVar[str]
    plan: ClassVar[Plan]

    # An answer goes out in one piece: the kernel would hold back the second one for 40 ms.
    disable_nagle_algorithm = True
    wbufsize = 65536

    def do_POST(self) -> None:  # noqa: N802  # the name that http.server calls
        body = self.body()
        match self.plan.next_fault(self.possible()):
            case kind if kind in STATUSES:
                self.respond(int(kind), b"")
            case FaultKind.RESET_BEFORE:
                reset(self)
            case FaultKind.RESET_AFTER:
                self.ask(body)
                reset(self)
            case FaultKind.DELAY:
                time.sleep(DELAY)
                self.pass_on(self.ask(body))
            case FaultKind.CUT:
                self.cut(self.ask(body))
            case FaultKind.CHECKSUM:
                self.pass_on(with_another_checksum(self.ask(body)))
            case _:
                self.pass_on(self.ask(body))

    do_GET = do_PUT = do_DELETE = do_HEAD = do_POST  # noqa: N815

    def possible(self) -> frozenset[FaultKind]:
        if "/upload/" in self.path or self.path.partition("?")[0].endswith("/compose"):
            return ANYWHERE | {FaultKind.CUT, FaultKind.CHECKSUM}
        if self.command in ("GET", "POST"):
            return ANYWHERE | {FaultKind.CUT}
        return ANYWHERE

    def ask(self, body: bytes) -> Upstream:
        connection = http.client.HTTPConnection(self.upstream, timeout=60)
        headers = {name: value for name, value in self.headers.items() if name.lower() not in HOP_BY_HOP}
        with contextlib.closing(connection):
            connection.request(self.command, self.path, body, headers)
            answer = connection.getresponse()
            kept = {name: value for name, value in answer.getheaders() if name.lower() not in HOP_BY_HOP}
            return answer.status, kept, answer.read()

    def pass_on(self, answer: Upstream) -> None:
        status, headers, body = answer
        self.respond(status, body, headers)

    def cut(self, answer: Upstream) -> None:
        """All headers, and half of the body."""
        status, headers, body = answer
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body[: len(body) // 2])
        self.close_connection = True


@contextlib.contextmanager
def failing_http(upstream: str, plan: Plan) -> Iterator[int]:
    """The port of a proxy before the server at `upstream`, which is HOST:PORT."""
    handler = type("Handler", (FaultProxyHandler,), {"upstream": upstream, "plan": plan})
    with serve_handler(handler) as port:
        yield port


def with_another_checksum(answer: Upstream) -> Upstream:
    """The description of an object, as if other bytes had been kept."""
    status, headers, body = answer
    described = json.loads(body)
    checksum = bytearray(base64.b64decode(described["crc32c"]))
    checksum[0] ^= 1
    return status, headers, json.dumps(described | {"crc32c": base64.b64encode(checksum).decode()}).encode()


def reset(handler: BaseHTTPRequestHandler) -> None:
    """End a connection with a reset: the kernel sends one where a socket is closed that may not linger."""
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.close_connection = True
    for each in (handler.rfile, handler.wfile, handler.connection):
        each.close()
    # http.server flushes it once more.
    handler.wfile = io.BytesIO()

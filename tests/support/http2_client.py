"""A client of HTTP/2 without TLS, stream by stream."""

import contextlib
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import h2.config
import h2.connection
import h2.events

TIMEOUT = 20.0
GOAWAY = 7


@dataclass
class Reply:
    """What has come for one stream; `reset` is the error code of RST_STREAM."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    content: bytes = b""
    ended: bool = False
    reset: int | None = None


@dataclass
class Client:
    """One connection.

    reads  whether what has come is acknowledged, so that the server may send more
    """

    sock: socket.socket
    h2: h2.connection.H2Connection
    authority: str
    replies: dict[int, Reply] = field(default_factory=dict)
    reads: bool = True
    goaway: bool = False
    partial: bytes = b""
    ended: bool = False

    def send(self, method: str, path: str, headers: Sequence[tuple[str, str]] = (), body: bytes | None = b"") -> int:
        """Send a request and return its stream; with None for the body it is left open."""
        stream = self.h2.get_next_available_stream_id()
        fields = [(":method", method), (":scheme", "http"), (":path", path), (":authority", self.authority)]
        self.h2.send_headers(stream, [*fields, *headers], end_stream=body == b"")
        self.replies[stream] = Reply()
        self.flush()
        if body:
            self.send_body(stream, body, end=True)
        return stream

    def send_body(self, stream: int, body: bytes, end: bool = False) -> None:
        """Send a part of a body, as fast as the server lets it. Raises ConnectionError where the stream is reset."""
        view = memoryview(body)
        while view:
            if self.replies[stream].reset is not None:
                raise ConnectionError("the stream was reset")
            size = min(len(view), self.h2.local_flow_control_window(stream), self.h2.max_outbound_frame_size)
            if not size:
                self.receive()
                continue
            self.h2.send_data(stream, bytes(view[:size]))
            self.flush()
            view = view[size:]
        if end:
            self.h2.end_stream(stream)
            self.flush()

    def fill(self, stream: int) -> int:
        """Send zeros until the server takes no more within half a second; return how many went out."""
        sent = 0
        self.sock.settimeout(0.5)
        with contextlib.suppress(TimeoutError):
            while True:
                size = min(self.h2.local_flow_control_window(stream), self.h2.max_outbound_frame_size)
                if not size:
                    self.receive()
                    continue
                self.h2.send_data(stream, bytes(size))
                self.flush()
                sent += size
        self.sock.settimeout(TIMEOUT)
        return sent

    def reset(self, stream: int) -> None:
        """Take a request back (CANCEL), as a client does that is interrupted."""
        self.h2.reset_stream(stream, 8)
        self.flush()

    def reply(self, stream: int) -> Reply:
        """Wait for the end of a stream."""
        reply = self.replies[stream]
        while not reply.ended and reply.reset is None:
            self.receive()
        return reply

    def receive(self) -> None:
        """Take in what comes next. Raises TimeoutError, and ConnectionError at the end of the connection."""
        received = self.sock.recv(1 << 16)
        if not received:
            self.ended = True
            raise ConnectionError("the connection was closed")
        self.partial += received
        for frame in self._frames():
            # h2 takes nothing after a GOAWAY, but the streams that are there go on (RFC 9113, section 6.8).
            if frame[3] == GOAWAY:
                self.goaway = True
                continue
            for event in self.h2.receive_data(frame):
                self._take(event)
        self.flush()

    def _frames(self) -> Iterator[bytes]:
        """Take whole frames out of what has come."""
        while len(self.partial) >= 9 and len(self.partial) >= (size := 9 + int.from_bytes(self.partial[:3])):
            frame, self.partial = self.partial[:size], self.partial[size:]
            yield frame

    def _take(self, event: object) -> None:
        match event:
            case h2.events.ResponseReceived():
                reply = self.replies[event.stream_id]
                reply.headers = {name.decode(): value.decode() for name, value in event.headers}
                reply.status = int(reply.headers[":status"])
            case h2.events.DataReceived():
                self.replies[event.stream_id].content += event.data
                if self.reads:
                    self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            case h2.events.StreamEnded():
                self.replies[event.stream_id].ended = True
            case h2.events.StreamReset():
                self.replies[event.stream_id].reset = int(event.error_code)

    def flush(self) -> None:
        """Send what is to be sent."""
        self.sock.sendall(self.h2.data_to_send())


@contextlib.contextmanager
def connected(port: int, authority: str = "registry", address: str = "127.0.0.1") -> Iterator[Client]:
    """A connection to 127.0.0.1, from `address`, which has the server's settings."""
    # Names in upper case, such as a client of HTTP/1.1 would send, are not what is tested.
    config = h2.config.H2Configuration(validate_outbound_headers=False, normalize_outbound_headers=False)
    with socket.create_connection(("127.0.0.1", port), TIMEOUT, (address, 0)) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = h2.connection.H2Connection(config)
        connection.initiate_connection()
        client = Client(sock, connection, authority)
        client.flush()
        while not connection.remote_settings.max_concurrent_streams < 2**31:
            client.receive()
        yield client

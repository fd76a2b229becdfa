"""A strict OTLP collector: it takes what the protocol allows, and nothing else, and keeps the spans.

https://opentelemetry.io/docs/specs/otlp/#otlphttp
"""

import contextlib
import gzip
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

from google.protobuf.unknown_fields import UnknownFieldSet
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

KINDS: Final = {1: "internal", 2: "server", 3: "client"}
MAX_VALUE: Final = 4_000
"""Characters of a value: no client may make a span large."""

WAIT: Final = 20.0
"""Seconds for spans to come."""


@dataclass(frozen=True)
class CollectedSpan:
    """A span that was exported."""

    name: str
    kind: str
    trace: str
    id: str
    parent: str
    attributes: Mapping[str, Any]
    failed: bool
    began: int
    ended: int
    resource: Mapping[str, Any]


def _value(value: AnyValue) -> Any:
    kind = value.WhichOneof("value")
    assert kind in ("string_value", "int_value", "bool_value", "double_value"), kind
    found = getattr(value, kind)
    assert len(str(found)) <= MAX_VALUE
    return found


def _attributes(pairs: "list[KeyValue]") -> dict[str, Any]:
    found = {each.key: _value(each.value) for each in pairs}
    assert len(found) == len(pairs), "no key twice"
    return found


def parse(body: bytes) -> list[CollectedSpan]:
    """Return the spans of an export. Raises an error where one is not as the protocol wants it."""
    message = ExportTraceServiceRequest.FromString(body)
    assert message.SerializeToString() == body
    assert len(UnknownFieldSet(message)) == 0
    spans = []
    for group in message.resource_spans:
        resource = _attributes(list(group.resource.attributes))
        for scope in group.scope_spans:
            assert scope.scope.name == "lading"
            for span in scope.spans:
                assert len(span.trace_id) == 16
                assert any(span.trace_id)
                assert len(span.span_id) == 8
                assert any(span.span_id)
                assert len(span.parent_span_id) in (0, 8)
                assert span.name
                assert 0 < span.start_time_unix_nano <= span.end_time_unix_nano
                assert not span.trace_state
                assert not span.events
                assert not span.status.message
                assert not span.dropped_attributes_count
                ids = span.trace_id.hex(), span.span_id.hex(), span.parent_span_id.hex()
                spans.append(
                    CollectedSpan(
                        span.name,
                        KINDS[span.kind],
                        *ids,
                        _attributes(list(span.attributes)),
                        span.status.code == 2,
                        span.start_time_unix_nano,
                        span.end_time_unix_nano,
                        resource,
                    )
                )
    return spans


@dataclass
class Collector:
    """What a collector got, and how it responds.

    status  of the next responses
    before  called before each response, as by one that is slow
    """

    port: int = 0
    status: int = 200
    before: Callable[[], object] = lambda: None
    spans: list[CollectedSpan] = field(default_factory=list)
    headers: list[Mapping[str, str]] = field(default_factory=list)
    refused: int = 0
    faults: list[str] = field(default_factory=list)

    @property
    def endpoint(self) -> str:
        """The address, as OTEL_EXPORTER_OTLP_ENDPOINT has it."""
        return f"http://127.0.0.1:{self.port}"

    def named(self, *names: str) -> list[CollectedSpan]:
        """The spans with one of these names."""
        return [span for span in self.spans if span.name in names]

    def since(self, began: int) -> list[CollectedSpan]:
        """The spans that began at a time (time.time_ns) or later."""
        return [span for span in self.spans if span.began >= began]

    def names(self) -> Counter[str]:
        """How many spans there are of each name."""
        return Counter(span.name for span in self.spans)

    def wait_for(self, condition: Callable[[], object]) -> None:
        """Wait until a condition about the spans is met."""
        deadline = time.monotonic() + WAIT
        while not condition():
            assert time.monotonic() < deadline, self.names()
            time.sleep(0.05)
        assert self.faults == []

    def tree(self) -> str:
        """The spans as text, each within its parent."""
        lines: list[str] = []
        known = {span.id for span in self.spans}

        def show(parent: str, depth: int, spans: list[CollectedSpan]) -> None:
            for span in sorted(spans, key=lambda each: each.began):
                took = (span.ended - span.began) / 1e6
                lines.append(f"{'  ' * depth}{span.name} ({span.kind}, {took:.2f} ms) {dict(span.attributes)}")
                show(span.id, depth + 1, [each for each in self.spans if each.parent == span.id])

        show("", 0, [span for span in self.spans if span.parent not in known])
        return "\n".join(lines)


class _Request(BaseHTTPRequestHandler):
    server: "_Server"

    def do_POST(self) -> None:
        collector = self.server.collector
        body = self.rfile.read(int(self.headers["Content-Length"]))
        try:
            assert self.path == "/v1/traces"
            assert self.headers["Content-Type"] == "application/x-protobuf"
            spans = parse(gzip.decompress(body) if self.headers["Content-Encoding"] == "gzip" else body)
        except Exception as error:
            collector.faults.append(repr(error))
            self.send_error(400)
            return
        collector.headers.append(dict(self.headers))
        collector.before()
        if collector.status == 200:
            collector.spans += spans
        else:
            collector.refused += len(spans)
        content = ExportTraceServiceResponse().SerializeToString()
        self.send_response(collector.status)
        self.send_header("Content-Type", "application/x-protobuf")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    collector: Collector

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass


@contextlib.contextmanager
def collecting() -> Iterator[Collector]:
    """A collector on this machine, until the block ends."""
    with _Server(("127.0.0.1", 0), _Request) as server:
        server.collector = collector = Collector(server.server_address[1])
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield collector
        finally:
            server.shutdown()
            thread.join()
    assert collector.faults == []

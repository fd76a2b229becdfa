"""No collector delays a request, or makes the process large or its log long, whatever it does."""

import logging
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from emulators.processes import free_port
from lading.traces.exporter import LOG_INTERVAL, ExportLog
from tests.support.auth_fixtures import Clock
from tests.support.otlp_collector import Collector
from tests.support.server_process import Server
from tests.traces.traced_registry import serving_traces, tracing

QUEUE_SIZE, BATCH_SIZE = 2048, 512
"""OpenTelemetry's defaults."""

FAILED = "traces are not exported"


class BlockedExporter(SpanExporter):
    """An exporter that does not return until it may, and records the thread that called it."""

    def __init__(self) -> None:
        self.released = threading.Event()
        self.threads: set[str] = set()
        self.batches: list[int] = []

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.threads.add(threading.current_thread().name)
        self.batches.append(len(spans))
        self.released.wait()
        return SpanExportResult.SUCCESS


@pytest.fixture
def never_ends() -> Iterator[threading.Event]:
    """What a collector waits for that never responds; the end of the test releases it."""
    event = threading.Event()
    yield event
    event.set()


def test_ten_thousand_requests_wait_for_no_export_and_fill_a_queue_of_limited_size(tmp_path: Path) -> None:
    exporter = BlockedExporter()
    with tracing(tmp_path, exporter=exporter) as registry:
        # Each has three spans. All of them end while the first export does not return.
        assert {registry.send() for _ in range(10_000)} == {200}
        assert len(exporter.batches) == 1
        exporter.released.set()
    assert sum(exporter.batches) <= BATCH_SIZE + QUEUE_SIZE
    assert max(exporter.batches) == BATCH_SIZE
    assert "MainThread" not in exporter.threads


def test_a_collector_that_is_down_fails_no_request_and_logs_one_line(tmp_path: Path, collector: Collector) -> None:
    down = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{free_port()}", "OTEL_EXPORTER_OTLP_TIMEOUT": "1"}
    with serving_traces(tmp_path, collector, down) as server:
        for _ in range(5):
            _served(server, 50)
            threading.Event().wait(0.5)
    assert (tmp_path / "log").read_text().count(FAILED) == 1


@pytest.mark.parametrize("status", [401, 404, 429, 503])
def test_a_collector_that_refuses_fails_no_request(tmp_path: Path, collector: Collector, status: int) -> None:
    collector.status = status
    with serving_traces(tmp_path, collector, {"OTEL_EXPORTER_OTLP_TIMEOUT": "1"}) as server:
        for _ in range(4):
            _served(server, 50)
            threading.Event().wait(0.3)
        collector.wait_for(lambda: collector.refused)
    assert collector.spans == []
    assert (tmp_path / "log").read_text().count(FAILED) == 1


def test_sigterm_exports_what_waits(tmp_path: Path, collector: Collector) -> None:
    with serving_traces(tmp_path, collector, {"OTEL_BSP_SCHEDULE_DELAY": "3600000"}) as server:
        _served(server, 20)
        assert collector.spans == []
        assert server.stop() == 0
    # Beside those of the fixture, which waits for the server.
    assert len(collector.named("end-1")) >= 20


def test_sigterm_ends_a_server_whose_collector_never_responds(
    tmp_path: Path, collector: Collector, never_ends: threading.Event
) -> None:
    collector.before = never_ends.wait
    with serving_traces(tmp_path, collector, {"OTEL_EXPORTER_OTLP_TIMEOUT": "3600"}) as server:
        _served(server, 20)
        assert server.stop() == 0
    assert not never_ends.is_set()


def test_problems_of_the_export_are_logged_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    handler = ExportLog(clock)
    problem = logging.makeLogRecord({"msg": "a\x1b[2J" + "x" * 10_000, "levelno": logging.ERROR})
    logging.getLogger("lading").propagate = True
    for seconds in (0, 1, LOG_INTERVAL - 2, 1, 1):
        clock.now += seconds
        handler.handle(problem)
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 2
    assert all(line.isprintable() and len(line) < 500 for line in lines)


def _served(server: Server, count: int) -> None:
    assert {server.request("GET", "/v2/")[0].status for _ in range(count)} == {200}

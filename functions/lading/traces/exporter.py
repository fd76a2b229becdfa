"""Export of spans: OTLP over HTTP, to a collector or to Google, which no request waits for.

Ended spans wait in the queue of OpenTelemetry's BatchSpanProcessor (2,048 by default, OTEL_BSP_MAX_QUEUE_SIZE; the
oldest are dropped), and a thread of its own sends them. A flush is waited for where the CPU is taken from the process
after a response, and only while the exporter succeeds in time.
"""

import logging
import os
import queue
import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from lading.settings import SettingsError
from lading.terminal_text import escape

if TYPE_CHECKING:
    import requests

GOOGLE_HOST: Final = "telemetry.googleapis.com"
GOOGLE_REGIONAL_HOST: Final = ("telemetry.", ".rep.googleapis.com")
"""Google's endpoint, and the beginning and end of its regional ones.

https://cloud.google.com/stackdriver/docs/reference/telemetry/overview
"""

GOOGLE_SCOPE: Final = "https://www.googleapis.com/auth/trace.append"

FLUSH_TIMEOUT: Final = 1.0
"""Seconds that a response may wait for the export of its spans. Google's endpoint takes some 50 ms."""

LOG_INTERVAL: Final = 60.0
"""Seconds between two log lines about problems of the export."""

MAX_MESSAGE: Final = 300

log = logging.getLogger("lading")


class ExportLog(logging.Handler):
    """Handler of OpenTelemetry's log: a line in Lading's own at most once in LOG_INTERVAL."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Handle warnings and errors."""
        super().__init__(logging.WARNING)
        self._clock = clock
        self._next = clock()

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line, unless there was one just now."""
        if (now := self._clock()) >= self._next:
            self._next = now + LOG_INTERVAL
            log.warning("traces are not exported: %s", escape(record.getMessage()[:MAX_MESSAGE]))


class MonitoredExporter(SpanExporter):
    """Exporter that knows whether it works.

    is_prompt  whether the last export succeeded, within FLUSH_TIMEOUT
    """

    def __init__(self, exporter: SpanExporter) -> None:
        """Export by `exporter`."""
        self._exporter = exporter
        self.is_prompt = True

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Export spans."""
        began = time.monotonic()
        try:
            result = self._exporter.export(spans)
        except Exception:
            self.is_prompt = False
            raise
        self.is_prompt = result is SpanExportResult.SUCCESS and time.monotonic() - began < FLUSH_TIMEOUT
        return result

    def shutdown(self) -> None:
        """End; no export follows."""
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Return that nothing waits here."""
        return True


class Flusher:
    """The thread that flushes for responses that wait for it. Those that wait at the same time share a flush."""

    def __init__(self, flush: Callable[[], object], exporter: MonitoredExporter) -> None:
        """Flush by `flush`, which exports by `exporter`."""
        self._flush = flush
        self._exporter = exporter
        self._waiting: queue.SimpleQueue[threading.Event] = queue.SimpleQueue()
        threading.Thread(target=self._repeat, name="traces-flush", daemon=True).start()

    def flush(self) -> None:
        """Wait until the ended spans are exported, for FLUSH_TIMEOUT at most; not at all while the exporter fails."""
        done = threading.Event()
        waits = self._exporter.is_prompt
        self._waiting.put(done)
        if waits and not done.wait(FLUSH_TIMEOUT):
            self._exporter.is_prompt = False

    def _repeat(self) -> None:
        while True:
            waiting = [self._waiting.get()]
            while not self._waiting.empty():
                waiting.append(self._waiting.get())
            self._flush()
            for each in waiting:
                each.set()


def open_exporter() -> tuple[MonitoredExporter, dict[str, str]]:
    """Return the exporter that the environment describes, and the resource's attributes that it needs.

    Raises SettingsError where Google's endpoint has no credentials.
    """
    session, attributes = _google_session(traces_endpoint())
    return MonitoredExporter(OTLPSpanExporter(session=session)), attributes


def traces_endpoint() -> str:
    """Return the endpoint that is set, for traces or for everything."""
    return os.environ.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") or os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"]


def _google_session(endpoint: str) -> "tuple[requests.Session | None, dict[str, str]]":
    """Return a session with this process' credentials, and the attribute that names the project, for Google's endpoint.

    https://cloud.google.com/stackdriver/docs/instrumentation/migrate-to-otlp-endpoints
    """
    host, (begin, end) = urlsplit(endpoint).hostname or "", GOOGLE_REGIONAL_HOST
    if host != GOOGLE_HOST and not (host.startswith(begin) and host.endswith(end)):
        return None, {}
    import google.auth
    from google.auth.exceptions import GoogleAuthError
    from google.auth.transport.requests import AuthorizedSession

    try:
        credentials, project = google.auth.default(scopes=[GOOGLE_SCOPE])
    except GoogleAuthError as error:
        raise SettingsError(f"traces for {host} need Google credentials: {error}") from None
    session = AuthorizedSession(credentials)  # type: ignore[no-untyped-call]
    return session, {"gcp.project_id": project} if project else {}

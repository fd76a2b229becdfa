"""Traces: the facade through which the composition and `lading serve` trace a server."""

import logging
import os
import threading
from typing import Final

from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter

from lading.app import App
from lading.auth.access import Authenticator
from lading.auth.google.client import GoogleClient
from lading.http.origin import SPAN, Span
from lading.jobs.background import SlicedJob
from lading.settings import Settings
from lading.traces.environment import default_attributes
from lading.traces.exporter import ExportLog, Flusher, MonitoredExporter, open_exporter
from lading.traces.request_tracing import RequestTracing
from lading.traces.sampler import ClientProofSampler
from lading.traces.traced_authenticator import TracedAuthenticator, TracedGoogleClient
from lading.traces.traced_job import TracedJob
from lading.traces.traced_stores import signing_hook, tracing_hook
from lading.version import source_version
from lading_storage.forwarding import ForwardingBlobs, ForwardingMetadata, Hook
from lading_storage.protocols import BlobStore, MetadataStore

CLOSE_TIMEOUT: Final = 1.5
"""Seconds at the end of a server for the export of what waits: Cloud Run kills it 10 s after SIGTERM."""


class Traces:
    """The traces of one server. Thread-safe.

    signer_hook    the hook around each signing of a URL
    google_client  the client of Google's APIs
    """

    def __init__(self, settings: Settings, exporter: SpanExporter | None = None) -> None:
        """Export as the environment says, or by `exporter`. Raises SettingsError.

        Where instances lose their CPU after a response (Cloud Run), responses wait for the export of their spans.
        """
        _use_log(settings.log)
        opened, attributes = (MonitoredExporter(exporter), {}) if exporter else open_exporter()
        self._settings = settings
        resource = Resource.create(default_attributes(os.environ) | attributes)
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.sampler = ClientProofSampler(self._provider.sampler)
        self._provider.add_span_processor(BatchSpanProcessor(opened))
        self._tracer = self._provider.get_tracer("lading", source_version())
        self._flusher = Flusher(self._provider.force_flush, opened) if "K_SERVICE" in os.environ else None
        self.signer_hook: Hook = signing_hook(self._tracer)
        self.google_client: GoogleClient = TracedGoogleClient(self._tracer)

    def blobs(self, store: BlobStore) -> BlobStore:
        """Return the settings' blob store with spans of its calls."""
        return ForwardingBlobs(store, tracing_hook(self._tracer, self._settings.blobs))

    def metadata(self, store: MetadataStore) -> MetadataStore:
        """Return the settings' metadata store with spans of its calls."""
        return ForwardingMetadata(store, tracing_hook(self._tracer, self._settings.metadata))

    def authenticator(self, authenticator: Authenticator) -> Authenticator:
        """Return the authenticator with spans of its decisions."""
        return TracedAuthenticator(authenticator, self._tracer)

    def observe(self, app: App) -> None:
        """Record a span for each sampled request of the app."""
        flush = self._flusher.flush if self._flusher else None
        app.add_hook(RequestTracing(app, self._tracer, self._settings.trusted_hops, flush))

    def job(self, name: str, job: SlicedJob) -> SlicedJob:
        """Return a background job with spans of its runs."""
        return TracedJob(name, job, self._tracer)

    def close(self) -> None:
        """Export what waits, for CLOSE_TIMEOUT at most: OpenTelemetry itself would wait for half a minute."""
        thread = threading.Thread(target=self._provider.shutdown, name="traces-close", daemon=True)
        thread.start()
        thread.join(CLOSE_TIMEOUT)


class SpanFilter(logging.Filter):
    """Adds the span of the current request to lines of the log: for the JSON formatter, or to the text.

    The audit log's lines have their trace anyway.
    """

    def __init__(self, line_format: str) -> None:
        """Add to lines of this format: text or json."""
        super().__init__()
        self._is_text = line_format == "text"

    def filter(self, record: logging.LogRecord) -> bool:
        """Add the span, and keep the record."""
        span = trace.get_current_span()
        if span.is_recording():
            ids = span.get_span_context()
            current = Span(trace.format_trace_id(ids.trace_id), trace.format_span_id(ids.span_id))
            setattr(record, SPAN, current)
            if self._is_text and not hasattr(record, "fields"):
                record.msg, record.args = f"{record.getMessage()} trace={current.trace}", None
        return True


def _use_log(line_format: str) -> None:
    """Add spans to Lading's log, and write OpenTelemetry's problems there, a line a minute."""
    for handler in logging.getLogger("lading").handlers:
        handler.addFilter(SpanFilter(line_format))
    theirs = logging.getLogger("opentelemetry")
    theirs.handlers, theirs.propagate = [ExportLog()], False

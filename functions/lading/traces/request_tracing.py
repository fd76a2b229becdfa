"""RequestTracing: a span for each sampled request. The only place where they begin and end.

The span's name is the id of the route. OpenTelemetry's conventions name the attributes, and none of them has a query,
a header with credentials, or a principal: the request's id joins it to the access log, which has the principal.

https://opentelemetry.io/docs/specs/semconv/http/http-spans/
"""

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Final

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, TraceFlags, Tracer
from werkzeug.wrappers import Request

from lading.app import App, Respond
from lading.http.client_address import client_address
from lading.http.origin import SPAN, Span
from lading.http.responses import Response
from lading.http.trace_context import remote_parent
from lading.log_text import ABSENT, MAX_PATH, agent, field, header_field
from lading.surface.route import Match
from lading.traces.spans import mark_failed

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
OTHER: Final = "_OTHER"
"""Methods that are recorded, and what the conventions put for any other."""

REQUEST_ID: Final = "X-Request-Id"


class RequestTracing:
    """The hook around all requests (App.add_hook). Thread-safe."""

    def __init__(self, app: App, tracer: Tracer, trusted_hops: int, flush: Callable[[], None] | None = None) -> None:
        """Trace the requests of `app`.

        Args:
            app: knows the routes.
            tracer: begins the spans.
            trusted_hops: proxies in front that are trusted.
            flush: called when a span has ended, before its response's last bytes are sent.
        """
        self._app = app
        self._tracer = tracer
        self._trusted_hops = trusted_hops
        self._flush = flush

    def __call__(self, forward: Respond, request: Request) -> Response:
        """Return the response to a request, whose span ends with it. See App.respond."""
        match = self._app.match(request)
        span = self._tracer.start_span(match.route.spec, _parent(request.environ), SpanKind.SERVER)
        if not span.is_recording():
            return forward(request)
        ids = span.get_span_context()
        request.environ[SPAN] = Span(trace.format_trace_id(ids.trace_id), trace.format_span_id(ids.span_id))
        span.set_attributes(self._attributes(request, match))
        with trace.use_span(span, record_exception=False, set_status_on_exception=False):
            response = forward(request)
        span.set_attributes(_response_attributes(response))
        if response.status >= 500:
            mark_failed(span, str(response.status))
        self._end_with(span, response)
        return response

    def _end_with(self, span: trace.Span, response: Response) -> None:
        """End the span, once, when the response has been sent or was abandoned; with a flush, before its last bytes."""
        if self._flush is None:
            response.call_on_close(span.end)
            return
        flush = self._flush

        def end() -> None:
            if span.is_recording():
                span.end()
                flush()

        if isinstance(response.content, bytes):
            end()
            return
        response.content = _before_last(response.content, end)
        response.call_on_close(end)

    def _attributes(self, request: Request, match: Match) -> dict[str, str]:
        environ = request.environ
        attributes = {
            "http.request.method": match.method if match.method in METHODS else OTHER,
            "http.route": match.route.path.removesuffix("?"),
            "url.path": field(request.path, MAX_PATH),
            "url.scheme": environ.get("wsgi.url_scheme", ""),
            "network.protocol.version": header_field(environ.get("SERVER_PROTOCOL", ""), 20).removeprefix("HTTP/"),
            "client.address": client_address(environ, self._trusted_hops).text,
            "user_agent.original": agent(environ.get("HTTP_USER_AGENT", "")),
            "lading.repository": match.name[:MAX_PATH],
        }
        return {name: value for name, value in attributes.items() if value not in ("", ABSENT)}


def _parent(environ: "WSGIEnvironment") -> Context:
    """Return the context of the span that a header names; an empty one where there is none, or it is not valid."""
    parent = remote_parent(environ)
    if parent is None:
        return Context()
    flags = TraceFlags(TraceFlags.SAMPLED if parent.sampled else TraceFlags.DEFAULT)
    # Without the header tracestate: it has any size, and each span would carry it.
    remote = SpanContext(parent.trace, parent.span, is_remote=True, trace_flags=flags)
    return trace.set_span_in_context(NonRecordingSpan(remote), Context())


def _response_attributes(response: Response) -> dict[str, str | int]:
    id = next((value for name, value in response.headers if name == REQUEST_ID), "")
    return {"http.response.status_code": response.status, "lading.request_id": id}


def _before_last(chunks: Iterable[bytes], call: Callable[[], None]) -> Iterator[bytes]:
    """Yield the chunks, each after the next one has been read, and the last one after `call`."""
    held: bytes | None = None
    for chunk in chunks:
        if held is not None:
            yield held
        held = chunk
    call()
    if held is not None:
        yield held

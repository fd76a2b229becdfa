"""Spans within the current one, and what they may say: neither credentials nor the texts of errors are in any."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from opentelemetry import trace
from opentelemetry.trace import Span, SpanKind, StatusCode, Tracer

from lading.registry.errors import RegistryError


@contextmanager
def child_span(
    tracer: Tracer, name: str, kind: SpanKind = SpanKind.INTERNAL, attributes: Mapping[str, str | int] | None = None
) -> Iterator[None]:
    """Record the block as a span within the current one; without one that is sampled, only run it."""
    if not trace.get_current_span().is_recording():
        yield
        return
    # An exception's text may quote a request, and so a secret: only its kind is recorded.
    with tracer.start_as_current_span(
        name, kind=kind, attributes=attributes, record_exception=False, set_status_on_exception=False
    ) as span:
        try:
            yield
        except BaseException as error:
            mark_failed(span, error_type(error))
            raise


def error_type(error: BaseException) -> str:
    """Return the kind of an error: the code of one that clients see, else the name of its class."""
    return error.descriptor.code if isinstance(error, RegistryError) else type(error).__name__


def mark_failed(span: Span, kind: str) -> None:
    """Record that the operation of a span failed."""
    span.set_attribute("error.type", kind)
    span.set_status(StatusCode.ERROR)

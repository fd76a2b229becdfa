"""Spans of the stores' calls, by a hook around each (lading_storage.forwarding)."""

from collections.abc import Callable, Mapping, Sized
from typing import Any, Final, TypeVar

from opentelemetry.trace import SpanKind, Tracer

from lading.drivers import driver_of
from lading.traces.spans import child_span
from lading_storage.forwarding import Hook

T = TypeVar("T")

DATABASES: Final = {"sqlite": "sqlite", "firestore": "gcp.firestore"}
"""OpenTelemetry's names of the drivers that are databases."""

REMOTE: Final = ("gcs", "firestore")

BATCHES: Final = {"read": "keys", "commit": "writes"}
"""The argument that says how many records a call has."""

SIGNED_URL: Final = "signed_url"
"""Has no span: it calls nothing but the signer, whose own calls have one, and mostly not even that."""


def tracing_hook(tracer: Tracer, url: str) -> Hook:
    """Return the hook that records each call of the store at `url` within a sampled request."""
    driver = driver_of(url)
    kind = SpanKind.CLIENT if driver in REMOTE else SpanKind.INTERNAL

    def record(method: str, arguments: Mapping[str, Any], forward: Callable[[], T], /) -> T:
        if method == SIGNED_URL:
            return forward()
        with child_span(tracer, f"{driver} {method}", kind, _attributes(driver, method, arguments)):
            return forward()

    return record


def signing_hook(tracer: Tracer) -> Hook:
    """Return the hook that records each signing of a URL within a sampled request."""

    def record(method: str, arguments: Mapping[str, Any], forward: Callable[[], T], /) -> T:
        with child_span(tracer, "sign URL", SpanKind.CLIENT):
            return forward()

    return record


def _attributes(driver: str, method: str, arguments: Mapping[str, Any]) -> dict[str, str | int]:
    if driver not in DATABASES:
        return {"lading.store": driver}
    attributes: dict[str, str | int] = {"db.system.name": DATABASES[driver], "db.operation.name": method}
    batch = arguments.get(BATCHES.get(method, ""))
    if isinstance(batch, Sized):
        attributes["db.operation.batch.size"] = len(batch)
    return attributes

"""The trace of a request, as the headers of its client or a proxy name it: X-Cloud-Trace-Context, else traceparent.

Any client can send any of them, so nothing but logs and spans may depend on what they say.

https://cloud.google.com/trace/docs/trace-context, https://www.w3.org/TR/trace-context/#traceparent-header
"""

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from lading.log_text import ABSENT

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

CLOUD_TRACE_HEADER: Final = "HTTP_X_CLOUD_TRACE_CONTEXT"
TRACE_PARENT_HEADER: Final = "HTTP_TRACEPARENT"
"""The headers, as a WSGI environment names them."""

_CLOUD_TRACE: Final = re.compile(r"([0-9a-f]{32})(?:[/;].*)?", re.ASCII)
"""TRACE_ID/SPAN_ID;o=OPTIONS."""

_CLOUD_PARENT: Final = re.compile(r"([0-9a-f]{32})/([0-9]{1,20})(?:;o=([0-9]))?", re.ASCII)
"""The same with its span, a decimal number. The lowest bit of the options is set if the parent is sampled."""

_TRACE_PARENT: Final = re.compile(
    r"(?P<version>[0-9a-f]{2})-(?P<trace>[0-9a-f]{32})-(?P<span>[0-9a-f]{16})-(?P<flags>[0-9a-f]{2})(?P<more>-.*)?",
    re.ASCII,
)
INVALID_VERSION: Final = "ff"
FIRST_VERSION: Final = "00"
"""Versions of traceparent: the invalid one, and the one that has no further fields."""

_NO_TRACE: Final = "0" * 32
"""The invalid trace id of W3C Trace Context."""

MAX_SPAN: Final = 2**64 - 1
SAMPLED: Final = 1
"""The largest id of a span, and the flag of a sampled parent in the headers."""


class RemoteParent(NamedTuple):
    """The span of a client or a proxy that a request belongs to.

    trace    the id of the trace, not 0
    span     the id of the span, not 0
    sampled  whether it says that it is sampled
    """

    trace: int
    span: int
    sampled: bool


def trace_id(environ: "WSGIEnvironment") -> str:
    """Return the id of the request's trace, 32 hexadecimal digits, or ABSENT."""
    trace = _NO_TRACE
    if CLOUD_TRACE_HEADER in environ and (match := _CLOUD_TRACE.fullmatch(environ[CLOUD_TRACE_HEADER])):
        trace = match[1]
    elif TRACE_PARENT_HEADER in environ and (match := _TRACE_PARENT.fullmatch(environ[TRACE_PARENT_HEADER])):
        trace = match["trace"]
    return ABSENT if trace == _NO_TRACE else trace


def remote_parent(environ: "WSGIEnvironment") -> RemoteParent | None:
    """Return the span that the request belongs to, or None where no header names one that is valid."""
    parent = None
    if match := _CLOUD_PARENT.fullmatch(environ.get(CLOUD_TRACE_HEADER, "")):
        parent = _valid(int(match[1], 16), int(match[2]), int(match[3] or 0))
    if parent is None and (match := _TRACE_PARENT.fullmatch(environ.get(TRACE_PARENT_HEADER, ""))):
        version = match["version"]
        if version != INVALID_VERSION and not (version == FIRST_VERSION and match["more"]):
            parent = _valid(*(int(match[name], 16) for name in ("trace", "span", "flags")))
    return parent


def _valid(trace: int, span: int, flags: int) -> RemoteParent | None:
    return RemoteParent(trace, span, bool(flags & SAMPLED)) if trace and 0 < span <= MAX_SPAN else None

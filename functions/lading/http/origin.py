"""Where a request came from, as the lines of a log tell it, and the id that the registry gives it.

X-Request-Id and trace ids are whatever a client or a proxy says: they stand beside the registry's own id, and are never
taken for it. Else a client could give two requests one id, or one request another's.
"""

import random
import re
from typing import TYPE_CHECKING, Final, NamedTuple

from lading.http.client_address import ClientAddress, client_address
from lading.log_text import ABSENT, MAX_ID, agent, header_field

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

_CLOUD_TRACE: Final = re.compile(r"([0-9a-f]{32})(?:[/;].*)?", re.ASCII)
"""X-Cloud-Trace-Context: TRACE_ID/SPAN_ID;o=OPTIONS."""

_TRACE_PARENT: Final = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?", re.ASCII)
"""traceparent (W3C Trace Context)."""

_NO_TRACE: Final = "0" * 32
"""W3C Trace Context: an id that is not valid."""


class Origin(NamedTuple):
    """Where one request came from.

    id       random, and the registry's own: for answers, logs and the history of tags
    client   the address of the client
    agent    the user agent, encoded for use between quotation marks, or NONE
    sent_id  the client's or a proxy's X-Request-Id, encoded, or NONE
    trace    the trace that the request is part of, 32 hexadecimal digits, or NONE
    """

    id: str
    client: ClientAddress
    agent: str
    sent_id: str
    trace: str


def origin(environ: "WSGIEnvironment", hops: int) -> Origin:
    """Return where a request came from, through `hops` trusted proxies (`client_address`)."""
    return Origin(
        f"{random.getrandbits(128):032x}",
        client_address(environ, hops),
        agent(environ.get("HTTP_USER_AGENT", "")),
        header_field(environ.get("HTTP_X_REQUEST_ID", ""), MAX_ID),
        _trace(environ),
    )


def _trace(environ: "WSGIEnvironment") -> str:
    found = None
    if "HTTP_X_CLOUD_TRACE_CONTEXT" in environ:
        found = _CLOUD_TRACE.fullmatch(environ["HTTP_X_CLOUD_TRACE_CONTEXT"])
    if found is None and "HTTP_TRACEPARENT" in environ:
        found = _TRACE_PARENT.fullmatch(environ["HTTP_TRACEPARENT"])
    return found[1] if found and found[1] != _NO_TRACE else ABSENT

"""The origin of a request for logs, and the id that the registry assigns to it.

X-Request-Id and trace ids are set by clients and proxies, so they are logged in addition to the registry's own id and
never replace it. Otherwise a client could give two requests the same id, or reuse the id of another request.
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
"""The invalid trace id of W3C Trace Context."""


class Origin(NamedTuple):
    """The origin of one request.

    id       the registry's own random id, for responses, logs and the history of tags
    client   the address of the client
    agent    the user agent, encoded for use between quotation marks, or ABSENT
    sent_id  the X-Request-Id of the client or a proxy, encoded, or ABSENT
    trace    the id of the request's trace, 32 hexadecimal digits, or ABSENT
    """

    id: str
    client: ClientAddress
    agent: str
    sent_id: str
    trace: str


def origin(environ: "WSGIEnvironment", hops: int) -> Origin:
    """Return the origin of a request that passed `hops` trusted proxies (`client_address`)."""
    return Origin(
        f"{random.getrandbits(128):032x}",
        client_address(environ, hops),
        agent(environ.get("HTTP_USER_AGENT", "")),
        header_field(environ.get("HTTP_X_REQUEST_ID", ""), MAX_ID),
        _trace(environ),
    )


def _trace(environ: "WSGIEnvironment") -> str:
    match = None
    if "HTTP_X_CLOUD_TRACE_CONTEXT" in environ:
        match = _CLOUD_TRACE.fullmatch(environ["HTTP_X_CLOUD_TRACE_CONTEXT"])
    if match is None and "HTTP_TRACEPARENT" in environ:
        match = _TRACE_PARENT.fullmatch(environ["HTTP_TRACEPARENT"])
    return match[1] if match and match[1] != _NO_TRACE else ABSENT

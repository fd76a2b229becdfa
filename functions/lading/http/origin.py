"""The origin of a request for logs, and the id that the registry assigns to it.

X-Request-Id and trace ids are set by clients and proxies, so they are logged in addition to the registry's own id and
never replace it. Otherwise a client could give two requests the same id, or reuse the id of another request.
"""

import random
from typing import TYPE_CHECKING, Final, NamedTuple

from lading.http.client_address import ClientAddress, client_address
from lading.http.trace_context import trace_id
from lading.log_text import ABSENT, MAX_ID, agent, header_field

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

SPAN: Final = "lading.span"
"""The key of a WSGI environment whose value is the request's own Span, where it is traced (lading.traces)."""


class Span(NamedTuple):
    """The span of a traced request: the ids of its trace and its own, 32 and 16 hexadecimal digits."""

    trace: str
    id: str


class Origin(NamedTuple):
    """The origin of one request.

    id       the registry's own random id, for responses, logs and the history of tags
    client   the address of the client
    agent    the user agent, encoded for use between quotation marks, or ABSENT
    sent_id  the X-Request-Id of the client or a proxy, encoded, or ABSENT
    trace    the id of the request's trace, 32 hexadecimal digits, or ABSENT
    span     the id of the request's own span, where it is traced, 16 hexadecimal digits, or ABSENT
    """

    id: str
    client: ClientAddress
    agent: str
    sent_id: str
    trace: str
    span: str = ABSENT


def origin(environ: "WSGIEnvironment", hops: int) -> Origin:
    """Return the origin of a request that passed `hops` trusted proxies (`client_address`)."""
    trace, span = environ[SPAN] if SPAN in environ else (trace_id(environ), ABSENT)
    return Origin(
        f"{random.getrandbits(128):032x}",
        client_address(environ, hops),
        agent(environ.get("HTTP_USER_AGENT", "")),
        header_field(environ.get("HTTP_X_REQUEST_ID", ""), MAX_ID),
        trace,
        span,
    )

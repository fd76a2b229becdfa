"""Health checks for load balancers and orchestrators, without authentication."""

from typing import Final

from lading.http.responses import Response, json_response
from lading.registry.errors import UNAVAILABLE, RegistryError
from lading.surface.request_context import RequestContext

ABOUT: Final = b"Lading, a container registry. Its API is at /v2/.\n"

METHODS: Final = "DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT"
"""The methods of the endpoints of all surfaces."""


def about(context: RequestContext) -> Response:
    """about, health: confirm that this process responds (liveness), without access to the stores."""
    return Response(200, {"Content-Type": "text/plain; charset=utf-8"}, ABOUT)


def methods(context: RequestContext) -> Response:
    """All methods: return the methods of the whole server (`OPTIONS *`; RFC 9110, section 9.3.7)."""
    return Response(204, {"Allow": METHODS})


def ready(context: RequestContext) -> Response:
    """ready: return 200 if both stores respond, else 503 with the one that does not; at most one check a second."""
    failing = context.registry.readiness.failing()
    if failing:
        raise RegistryError(UNAVAILABLE, {"store": failing})
    return json_response({"status": "ready"})

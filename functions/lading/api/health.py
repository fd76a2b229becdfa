"""Health of the registry, for load balancers, orchestrators and people: no credentials are needed to ask."""

from lading.http.request_context import RequestContext
from lading.http.responses import Response, json_response
from lading.registry.errors import UNAVAILABLE, RegistryError

ABOUT = b"Lading, a container registry. Its API is at /v2/.\n"


def about(context: RequestContext) -> Response:
    """Say what answers here: this process does. Asks no store."""
    return Response(200, {"Content-Type": "text/plain; charset=utf-8"}, ABOUT)


def ready(context: RequestContext) -> Response:
    """Return whether both stores answer: 200, or 503 with the one that does not. Asks them once a second at most."""
    failing = context.registry.readiness.failing()
    if failing:
        raise RegistryError(UNAVAILABLE, {"store": failing})
    return json_response({"status": "ready"})

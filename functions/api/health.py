"""Health of the registry, for load balancers, orchestrators and people: no credentials are needed to ask."""

from functions.api.answers import Answer, as_json
from functions.api.base import Call
from functions.registry.errors import UNAVAILABLE, RegistryError

ABOUT = b"Lading, a container registry. Its API is at /v2/.\n"


def about(call: Call) -> Answer:
    """Say what answers here: this process does. Asks no store."""
    return Answer(200, {"Content-Type": "text/plain; charset=utf-8"}, ABOUT)


def ready(call: Call) -> Answer:
    """Return whether both stores answer: 200, or 503 with the one that does not. Asks them once a second at most."""
    failing = call.registry.readiness.failing()
    if failing:
        raise RegistryError(UNAVAILABLE, {"store": failing})
    return as_json({"status": "ready"})

"""The surface of health checks, and of every path that no other surface has."""

from typing import Final

from lading.api import health
from lading.api.style import api_surface
from lading.auth.access import Action
from lading.surface.route import Route

OPERATIONS: Final = api_surface(
    Route("about", "GET HEAD", "/", Action.NONE, health.about, ignores_credentials=True),
    Route("health", "GET HEAD", "/healthz", Action.NONE, health.about, ignores_credentials=True),
    Route("all methods", "OPTIONS", r"\*", Action.NONE, health.methods, ignores_credentials=True),
    Route("ready", "GET HEAD", "/readyz", Action.NONE, health.ready, ignores_credentials=True),
)

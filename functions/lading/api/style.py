"""The style of the surfaces in this package: errors as JSON, challenges for a Bearer token, Docker's header."""

from collections.abc import Mapping
from typing import Final

from werkzeug.wrappers import Request

from lading.auth.access import OF_FUNCTIONS, Action, Authenticator
from lading.auth.scopes import repository
from lading.http import responses
from lading.http.responses import Response
from lading.registry.errors import RegistryError
from lading.registry.names import is_repository
from lading.surface.route import Match, Route
from lading.surface.surface import NO_SNIFFING, Surface

HEADERS: Final = {"Docker-Distribution-API-Version": "registry/2.0", **NO_SNIFFING}

BASIC_CHALLENGE: Final = 'Basic realm="Lading", charset="UTF-8"'
"""The challenge of /v2/token, and of the rules (RFC 7617)."""


def api_surface(*routes: Route) -> Surface:
    """Return a surface of this style."""
    return Surface(routes, render_error, challenge, headers=HEADERS)


def render_error(error: RegistryError, request: Request) -> Response:
    """Return an error as JSON (distribution-spec, "Error Codes")."""
    return responses.error_response(error)


def challenge(authenticator: Authenticator, match: Match, request: Request, error: RegistryError) -> Mapping[str, str]:
    """Return the WWW-Authenticate header: where to get a token, and whether the present one is valid."""
    if match.route.action in (Action.NONE, Action.MANAGE, *OF_FUNCTIONS):
        # No token of the registry carries these: the credentials come with the request.
        return {"WWW-Authenticate": BASIC_CHALLENGE}
    scopes = [match.scope]
    source = request.args.get("from", "")
    if "mount" in request.args and is_repository(source):
        scopes.append(str(repository(source, ["pull"])))
    # An error with a detail names the scope that a valid token lacks.
    reason = "insufficient_scope" if error.detail else "invalid_token"
    sent = "HTTP_AUTHORIZATION" in request.environ
    return {"WWW-Authenticate": authenticator.challenge(" ".join(filter(None, scopes)), reason if sent else "")}

"""The routing table: a row for each endpoint, with its ids in the distribution-spec, and its action and handler."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final, NamedTuple

from lading.api import blobs, health, history, listings, manifests, token, uploads, version
from lading.auth.access import Action
from lading.auth.scopes import CATALOG, repository
from lading.http import responses
from lading.http.request_context import RequestContext
from lading.http.responses import Response
from lading.registry.errors import NOT_FOUND, UNSUPPORTED, RegistryError
from lading.registry.names import is_repository

Handler = Callable[[RequestContext], Response]


@dataclass(frozen=True, slots=True)
class Route:
    """A row of the routing table. A route cannot be declared without the access that it requires.

    spec     the ids of its endpoints in the distribution-spec, or a name for Lading's own
    methods  the HTTP methods
    path     a regular expression for the whole path; its groups are `name` and `last_segment` of the context
    action   the access that the caller needs
    handler  handles the request
    """

    spec: str
    methods: frozenset[str]
    path: re.Pattern[str]
    action: Action
    handler: Handler


def _route(spec: str, methods: str, path: str, action: Action, handler: Handler) -> Route:
    # A repository's name may contain any part of a path, such as `blobs` and `manifests`: only the end decides.
    pattern = path.replace("<name>", "(?P<name>.+)").replace("<last>", "(?P<last_segment>[^/]+)")
    return Route(spec, frozenset(methods.split()), re.compile(pattern, re.DOTALL), action, handler)


ROUTES: Final = (
    # The most frequent requests come first, except that a path of history may end like that of a manifest.
    _route("end-1", "GET HEAD", "/v2/?", Action.AUTHENTICATE, version.check),
    _route("history", "GET HEAD", "/v2/_lading/<name>/history", Action.PULL, history.tag_history),
    _route("end-3", "GET HEAD", "/v2/<name>/manifests/<last>", Action.PULL, manifests.get),
    _route("end-2", "GET HEAD", "/v2/<name>/blobs/<last>", Action.PULL, blobs.get),
    _route("token", "GET POST", "/v2/token/?", Action.NONE, token.issue),
    _route("_catalog", "GET HEAD", "/v2/_catalog/?", Action.LIST, listings.repositories),
    _route("end-4a end-4b end-11", "POST", "/v2/<name>/blobs/uploads/?", Action.PUSH, uploads.start),
    _route("end-13", "GET HEAD", "/v2/<name>/blobs/uploads/<last>", Action.PUSH, uploads.status),
    _route("end-5", "PATCH", "/v2/<name>/blobs/uploads/<last>", Action.PUSH, uploads.append),
    _route("end-6", "PUT", "/v2/<name>/blobs/uploads/<last>", Action.PUSH, uploads.finish),
    _route("end-14", "DELETE", "/v2/<name>/blobs/uploads/<last>", Action.PUSH, uploads.cancel),
    _route("end-10", "DELETE", "/v2/<name>/blobs/<last>", Action.DELETE, blobs.delete),
    _route("end-7", "PUT", "/v2/<name>/manifests/<last>", Action.PUSH, manifests.put),
    _route("end-9", "DELETE", "/v2/<name>/manifests/<last>", Action.DELETE, manifests.delete),
    _route("end-8a end-8b", "GET HEAD", "/v2/<name>/tags/list/?", Action.PULL, listings.tags),
    _route("end-12a end-12b", "GET HEAD", "/v2/<name>/referrers/<last>", Action.PULL, listings.referrers),
    _route("version", "GET HEAD", "/v2/_lading/version", Action.AUTHENTICATE, version.version),
    _route("about", "GET HEAD", "/", Action.NONE, health.about),
    _route("health", "GET HEAD", "/healthz", Action.NONE, health.about),
    _route("ready", "GET HEAD", "/readyz", Action.NONE, health.ready),
)


ROUTES_BY_METHOD: Final = {
    method: tuple(route for route in ROUTES if method in route.methods) for route in ROUTES for method in route.methods
}


NON_BLOCKING_HANDLERS: Final = frozenset({version.check, blobs.get, manifests.get})
"""Handlers that the leader runs: a single bounded read costs less than to pass the request to another thread.

They step down (leader.step_down) before any other operation: a second read, a search, opening an object.
"""


UNAUTHENTICATED_ROUTES: Final = frozenset({"about", "health", "ready", "options"})
"""Routes that ignore credentials, so that invalid ones do not break health checks."""


SCOPES: Final = {Action.PULL: ("pull",), Action.PUSH: ("pull", "push"), Action.DELETE: ("pull", "delete")}
"""The scopes that a client should request a token for: pushing and deleting also read the present content."""


class Match(NamedTuple):
    """The route of a request, with its method and the values of the path's groups."""

    route: Route
    method: str
    name: str = ""
    last_segment: str = ""

    @property
    def audit_action(self) -> str:
        """The name of the action in the audit log."""
        action = self.route.action
        return self.route.spec if action is Action.NONE else action.value

    @property
    def is_non_blocking(self) -> bool:
        """Whether the leader may run the handler, since it does not block."""
        return self.route.handler in NON_BLOCKING_HANDLERS

    @property
    def is_unauthenticated(self) -> bool:
        """Whether credentials are ignored."""
        return self.route.spec in UNAUTHENTICATED_ROUTES

    @property
    def writes(self) -> bool:
        """Whether the request may change anything."""
        return self.route.action in (Action.PUSH, Action.DELETE) and self.method not in ("GET", "HEAD")

    @property
    def scope(self) -> str:
        """The scope that a token needs for the request, or ""."""
        if self.route.action is Action.LIST:
            return str(CATALOG)
        if self.route.action not in SCOPES or not is_repository(self.name):
            return ""
        return str(repository(self.name, SCOPES[self.route.action]))


def match(method: str, path: str) -> Match:
    """Return the route of a request.

    Where there is none, the match's handler responds with 404 for an unknown path, else with 405. OPTIONS returns the
    methods of the path, and `OPTIONS *` those of all paths, without access to any store (RFC 9110, section 9.3.7).
    """
    for route in ROUTES_BY_METHOD.get(method, ()):
        if groups := route.path.fullmatch(path):
            return Match(route, method, **groups.groupdict())
    allowed = frozenset[str]().union(*(route.methods for route in ROUTES if route.path.fullmatch(path)))
    if (method, path) == ("OPTIONS", "*"):
        allowed = frozenset(ROUTES_BY_METHOD)
    if allowed:
        allowed |= {"OPTIONS"}
    if allowed and method == "OPTIONS":
        return Match(_route("options", method, "", Action.NONE, partial(_options, allowed)), method)
    return Match(_route("none", method, "", Action.NONE, partial(_not_found, allowed)), method)


def _options(allowed: frozenset[str], context: RequestContext) -> Response:
    return Response(204, {"Allow": ", ".join(sorted(allowed))})


def _not_found(allowed: frozenset[str], context: RequestContext) -> Response:
    response = responses.error_response(RegistryError(UNSUPPORTED if allowed else NOT_FOUND))
    if allowed:
        response.add({"Allow": ", ".join(sorted(allowed))})
    return response

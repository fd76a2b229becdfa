"""A surface: the endpoints below one prefix, which share a style of errors, of challenges and of request checks.

The App knows no surface by name; routes.py lists them. A surface knows HTTP and contains no rules of the registry.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Final

from werkzeug.wrappers import Request

from lading.auth.access import Action, Authenticator
from lading.http.request_checks import RequestChecks
from lading.http.responses import Response
from lading.registry.errors import NOT_FOUND, UNSUPPORTED, RegistryError
from lading.surface.request_context import RequestContext
from lading.surface.route import Match, Route

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

ErrorRenderer = Callable[[RegistryError, Request], Response]
"""Returns the response for a refused or failed request, without the challenge."""

Challenge = Callable[[Authenticator, Match, Request, RegistryError], Mapping[str, str]]
"""Returns the headers of a 401 that say how to authenticate."""

Check = Callable[[RequestChecks, "WSGIEnvironment"], None]
"""Checks a request before it is authenticated. Raises RegistryError."""

NO_SNIFFING: Final = {"X-Content-Type-Options": "nosniff"}


class Surface:
    """The endpoints below one prefix.

    routes        the routing table
    render_error  renders errors
    challenge     says how to authenticate
    check         checks requests
    headers       the headers of each response
    """

    def __init__(
        self,
        routes: Sequence[Route],
        render_error: ErrorRenderer,
        challenge: Challenge,
        check: Check = RequestChecks.check,
        headers: Mapping[str, str] = NO_SNIFFING,
    ) -> None:
        """Create a surface. Of the routes that match a path, the first one counts."""
        self.routes = tuple(routes)
        self.render_error = render_error
        self.challenge = challenge
        self.check = check
        self.headers = tuple(headers.items())
        self._by_method = {
            method: tuple((each.pattern.fullmatch, each) for each in routes if method in each.method_set)
            for row in routes
            for method in row.method_set
        }

    def match(self, method: str, path: str) -> Match:
        """Return the route of a request.

        Where there is none, the match's handler responds with 404 for an unknown path, else with 405. OPTIONS returns
        the methods of the path without access to any store (RFC 9110, section 9.3.7).
        """
        for fullmatch, row in self._by_method.get(method, ()):
            if groups := fullmatch(path):
                return Match(row, method, **groups.groupdict())
        allowed = frozenset[str]().union(*(row.method_set for row in self.routes if row.pattern.fullmatch(path)))
        if allowed:
            allowed |= {"OPTIONS"}
        if allowed and method == "OPTIONS":
            row = Route("options", method, "", Action.NONE, partial(_options, allowed), ignores_credentials=True)
            return Match(row, method)
        return Match(Route("none", method, "", Action.NONE, partial(self._not_found, allowed)), method)

    def _not_found(self, allowed: frozenset[str], context: RequestContext) -> Response:
        error = RegistryError(UNSUPPORTED if allowed else NOT_FOUND)
        response = self.render_error(error, context.request)
        if allowed:
            response.add({"Allow": ", ".join(sorted(allowed))})
        return response


def _options(allowed: frozenset[str], context: RequestContext) -> Response:
    return Response(204, {"Allow": ", ".join(sorted(allowed))})

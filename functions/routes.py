"""Every endpoint, a row each: its ids in the distribution-spec, its methods, its path, what it does, its handler."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final, NamedTuple

from functions.api import answers, base, blobs, health, history, listings, manifests, token, uploads
from functions.api.answers import Answer
from functions.api.base import Call
from functions.auth.access import Action
from functions.auth.scopes import CATALOG, repository
from functions.registry.errors import NOT_FOUND, UNSUPPORTED, RegistryError
from functions.registry.names import is_repository

Handler = Callable[[Call], Answer]


@dataclass(frozen=True, slots=True)
class Route:
    """A row. A route cannot be written without the access that it needs.

    path  a regular expression for the whole path; its groups `name` and `last` reach the handler
    """

    spec: str
    methods: frozenset[str]
    path: re.Pattern[str]
    action: Action
    handler: Handler


def _row(spec: str, methods: str, path: str, action: Action, handler: Handler) -> Route:
    # A repository's name may hold anything that a path can, `blobs` and `manifests` included: only the end decides.
    pattern = path.replace("<name>", "(?P<name>.+)").replace("<last>", "(?P<last>[^/]+)")
    return Route(spec, frozenset(methods.split()), re.compile(pattern, re.DOTALL), action, handler)


ROUTES: Final = (
    # What is asked most often comes first; history's name may end like a manifest's.
    _row("end-1", "GET HEAD", "/v2/?", Action.ENTER, base.check),
    _row("history", "GET HEAD", "/v2/_lading/<name>/history", Action.PULL, history.moves),
    _row("end-3", "GET HEAD", "/v2/<name>/manifests/<last>", Action.PULL, manifests.get),
    _row("end-2", "GET HEAD", "/v2/<name>/blobs/<last>", Action.PULL, blobs.get),
    _row("token", "GET POST", "/v2/token/?", Action.NOTHING, token.issue),
    _row("_catalog", "GET HEAD", "/v2/_catalog/?", Action.LIST, listings.repositories),
    _row("end-4a end-4b end-11", "POST", "/v2/<name>/blobs/uploads/?", Action.PUSH, uploads.start),
    _row("end-13", "GET HEAD", "/v2/<name>/blobs/uploads/<last>", Action.PUSH, uploads.status),
    _row("end-5", "PATCH", "/v2/<name>/blobs/uploads/<last>", Action.PUSH, uploads.append),
    _row("end-6", "PUT", "/v2/<name>/blobs/uploads/<last>", Action.PUSH, uploads.finish),
    _row("end-14", "DELETE", "/v2/<name>/blobs/uploads/<last>", Action.PUSH, uploads.cancel),
    _row("end-10", "DELETE", "/v2/<name>/blobs/<last>", Action.DELETE, blobs.delete),
    _row("end-7", "PUT", "/v2/<name>/manifests/<last>", Action.PUSH, manifests.put),
    _row("end-9", "DELETE", "/v2/<name>/manifests/<last>", Action.DELETE, manifests.delete),
    _row("end-8a end-8b", "GET HEAD", "/v2/<name>/tags/list/?", Action.PULL, listings.tags),
    _row("end-12a end-12b", "GET HEAD", "/v2/<name>/referrers/<last>", Action.PULL, listings.referrers),
    _row("version", "GET HEAD", "/v2/_lading/version", Action.ENTER, base.version),
    _row("about", "GET HEAD", "/", Action.NOTHING, health.about),
    _row("health", "GET HEAD", "/healthz", Action.NOTHING, health.about),
    _row("ready", "GET HEAD", "/readyz", Action.NOTHING, health.ready),
)


BY_METHOD: Final = {
    method: tuple(route for route in ROUTES if method in route.methods) for route in ROUTES for method in route.methods
}


QUICK: Final = frozenset({base.check, blobs.get, manifests.get})
"""Handlers that the leader runs: one bounded read costs less than to hand the request to another thread.

They step down (`leave`) before anything else: a second read, a search, an object that is opened.
"""


OPEN: Final = frozenset({"about", "health", "ready", "options"})
"""Rows for which no credentials count: what is sent is not even read, so bad ones hinder no probe."""


SCOPES: Final = {Action.PULL: ("pull",), Action.PUSH: ("pull", "push"), Action.DELETE: ("pull", "delete")}
"""What a client should ask a token for: to push, it looks at what is there; to delete, too."""


class Match(NamedTuple):
    """A route, the method, and what the path's groups matched."""

    route: Route
    method: str
    name: str = ""
    last: str = ""

    @property
    def doing(self) -> str:
        """What it does, in a word, for the audit."""
        action = self.route.action
        return self.route.spec if action is Action.NOTHING else action.value

    @property
    def quick(self) -> bool:
        """Whether it answers, or begins to stream, before anybody could notice."""
        return self.route.handler in QUICK

    @property
    def is_open(self) -> bool:
        """Whether no credentials count for it."""
        return self.route.spec in OPEN

    @property
    def writes(self) -> bool:
        """Whether it may change anything."""
        return self.route.action in (Action.PUSH, Action.DELETE) and self.method not in ("GET", "HEAD")

    @property
    def scope(self) -> str:
        """The scope that a token for it needs, or ""."""
        if self.route.action is Action.LIST:
            return str(CATALOG)
        if self.route.action not in SCOPES or not is_repository(self.name):
            return ""
        return str(repository(self.name, SCOPES[self.route.action]))


def match(method: str, path: str) -> Match:
    """The row for a request; where there is none, one that says so: 404 for an unknown path, else 405.

    OPTIONS is answered by what paths take, and looks nothing up (RFC 9110, section 9.3.7).
    """
    for route in BY_METHOD.get(method, ()):
        if found := route.path.fullmatch(path):
            return Match(route, method, **found.groupdict())
    allowed = frozenset[str]().union(*(route.methods for route in ROUTES if route.path.fullmatch(path)))
    if allowed:
        allowed |= {"OPTIONS"}
    if allowed and method == "OPTIONS":
        return Match(_row("options", method, "", Action.NOTHING, partial(_options, allowed)), method)
    return Match(_row("none", method, "", Action.NOTHING, partial(_no_such_row, allowed)), method)


def _options(allowed: frozenset[str], call: Call) -> Answer:
    return Answer(204, {"Allow": ", ".join(sorted(allowed))})


def _no_such_row(allowed: frozenset[str], call: Call) -> Answer:
    answer = answers.error(RegistryError(UNSUPPORTED if allowed else NOT_FOUND))
    if allowed:
        answer.add({"Allow": ", ".join(sorted(allowed))})
    return answer

"""Every endpoint, a row each: its ids in the distribution-spec, its methods, its path, what it does, its handler."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from werkzeug.wrappers import Response

from functions.api import base, blobs, listings, manifests, uploads
from functions.api.base import Call
from functions.auth.access import Action

Handler = Callable[[Call], Response]


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
    _row("end-1", "GET HEAD", "/v2/?", Action.NOTHING, base.check),
    _row("_catalog", "GET HEAD", "/v2/_catalog", Action.NOTHING, listings.repositories),
    _row("end-4a end-4b end-11", "POST", "/v2/<name>/blobs/uploads/?", Action.PUSH, uploads.start),
    _row("end-13", "GET HEAD", "/v2/<name>/blobs/uploads/<last>", Action.PUSH, uploads.status),
    _row("end-5", "PATCH", "/v2/<name>/blobs/uploads/<last>", Action.PUSH, uploads.append),
    _row("end-6", "PUT", "/v2/<name>/blobs/uploads/<last>", Action.PUSH, uploads.finish),
    _row("end-14", "DELETE", "/v2/<name>/blobs/uploads/<last>", Action.PUSH, uploads.cancel),
    _row("end-2", "GET HEAD", "/v2/<name>/blobs/<last>", Action.PULL, blobs.get),
    _row("end-10", "DELETE", "/v2/<name>/blobs/<last>", Action.DELETE, blobs.delete),
    _row("end-3", "GET HEAD", "/v2/<name>/manifests/<last>", Action.PULL, manifests.get),
    _row("end-7", "PUT", "/v2/<name>/manifests/<last>", Action.PUSH, manifests.put),
    _row("end-9", "DELETE", "/v2/<name>/manifests/<last>", Action.DELETE, manifests.delete),
    _row("end-8a end-8b", "GET HEAD", "/v2/<name>/tags/list", Action.PULL, listings.tags),
    _row("end-12a end-12b", "GET HEAD", "/v2/<name>/referrers/<last>", Action.PULL, listings.referrers),
)


@dataclass(frozen=True, slots=True)
class Match:
    """A route, and what its path's groups matched."""

    route: Route
    name: str
    last: str


def match(method: str, path: str) -> Match | frozenset[str]:
    """The row for a request; where there is none, the methods that the path has: none for an unknown path."""
    allowed: frozenset[str] = frozenset()
    for route in ROUTES:
        if found := route.path.fullmatch(path):
            if method in route.methods:
                groups = found.groupdict(default="")
                return Match(route, groups.get("name", ""), groups.get("last", ""))
            allowed |= route.methods
    return allowed

"""Routes: a row for each endpoint, with its action and handler."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Final, NamedTuple

from lading.auth.access import Action
from lading.auth.scopes import CATALOG, repository
from lading.http.responses import Response
from lading.registry.names import is_repository
from lading.surface.request_context import RequestContext

Handler = Callable[[RequestContext], Response]

SCOPES: Final = {Action.PULL: ("pull",), Action.PUSH: ("pull", "push"), Action.DELETE: ("pull", "delete")}
"""The scopes that a client should request a token for: pushing and deleting also read the present content."""


CHANGING: Final = frozenset({Action.PULL, Action.PUSH, Action.DELETE, Action.MANAGE, Action.SCAN})
"""The actions of which all methods but GET and HEAD change something."""

NAMESPACE: Final = "(?P<name>[a-z0-9._-]{1,255}/)"
"""A namespace is named with a slash at its end, as in auth.access.Action.MANAGE."""


@dataclass(frozen=True)
class Route:
    """A row of a routing table. A route cannot be declared without the access that it requires.

    spec                 the ids of its endpoints in the distribution-spec, or a name for any other
    methods              the HTTP methods, separated by spaces
    path                 a regular expression for the whole path, in which `<name>` is a repository's name, `<last>` one
                         segment, and `<namespace>/` a namespace with its slash. A name may contain any part of a path,
                         such as `blobs` and `manifests`: only the end decides.
    action               the access that the caller needs
    handler              handles the request
    is_non_blocking      whether the leader may run the handler: a single bounded read costs less than to pass the
                         request to another thread. The handler steps down (leader.step_down) before any other
                         operation: a second read, a search, opening an object.
    ignores_credentials  whether credentials are ignored, so that invalid ones do not break health checks
    """

    spec: str
    methods: str
    path: str
    action: Action
    handler: Handler
    is_non_blocking: bool = False
    ignores_credentials: bool = False

    @cached_property
    def method_set(self) -> frozenset[str]:
        """The HTTP methods."""
        return frozenset(self.methods.split())

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """The pattern of the whole path; its groups are `name` and `last_segment` of the context."""
        text = self.path.replace("<name>", "(?P<name>.+)").replace("<last>", "(?P<last_segment>[^/]+)")
        text = text.replace("<namespace>/", NAMESPACE)
        return re.compile(text, re.DOTALL)


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
    def writes(self) -> bool:
        """Whether the request may change anything."""
        return self.route.action in CHANGING and self.method not in ("GET", "HEAD")

    @property
    def scope(self) -> str:
        """The scope that a token needs for the request, or ""."""
        if self.route.action is Action.LIST:
            return str(CATALOG)
        if self.route.action not in SCOPES or not is_repository(self.name):
            return ""
        return str(repository(self.name, SCOPES[self.route.action]))

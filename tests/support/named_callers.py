"""An authenticator for which the header Authorization is the name of the caller, and a client of an app with it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from lading import settings
from lading.app import App
from lading.auth.access import Action, Caller, Decision, RequiredPermission, allow_or_deny
from lading.auth.authenticator import OpenAuthenticator
from lading.http.client_address import ClientAddress
from lading.registry.registry import Registry
from tests.support.app_client import Client, Response

ALL: Final = frozenset({Action.PULL, Action.PUSH, Action.DELETE, Action.MANAGE, Action.LIST, Action.AUTHENTICATE})


@dataclass(frozen=True)
class NamedCaller:
    """A caller that may do what `rights` says, everywhere."""

    principal: str
    rights: frozenset[Action] = ALL

    def decide(self, action: Action, repository: str) -> Decision:
        return allow_or_deny(action in self.rights, "by plan")

    def readable_patterns(self) -> Sequence[str]:
        return ["*"]


@dataclass
class NamedCallers(OpenAuthenticator):
    """Each name may do all, unless `rights` says otherwise; a request without a header is anonymous."""

    rights: Mapping[str, frozenset[Action]] = field(default_factory=dict)

    def authenticate(self, authorization: str, client: ClientAddress) -> Caller:
        return NamedCaller(authorization, self.rights.get(authorization, ALL))

    def required_permission(self, principal: str, action: Action, repository: str) -> RequiredPermission:
        return RequiredPermission(action.value, repository)


class NamedClient(Client):
    """A client that says its name."""

    def ask(self, method: str, path: str, name: str = "", body: bytes = b"", **headers: str) -> Response:
        """Make a request below /v2/."""
        sent = {"Authorization": name} if name else {}
        return self.request(method, f"/v2/{path}", body, {**sent, **headers})


def named_client(registry: Registry, **rights: frozenset[Action]) -> NamedClient:
    """A client of an app over `registry`."""
    return NamedClient(App(registry, settings.load_settings({}), NamedCallers(rights)))

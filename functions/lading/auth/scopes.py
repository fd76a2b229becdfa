"""Token scopes as clients request them: `repository:team/app:pull,push`, `registry:catalog:*`.

https://distribution.github.io/distribution/spec/auth/scope/
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

from lading.registry.names import is_repository

MAX_SCOPES: Final = 500
"""Scopes read from one request: regclient requests those of all repositories of a host together. docker requests one,
and a second one for a mount."""

MAX_CHARACTERS: Final = 64 * 1024
"""Total length of the scopes read from one request."""

ACTIONS: Final = ("pull", "push", "delete")


@dataclass(frozen=True, slots=True)
class Scope:
    """Requested or granted actions on one resource.

    type     `repository` or `registry`
    name     of the resource
    actions  in the order of ACTIONS
    """

    type: str
    name: str
    actions: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.type}:{self.name}:{','.join(self.actions)}"


CATALOG: Final = Scope("registry", "catalog", ("*",))
"""Listing repositories."""


def parse(texts: Iterable[str]) -> list[Scope]:
    """Return the scopes of a request's `scope` parameters, each of which holds one or more, separated by spaces.

    The actions on one resource are merged, and `*` stands for all of them. Unknown resource types are dropped, since
    nothing is granted on them. Above the limits the first scopes are dropped: to request more than is granted is no
    error (token specification), and clients that accumulate scopes append the one that they need now.
    """
    words = _last_within_limits(" ".join(texts).split(" "))
    requested: dict[str, set[str]] = {}
    catalog = False
    for word in words:
        type, _, rest = word.partition(":")
        name, _, actions = rest.rpartition(":")
        if (type, name, actions) == ("registry", "catalog", "*"):
            catalog = True
        # A class, as in `repository(plugin)`, names the same resource.
        elif type.partition("(")[0] == "repository" and is_repository(name):
            # Reinsert: the order is that of the last mention of each resource.
            requested[name] = requested.pop(name, set())
            requested[name].update(ACTIONS if "*" in actions.split(",") else actions.split(","))
    scopes = [repository(name, actions) for name, actions in requested.items()]
    return [scope for scope in scopes if scope.actions] + [CATALOG] * catalog


def _last_within_limits(words: Sequence[str]) -> Sequence[str]:
    """Return as many of the last words as MAX_SCOPES and MAX_CHARACTERS allow."""
    words = words[-MAX_SCOPES:]
    lengths = accumulate(len(word) + 1 for word in reversed(words))
    count = sum(length <= MAX_CHARACTERS for length in lengths)
    return words[len(words) - count :]


def repository(name: str, actions: Iterable[str]) -> Scope:
    """Return the scope of `actions` on a repository; unknown actions are dropped."""
    requested = set(actions)
    return Scope("repository", name, tuple(action for action in ACTIONS if action in requested))

"""Scopes of tokens, as clients ask for them: `repository:team/app:pull,push`, `registry:catalog:*`.

https://distribution.github.io/distribution/spec/auth/scope/
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from functions.registry.errors import SCOPE_INVALID, RegistryError
from functions.registry.names import is_repository

MOST: Final = 20
"""Scopes in one request: each may be a question to Google. docker asks for one, and for one more a mount."""

LONGEST: Final = 4096
"""Characters of all scopes of one request."""

ACTIONS: Final = ("pull", "push", "delete")


@dataclass(frozen=True, slots=True)
class Scope:
    """What is asked for, or granted, on one resource: `type` is repository or registry; `actions` are in order."""

    type: str
    name: str
    actions: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.type}:{self.name}:{','.join(self.actions)}"


CATALOG: Final = Scope("registry", "catalog", ("*",))
"""Listing repositories."""


def parse(texts: Iterable[str]) -> list[Scope]:
    """The scopes of a request's `scope` parameters, each of one or more texts with spaces between them.

    Of one resource all actions are together, and `*` stands for all of them. What this registry does not know is left
    out, since nothing is granted on it. Raises SCOPE_INVALID where they are too many.
    """
    words = " ".join(texts).split(" ")
    if len(words) > MOST or sum(map(len, words)) > LONGEST:
        raise RegistryError(SCOPE_INVALID, {"limit": MOST})
    wanted: dict[str, set[str]] = {}
    catalog = False
    for word in words:
        type, _, rest = word.partition(":")
        name, _, actions = rest.rpartition(":")
        if (type, name, actions) == ("registry", "catalog", "*"):
            catalog = True
        # A class, as in `repository(plugin)`, names the same resource.
        elif type.partition("(")[0] == "repository" and is_repository(name):
            wanted.setdefault(name, set()).update(ACTIONS if "*" in actions.split(",") else actions.split(","))
    scopes = [repository(name, actions) for name, actions in wanted.items()]
    return [scope for scope in scopes if scope.actions] + [CATALOG] * catalog


def repository(name: str, actions: Iterable[str]) -> Scope:
    """The scope of those of `actions` that there are, on one repository."""
    given = set(actions)
    return Scope("repository", name, tuple(action for action in ACTIONS if action in given))

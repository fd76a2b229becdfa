"""Scopes of tokens, as clients ask for them: `repository:team/app:pull,push`, `registry:catalog:*`.

https://distribution.github.io/distribution/spec/auth/scope/
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

from lading.registry.names import is_repository

MAX_SCOPES: Final = 500
"""Scopes of one request that are looked at: regclient asks for all repositories of a host together. docker asks for
one, and for one more a mount."""

MAX_CHARACTERS: Final = 64 * 1024
"""… and the characters of all of them."""

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
    out, since nothing is granted on it. So are, where they are too many, the first of them: to ask for more than is
    granted is no error (token specification), and clients that collect scopes append the one that they need now.
    """
    words = _last(" ".join(texts).split(" "))
    wanted: dict[str, set[str]] = {}
    catalog = False
    for word in words:
        type, _, rest = word.partition(":")
        name, _, actions = rest.rpartition(":")
        if (type, name, actions) == ("registry", "catalog", "*"):
            catalog = True
        # A class, as in `repository(plugin)`, names the same resource.
        elif type.partition("(")[0] == "repository" and is_repository(name):
            # The resource that was named last is the last one, whatever was asked of it before.
            wanted[name] = wanted.pop(name, set())
            wanted[name].update(ACTIONS if "*" in actions.split(",") else actions.split(","))
    scopes = [repository(name, actions) for name, actions in wanted.items()]
    return [scope for scope in scopes if scope.actions] + [CATALOG] * catalog


def _last(words: Sequence[str]) -> Sequence[str]:
    """Return as many of the last words as are looked at."""
    words = words[-MAX_SCOPES:]
    lengths = accumulate(len(word) + 1 for word in reversed(words))
    count = sum(length <= MAX_CHARACTERS for length in lengths)
    return words[len(words) - count :]


def repository(name: str, actions: Iterable[str]) -> Scope:
    """The scope of those of `actions` that there are, on one repository."""
    given = set(actions)
    return Scope("repository", name, tuple(action for action in ACTIONS if action in given))

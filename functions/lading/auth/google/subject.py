"""The caller for whom Google is asked: the token to ask with, and whose share the request counts in."""

from dataclasses import dataclass, field
from typing import Final

from lading.auth.google.google_tokens import TokenIdentity

MAX_QUERIES: Final = 64
"""Questions about one request's repositories: enough for 20 scopes of three names each, where no folders are named."""


class QueryBudgetExceededError(Exception):
    """One request has asked Google as often as it may."""


class QueryBudget:
    """How often one request may still ask Google. For the thread of that request alone."""

    def __init__(self, limit: int = MAX_QUERIES) -> None:
        """Allow `limit` questions."""
        self._left = limit

    def spend(self) -> None:
        """Take one. Raises QueryBudgetExceededError where none is left."""
        if not self._left:
            raise QueryBudgetExceededError
        self._left -= 1


@dataclass(frozen=True, slots=True, repr=False)
class IamSubject:
    """A caller, as far as questions to Google are concerned.

    token    to ask with
    hashed   SHA-256 of the token, the key of caches
    network  of the client: its share
    known    whether the caller was granted something lately (RecentLogins)
    identity whose the token is, where that is known yet
    budget   of the request
    """

    token: str
    hashed: bytes = b""
    network: str = ""
    known: bool = False
    identity: TokenIdentity | None = None
    budget: QueryBudget = field(default_factory=QueryBudget)

    @property
    def principal(self) -> str:
        """The principal, or "" while it is not known."""
        return self.identity.principal if self.identity else ""

"""Subject of IAM queries: the token to query with, and the shares that the query counts against."""

from dataclasses import dataclass, field
from typing import Final

from lading.auth.google.google_tokens import TokenIdentity

MAX_QUERIES: Final = 64
"""Queries for one request's repositories: enough for 20 scopes with names of three segments, if no folders are
configured."""


class QueryBudgetExceededError(Exception):
    """A request has made its maximum of queries to Google."""


class QueryBudget:
    """Remaining queries to Google of one request. Not thread-safe: for the thread of that request."""

    def __init__(self, limit: int = MAX_QUERIES) -> None:
        """Allow `limit` queries."""
        self._remaining = limit

    def spend(self) -> None:
        """Take one query. Raises QueryBudgetExceededError if none remains."""
        if not self._remaining:
            raise QueryBudgetExceededError
        self._remaining -= 1


@dataclass(frozen=True, slots=True, repr=False)
class IamSubject:
    """A caller on whose behalf Google is queried.

    token     for queries
    hashed    SHA-256 of the token, the key of caches
    network   of the client, for its share
    known     whether something was granted to the caller recently (RecentLogins)
    identity  of the token, or None while it is unknown
    budget    of the request
    """

    token: str
    hashed: bytes = b""
    network: str = ""
    known: bool = False
    identity: TokenIdentity | None = None
    budget: QueryBudget = field(default_factory=QueryBudget)

    @property
    def principal(self) -> str:
        """The principal, or "" while it is unknown."""
        return self.identity.principal if self.identity else ""

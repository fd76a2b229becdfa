"""HttpListing: pages of the management API, and the values in its responses."""

from typing import Any, Final, TypeVar

from lading.client.connection import Connection
from lading.client.errors import ClientError
from lading.json_values import parse
from lading.registry.pagination import Page
from lading_storage.digests import is_digest

T = TypeVar("T")

CATALOG_SCOPE: Final = "registry:catalog:*"
MAX_PAGE: Final = 1_000
"""Items that a page of any listing has at most."""


class HttpListing:
    """Reads responses of a connection. Each method raises ClientError where one is none of a registry."""

    def __init__(self, connection: Connection) -> None:
        """Make requests over `connection`."""
        self._connection = connection

    def page(
        self, kind: type[T], place: tuple[str, str], after: str, limit: int, *, name: str = "", **query: str
    ) -> tuple[Page[T], Any]:
        """Return a page of a listing, and the response with its other fields.

        Args:
            kind: of the items.
            place: the path of the endpoint, and the scope of its token.
            after: the cursor after which the page begins.
            limit: the maximum number of items; 0 leaves it to the registry.
            name: the field of the items; by default the last segment of the path.
            query: other parameters.
        """
        path, scope = place
        sent = {**query, "n": min(limit, MAX_PAGE) or "", "last": after}
        found = self._connection.request("GET", path, scope, sent)
        cursor = self.text(found, "next")
        if cursor and cursor == after:
            raise self.wrong(f"the listing does not advance after {after[:80]}")
        items = self.items(found, name or path.rpartition("/")[2])
        return Page([self.parsed(kind, each) for each in items], cursor), found

    def items(self, value: Any, name: str) -> list[Any]:
        """Return the list that a field of a response has."""
        items = value.get(name) if isinstance(value, dict) else None
        if not isinstance(items, list):
            raise self.wrong(f"it has no {name}")
        return items

    def text(self, value: Any, name: str) -> str:
        """Return the text that a field of a response has."""
        text = value.get(name) if isinstance(value, dict) else None
        if not isinstance(text, str):
            raise self.wrong(f"it has no {name}")
        return text

    def digest(self, value: Any) -> str:
        """Return the digest that a response has. Raises ClientError."""
        text = self.text(value, "digest")
        if not is_digest(text):
            raise self.wrong(f"{text[:80]} is no digest")
        return text

    def parsed(self, kind: type[T], value: Any) -> T:
        """Return the dataclass of a JSON object."""
        try:
            return parse(kind, value)
        except ValueError as error:
            raise self.wrong(str(error)) from None

    def wrong(self, reason: str) -> ClientError:
        """Return the error of a response that cannot be used."""
        return ClientError(f"the response of {self._connection.host} cannot be used: {reason}")


def below(repository: str, word: str) -> tuple[str, str]:
    """Return the path of an endpoint of a repository, and the scope of its token: all that the caller may do there."""
    return f"/v2/_lading/{repository}/{word}", f"repository:{repository}:pull,push,delete"

"""Scan of all records of a kind in all repositories, in as few and as full pages as possible."""

from typing import Any, Generic

from lading.jobs.phases import PAGE_SIZE
from lading.registry.pagination import check_advance
from lading_storage.protocols import MetadataStore
from lading_storage.query import Query
from lading_storage.records.core import Key, R, Repository


class RepositoryScan(Generic[R]):
    """The records of a kind, one repository after the other; a page can span several repositories."""

    def __init__(self, metadata: MetadataStore, kind: type[R]) -> None:
        """Read from `metadata`."""
        self._metadata = metadata
        self._kind = kind
        # Names of listed repositories that come next, in reverse order.
        self._pending: list[str] = []
        self._after_repository = ""

    def page(self, after: Key[Any] | None, limit: int = PAGE_SIZE) -> list[R]:
        """Return up to `limit` records after the key `after`, without content; none at the end."""
        repository, id = (after.repository, after.id) if after else ("", "")
        found: list[R] = []
        while len(found) < limit:
            rest = limit - len(found)
            query = Query(self._kind, repository=repository, after=id, limit=rest)
            page = self._metadata.find(query) if repository else []
            found += page
            if len(page) == rest:
                break
            if not (repository := self._next(repository)):
                break
            id = ""
        return found

    def _next(self, repository: str) -> str:
        """Return the name of the repository after `repository`, or ""."""
        if repository != self._after_repository or not self._pending:
            listed = self._metadata.find(Query(Repository, after=repository, limit=PAGE_SIZE))
            if listed:
                check_advance(repository, [each.id for each in listed])
            self._pending = [each.id for each in reversed(listed)]
        self._after_repository = self._pending.pop() if self._pending else ""
        return self._after_repository

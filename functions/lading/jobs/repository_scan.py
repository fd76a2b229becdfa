"""Pages of records from all repositories, for a job that looks at every one: as large as can be, as few as can be."""

from typing import Any, Generic

from lading.jobs.runner import PAGE_SIZE
from lading.registry.pagination import check_advance
from lading_storage.protocols import MetadataStore
from lading_storage.records.core import Key, R, Repository


class RepositoryScan(Generic[R]):
    """Reads the records of a kind, one repository after the other. A page takes from as many as it needs."""

    def __init__(self, metadata: MetadataStore, kind: type[R]) -> None:
        """Read from `metadata`."""
        self._metadata = metadata
        self._kind = kind
        # Names of repositories that were listed, and come next.
        self._pending: list[str] = []
        self._after_repository = ""

    def page(self, after: Key[Any] | None, limit: int = PAGE_SIZE) -> list[R]:
        """Return up to `limit` records behind the place of `after`, without content; none at the end."""
        repository, id = (after.repository, after.id) if after else ("", "")
        found: list[R] = []
        while len(found) < limit:
            wanted = limit - len(found)
            page = self._metadata.scan(self._kind, repository, after=id, limit=wanted) if repository else []
            found += page
            if len(page) == wanted:
                break
            if not (repository := self._next(repository)):
                break
            id = ""
        return found

    def _next(self, repository: str) -> str:
        """The repository behind another one, or ""."""
        if repository != self._after_repository or not self._pending:
            listed = self._metadata.scan(Repository, after=repository, limit=PAGE_SIZE)
            if listed:
                check_advance(repository, [each.id for each in listed])
            self._pending = [each.id for each in reversed(listed)]
        self._after_repository = self._pending.pop() if self._pending else ""
        return self._after_repository

"""Pages of records from all repositories, for a job that looks at every one: as large as can be, as few as can be."""

from typing import Any, Generic

from functions.jobs.slices import PAGE
from functions.registry.pages import check_advance
from storage.protocols import MetadataStore
from storage.records import Key, R, Repository


class Walk(Generic[R]):
    """Reads the records of a kind, one repository after the other. A page takes from as many as it needs."""

    def __init__(self, metadata: MetadataStore, kind: type[R]) -> None:
        """Read from `metadata`."""
        self._metadata = metadata
        self._kind = kind
        # Names of repositories that were listed, and come next.
        self._coming: list[str] = []
        self._at = ""

    def page(self, after: Key[Any] | None, limit: int = PAGE) -> list[R]:
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
        if repository != self._at or not self._coming:
            listed = self._metadata.scan(Repository, after=repository, limit=PAGE)
            if listed:
                check_advance(repository, [each.id for each in listed])
            self._coming = [each.id for each in reversed(listed)]
        self._at = self._coming.pop() if self._coming else ""
        return self._at

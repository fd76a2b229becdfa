"""Query of the metadata store: what MetadataStore.find selects."""

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, field, replace
from typing import Generic

from lading_storage.records.core import R


@dataclass(frozen=True, slots=True)
class Query(Generic[R]):
    """The first `limit` records of a kind, after the id `after`, that match all values of `where`.

    Sorted by `kind.order`; if `where` has fields, by id; if `repository` is None, in an order of the store's own.

    Attributes:
        kind: the kind of the records.
        where: values by field name; empty for all records. A tuple field matches if it contains the value.
        repository: the repository, "" for records outside repositories, or None to search all repositories.
        after: the id of the last record of the previous page, which need not exist anymore, or "" for the first page.
        after_repository: the repository of that record if `repository` is None, else ignored.
        limit: the maximum number of records.
    """

    kind: type[R]
    where: Mapping[str, str] = field(default_factory=dict)
    _: KW_ONLY
    repository: str | None = ""
    after: str = ""
    after_repository: str = ""
    limit: int

    def __post_init__(self) -> None:
        """Refuse a query that no index of a store supports.

        Raises:
            ValueError: a field of `where` is not in `kind.INDEXED_FIELDS`, or is indexed for the other scope: within
                a repository, or across repositories (`kind.CROSS_REPOSITORY_FIELDS`); or no other field is searched
                than those of `kind.FILTER_FIELDS`; or all repositories are to be listed.
        """
        kind, is_global = self.kind, self.repository is None
        for name in self.where:
            if name not in kind.INDEXED_FIELDS or (name in kind.CROSS_REPOSITORY_FIELDS) != is_global:
                scope = "across repositories" if is_global else "within a repository"
                raise ValueError(f"{kind.KIND} cannot be searched by {name} {scope}")
        if self.where and self.selecting_field is None:
            raise ValueError(f"{kind.KIND} cannot be searched by {', '.join(self.where)} alone")
        if is_global and not self.where:
            raise ValueError(f"{kind.KIND} cannot be listed across repositories")

    @property
    def selecting_field(self) -> str | None:
        """The field of `where` by which an index selects records, which the other fields filter; None to list all."""
        return next((name for name in self.where if name not in self.kind.FILTER_FIELDS), None)

    def after_record(self, last: R) -> "Query[R]":
        """Return the query of the next page, where `last` is the last record of this one."""
        return replace(self, after=last.id, after_repository=last.repository)

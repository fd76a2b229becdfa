"""Queries of the metadata store in SQLite. Each reads one range of one index, in order (sqlite_schema)."""

from typing import Final

from lading_storage.local.sqlite_schema import GLOBAL_SCOPE, packed, position_of
from lading_storage.query import Query
from lading_storage.records.core import R

Values = tuple[str | bytes | int, ...]

REPOSITORY_NUMBER: Final = "(SELECT number FROM repositories WHERE name = ?)"
"""Number of a repository. NULL, which equals nothing, if the repository never had a record."""

READ: Final = (
    f"SELECT version, fields, content FROM entries WHERE kind = ? AND repository = {REPOSITORY_NUMBER} AND position = ?"
)
READ_WITHOUT_CONTENT: Final = READ.replace("content", "NULL")

COUNT: Final = "SELECT count(*) FROM entries WHERE kind = ?"

DUE: Final = (
    "SELECT e.due, coalesce(e.id, e.position), r.name, e.version, e.fields FROM entries e"
    " CROSS JOIN repositories r ON r.number = e.repository"
    f" WHERE e.kind = ? AND (e.due, e.repository, e.position) > (?, coalesce({REPOSITORY_NUMBER}, 0), ?) AND e.due <= ?"
    " ORDER BY e.due, e.repository, e.position LIMIT ?"
)

# CROSS JOIN makes SQLite keep the order of the tables.
_SEARCH: Final = (
    "SELECT m.id, r.name, e.version, e.fields FROM lookups m"
    " CROSS JOIN entries e ON e.number = m.entry CROSS JOIN repositories r ON r.number = m.repository"
    " WHERE m.kind = ? AND m.scope = {scope} AND m.field = ? AND m.value = ?{conditions}"
    " ORDER BY m.id, m.repository LIMIT ?"
)
_LIST: Final = (
    "SELECT coalesce(id, position), ?, version, fields FROM entries"
    f" WHERE kind = ? AND repository = {REPOSITORY_NUMBER} AND position > ? ORDER BY position LIMIT ?"
)
_MATCHES: Final = " AND EXISTS (SELECT 1 FROM json_each(e.fields, ?) WHERE value = ?)"
_AFTER: Final = " AND m.id > ?"
_AFTER_GLOBALLY: Final = f" AND (m.id, m.repository) > (?, coalesce({REPOSITORY_NUMBER}, 0))"


def find_query(query: Query[R]) -> tuple[str, Values]:
    """Return the statement of a query and its values. Rows have the columns id, repository, version and fields."""
    field = query.selecting_field
    if field is not None:
        return _search_query(query, field)
    # Query refuses a listing of all repositories.
    repository, begin = query.repository or "", position_of(query.kind, query.after) if query.after else ""
    return _LIST, (repository, query.kind.NUMBER, repository, begin, query.limit)


def _search_query(query: Query[R], field: str) -> tuple[str, Values]:
    """Return the statement that selects rows by the lookups of `field`, and filters them by the other fields."""
    is_global = query.repository is None
    scope: Values = () if query.repository is None else (query.repository,)
    conditions = ""
    after: Values = ()
    filters: Values = ()
    if query.after:
        conditions = _AFTER_GLOBALLY if is_global else _AFTER
        after = (packed(query.after), *([query.after_repository] if is_global else []))
    for name, value in query.where.items():
        if name != field:
            conditions, filters = conditions + _MATCHES, (*filters, f"$.{name}", value)
    selected = (query.kind.NUMBER, *scope, field, packed(query.where[field]))
    statement = _SEARCH.format(scope=GLOBAL_SCOPE if is_global else REPOSITORY_NUMBER, conditions=conditions)
    return statement, (*selected, *after, *filters, query.limit)

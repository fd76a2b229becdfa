"""Queries of the metadata store in SQLite. Each reads one range of one index, in order (sqlite_schema)."""

from collections.abc import Sequence
from typing import Final

from lading_storage.local.sqlite_schema import FILTERS, GLOBAL_SCOPE, KIND_NUMBERS, packed, position_of
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
    "SELECT coalesce(e.id, e.position), ?, e.version, e.fields FROM entries e"
    f" WHERE e.kind = ? AND e.repository = {REPOSITORY_NUMBER} AND e.position > ?{{conditions}}"
    " ORDER BY e.position LIMIT ?"
)
_MATCHES: Final = " AND EXISTS (SELECT 1 FROM json_each(e.fields, ?) WHERE value = ?)"
_AFTER: Final = " AND m.id > ?"
_AFTER_GLOBALLY: Final = f" AND (m.id, m.repository) > (?, coalesce({REPOSITORY_NUMBER}, 0))"


def find_query(query: Query[R]) -> tuple[str, Values]:
    """Return the statement of a query and its values. Rows have the columns id, repository, version and fields.

    One field of `query.where` selects the rows by its lookups; the others filter these rows.
    """
    selecting = next((name for name in query.where if (query.kind.KIND, name) not in FILTERS), None)
    filters = [part for name, value in query.where.items() if name != selecting for part in (f"$.{name}", value)]
    conditions = _MATCHES * (len(filters) // 2)
    if selecting is not None:
        return _search_query(query, selecting, conditions, filters)
    assert query.repository is not None
    begin = position_of(query.kind, query.after) if query.after else ""
    values = (query.repository, KIND_NUMBERS[query.kind.KIND], query.repository, begin, *filters, query.limit)
    return _LIST.format(conditions=conditions), values


def _search_query(query: Query[R], field: str, conditions: str, filters: Sequence[str]) -> tuple[str, Values]:
    """Return the statement of a query whose rows are selected by the lookups of `field`, and its values."""
    is_global = query.repository is None
    scope: Values = () if query.repository is None else (query.repository,)
    after: Values = ()
    if query.after:
        conditions = (_AFTER_GLOBALLY if is_global else _AFTER) + conditions
        after = (packed(query.after), *([query.after_repository] if is_global else []))
    selected = (KIND_NUMBERS[query.kind.KIND], *scope, field, packed(query.where[field]))
    statement = _SEARCH.format(scope=GLOBAL_SCOPE if is_global else REPOSITORY_NUMBER, conditions=conditions)
    return statement, (*selected, *after, *filters, query.limit)

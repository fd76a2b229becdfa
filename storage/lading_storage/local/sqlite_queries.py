"""Queries of the metadata store in SQLite. Each reads one range of one index, in order (sqlite_schema)."""

from collections.abc import Mapping
from typing import Final

from lading_storage.local.sqlite_schema import FILTERS, GLOBAL_SCOPE, KIND_NUMBERS, packed, position_of
from lading_storage.records.core import Key, R

Values = tuple[str | bytes | int, ...]

REPOSITORY_NUMBER: Final = "(SELECT number FROM repositories WHERE name = ?)"
"""Number of a repository. NULL, which equals nothing, if the repository never had a record."""

READ: Final = (
    f"SELECT version, fields, content FROM entries WHERE kind = ? AND repository = {REPOSITORY_NUMBER} AND position = ?"
)
READ_WITHOUT_CONTENT: Final = READ.replace("content", "NULL")

COUNT: Final = "SELECT count(*) FROM entries WHERE kind = ?"

SCAN: Final = (
    "SELECT coalesce(id, position), version, fields FROM entries"
    f" WHERE kind = ? AND repository = {REPOSITORY_NUMBER} AND position > ? ORDER BY position LIMIT ?"
)

DUE: Final = (
    "SELECT e.due, coalesce(e.id, e.position), r.name, e.version, e.fields FROM entries e"
    " CROSS JOIN repositories r ON r.number = e.repository"
    f" WHERE e.kind = ? AND (e.due, e.repository, e.position) > (?, coalesce({REPOSITORY_NUMBER}, 0), ?) AND e.due <= ?"
    " ORDER BY e.due, e.repository, e.position LIMIT ?"
)

# CROSS JOIN makes SQLite keep the order of the tables.
_FIND: Final = (
    "SELECT m.id, r.name, e.version, e.fields FROM lookups m"
    " CROSS JOIN entries e ON e.number = m.entry CROSS JOIN repositories r ON r.number = m.repository"
    " WHERE m.kind = ? AND m.scope = {scope} AND m.field = ? AND m.value = ?{conditions}"
    " ORDER BY m.id, m.repository LIMIT ?"
)
_FILTER: Final = (
    "SELECT e.position, r.name, e.version, e.fields FROM entries e"
    " CROSS JOIN repositories r ON r.number = e.repository"
    f" WHERE e.kind = ? AND e.repository = {REPOSITORY_NUMBER} AND e.position > ?{{conditions}}"
    " ORDER BY e.position LIMIT ?"
)
_HOLDS: Final = " AND EXISTS (SELECT 1 FROM json_each(e.fields, ?) WHERE value = ?)"


def find_query(
    kind: type[R], where: Mapping[str, str], repository: str | None, after: Key[R] | None, limit: int
) -> tuple[str, Values]:
    """Return the query of MetadataStore.find and its values. Rows have the columns id, repository, version and fields.

    One field of `where` selects the rows by its lookups; the others filter these rows.
    """
    own = repository is not None
    first = next((name for name in where if (kind.KIND, name) not in FILTERS and not (own and name == "id")), None)
    others: list[str | bytes | int] = []
    for name in where.keys() - {first, "id"}:
        others += [f"$.{name}", where[name]]
    conditions = _HOLDS * (len(others) // 2)
    number = KIND_NUMBERS[kind.KIND]
    if first is None:
        assert repository is not None, "only CROSS_REPOSITORY_FIELDS can be searched across all repositories"
        begin = position_of(kind, after.id) if after else ""
        if "id" in where:
            conditions, others = f" AND e.position = ?{conditions}", [position_of(kind, where["id"]), *others]
        return _FILTER.format(conditions=conditions), (number, repository, begin, *others, limit)
    values: list[str | bytes | int] = [repository] if repository is not None else []
    values = [number, *values, first, packed(where[first])]
    if after is not None:
        if own:
            conditions, others = f" AND m.id > ?{conditions}", [packed(after.id), *others]
        else:
            conditions = f" AND (m.id, m.repository) > (?, coalesce({REPOSITORY_NUMBER}, 0)){conditions}"
            others = [packed(after.id), after.repository, *others]
    query = _FIND.format(scope=REPOSITORY_NUMBER if own else GLOBAL_SCOPE, conditions=conditions)
    return query, (*values, *others, limit)

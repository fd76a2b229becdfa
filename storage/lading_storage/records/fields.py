"""Fields of records, as their classes declare them: what a store reads and writes of each kind.

Everything is derived from annotations, so that a new kind needs nothing but its class.
"""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any, Final, TypeVar, get_args, get_origin

from lading_storage.records.core import Key, R, Record

T = TypeVar("T")

KEY_FIELDS: Final = ("id", "repository")
"""The fields of a record's key."""

CONTENT: Final = "content"
"""The only field that can hold bytes. Listings omit it."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Fields of a kind other than its key and version.

    Attributes:
        types: the annotation of each field, by name, in their order.
        times: the names of those that are times.
        arrays: the names of those that are tuples of strings or numbers.
        listed: the names of all fields that a listing returns, with those of the key.
    """

    types: Mapping[str, Any]
    times: frozenset[str]
    arrays: frozenset[str]
    listed: tuple[str, ...]


def cached_by_kind(function: Callable[[type[Record]], T]) -> Callable[[type[Record]], T]:
    """Cache what `function` derives from a kind."""
    return cache(function)  # type: ignore[return-value]  # a class can be hashed


@cached_by_kind
def layout_of(kind: type[Record]) -> Layout:
    """Return the layout of a kind. Cached: dataclasses.fields costs as much as the rest of a small read."""
    own = {each.name: each.type for each in dataclasses.fields(kind) if each.name not in (*KEY_FIELDS, "version")}
    return Layout(
        types=own,
        times=frozenset(name for name, type_ in own.items() if datetime in (type_, *get_args(type_))),
        arrays=frozenset(name for name, type_ in own.items() if get_origin(type_) is tuple),
        listed=(*KEY_FIELDS, *(name for name in own if name != CONTENT)),
    )


def values_of(record: Record) -> dict[str, Any]:
    """Return the record's values by each name, without its key and version. Tuples become lists."""
    layout = layout_of(type(record))
    values = {name: getattr(record, name) for name in layout.types}
    for name in layout.arrays:
        values[name] = list(values[name])
    return values


def record_of(key: Key[R], values: Mapping[str, Any], version: str) -> R:
    """Return the record with `values`, as `values_of` returned them. Fields of a newer release are ignored."""
    known = layout_of(key.kind).types
    own = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items() if name in known}
    return key.kind(id=key.id, repository=key.repository, version=version, **own)


def converted(record: Record, kind: type[R], **others: Any) -> R:
    """Return a record of another kind with the same key, the fields that both kinds have, and `others`."""
    shared = layout_of(kind).types.keys() & layout_of(type(record)).types.keys() - others.keys()
    values = {name: getattr(record, name) for name in shared}
    return kind(**{"id": record.id, "repository": record.repository} | values | others)

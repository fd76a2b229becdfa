"""Frozen dataclasses as JSON, and back: the values that commands print, and the management API returns."""

import base64
import dataclasses
import types
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Any, Final, TypeVar, get_args, get_origin, get_type_hints

T = TypeVar("T")

MAX_INTEGER: Final = 2**63
"""Maximum of an integer that is read, far above every size and number."""


def rfc3339(time: datetime, timespec: str = "microseconds") -> str:
    """Return a time in UTC as RFC 3339 has it."""
    return time.astimezone(UTC).isoformat(timespec=timespec).replace("+00:00", "Z")


def unique_members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return the members of a JSON object, as an `object_pairs_hook`. Raises ValueError if a name is there twice."""
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise ValueError("an object has a name twice")
    return fields


def plain(value: object) -> object:
    """Return as JSON can have it what json.dumps does not know.

    Dataclasses become objects; times are as in RFC 3339, durations in seconds, bytes in base64.
    """
    if dataclasses.is_dataclass(value):
        return {each.name: getattr(value, each.name) for each in dataclasses.fields(value)}
    match value:
        case datetime():
            return rfc3339(value)
        case timedelta():
            return value.total_seconds()
        case Enum():
            return value.value
        case bytes():
            return base64.b64encode(value).decode()
        case Mapping():
            return dict(value)
    raise TypeError(f"{type(value).__name__} has no form in JSON")


def parse(kind: type[T], value: Any) -> T:
    """Return the dataclass that `plain` made a JSON object of; fields that it does not have are ignored.

    Raises:
        ValueError: a field is missing, or of another type.
    """
    if not isinstance(value, dict):
        raise ValueError(f"{kind.__name__} is no object")
    declared: Any = kind
    hints, fields = get_type_hints(declared), dict[str, Any]()
    for each in dataclasses.fields(declared):
        if each.name in value:
            fields[each.name] = _parse(hints[each.name], value[each.name])
        elif each.default is dataclasses.MISSING and each.default_factory is dataclasses.MISSING:
            raise ValueError(f"{kind.__name__} has no {each.name}")
    return kind(**fields)


def _parse(hint: Any, value: Any) -> Any:
    """Return a value of a type. Raises ValueError."""
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return parse(hint, value)
    if isinstance(hint, types.UnionType):
        return None if value is None else _parse(get_args(hint)[0], value)
    match get_origin(hint) or hint, value:
        case origin, list() if origin in (tuple, Sequence):
            return _parse_list(hint, value)
        case origin, dict() if origin is Mapping:
            return {name: _parse(get_args(hint)[1], each) for name, each in value.items()}
        case origin, str() if origin in (datetime, bytes):
            return parse_time(value) if origin is datetime else base64.b64decode(value, validate=True)
    if type(value) is not hint or (hint is int and abs(value) > MAX_INTEGER):
        raise ValueError(f"{str(value)[:80]} is not of the type {getattr(hint, '__name__', hint)}")
    return value


def _parse_list(hint: Any, values: list[Any]) -> tuple[Any, ...]:
    """Return a sequence, or a tuple of values of one type and a fixed number. Raises ValueError."""
    types = get_args(hint)
    if get_origin(hint) is tuple and types[-1] is not ... and len(values) != len(types):
        raise ValueError(f"{str(values)[:80]} does not have {len(types)} values")
    return tuple(_parse(types[0], each) for each in values)


def parse_time(text: str) -> datetime:
    """Return a time in UTC. Raises ValueError."""
    time = datetime.fromisoformat(text)
    if time.tzinfo is None:
        raise ValueError(f"{text} has no offset from UTC")
    try:
        return time.astimezone(UTC)
    except OverflowError:
        raise ValueError(f"{text} is no time in UTC") from None

"""JSON of a layer: valid or not, and of the expected types or not."""

import json
from collections.abc import Mapping, Sequence
from typing import Any


def loads(content: bytes) -> Any:
    """Return the value of a JSON text, with or without a byte order mark.

    Raises:
        ValueError: it is not JSON, or nested too deep.
    """
    try:
        return json.loads(content.decode("utf-8", "replace").removeprefix("\ufeff"))
    except RecursionError:
        raise ValueError("JSON nested too deep") from None


def text(value: Any) -> str:
    """Return a string, or "" for a value of another type."""
    return value if isinstance(value, str) else ""


def mapping(value: Any) -> Mapping[str, Any]:
    """Return an object, or an empty one for a value of another type."""
    return value if isinstance(value, dict) else {}


def sequence(value: Any) -> Sequence[Any]:
    """Return an array, or an empty one for a value of another type."""
    return value if isinstance(value, list) else []

"""Bytes of documents: compact JSON in UTF-8, equal for equal documents."""

import dataclasses
import json
from typing import Any

from lading.json_values import plain


def encode(document: Any) -> bytes:
    """Return a document as bytes. Half of a surrogate pair, which UTF-8 cannot have, becomes "?"."""
    text = json.dumps(document, default=plain, separators=(",", ":"), ensure_ascii=False)
    return text.encode("utf-8", "replace")


def set_fields(value: Any) -> dict[str, Any]:
    """Return the fields of a dataclass that differ from their defaults."""
    fields = ((each.name, getattr(value, each.name), each.default) for each in dataclasses.fields(value))
    return {name: found for name, found, default in fields if found != default}

"""JSON schema of a file of policies (draft 2020-12), made of the fields: docs/policies.schema.json."""

from typing import Any, Final

from lading.policies.policy_fields import POLICIES
from lading.policies.policy_json import VERSION

DRAFT: Final = "https://json-schema.org/draft/2020-12/schema"

FILE: Final = {"description": "the file that has it, beside this one", "type": "string", "minLength": 1}


def schema() -> dict[str, Any]:
    """Return the schema. A key may be in a file of its own, which is read where the policies are applied."""
    properties = {"version": {"const": VERSION}, "policies": _with_files(POLICIES.schema())}
    return {
        "$schema": DRAFT,
        "title": "Policies of images in Lading",
        "type": "object",
        "additionalProperties": False,
        "required": ["policies"],
        "properties": properties,
    }


def _with_files(value: Any) -> Any:
    """Return a schema in which each table with `pem` may have `file` instead."""
    if isinstance(value, list):
        return [_with_files(each) for each in value]
    if not isinstance(value, dict):
        return value
    found = {key: _with_files(each) for key, each in value.items()}
    properties = found.get("properties")
    if isinstance(properties, dict) and "pem" in properties:
        found["properties"] = properties | {"file": FILE}
        found["oneOf"] = [{"required": ["pem"]}, {"required": ["file"]}]
    return found

"""Google's discovery documents, as google-api-python-client has them: what an API's requests and responses may hold."""

import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from typing import Any, Final

SYSTEM_PARAMETERS: Final = frozenset({"alt", "fields", "prettyPrint"})


@cache
def document(name: str) -> dict[str, Any]:
    """Return a document, such as "run.v2"."""
    path = files("googleapiclient.discovery_cache").joinpath("documents", f"{name}.json")
    return json.loads(path.read_text(encoding="utf-8"))  # type: ignore[no-any-return]


def unknown(document: dict[str, Any], type: str, value: Any, where: str) -> list[str]:
    """Return the fields of a value that its type does not have, and those of another JSON type or enumeration."""
    found = []
    properties = document["schemas"][type].get("properties", {})
    for field, each in value.items():
        if field not in properties:
            found.append(f"{where}.{field}")
            continue
        items = properties[field].get("items", properties[field])
        for inner in each if isinstance(each, list) else [each] if each is not None else []:
            if "$ref" in items and isinstance(inner, dict):
                found += unknown(document, items["$ref"], inner, f"{where}.{field}")
            elif "properties" in items:
                nested = {"schemas": {**document["schemas"], "inner": items}}
                found += unknown(nested, "inner", inner, f"{where}.{field}")
            elif isinstance(inner, str) != (items.get("type", "string") == "string") and items.get("format") != "int64":
                found.append(f"{where}.{field} is {inner!r}")
            elif "enum" in items and inner not in items["enum"]:
                found.append(f"{where}.{field} is {inner!r}, which is none of its values")
    return found


def faults(name: str, method: str, path: str, query: Mapping[str, str], body: Any) -> list[str]:
    """Return what is wrong with a request to the API of a document. `path` has no leading slash."""
    api = document(name)
    found = next((each for each in _methods(api) if each["httpMethod"] == method and _is_path(each, path)), None)
    if found is None:
        return [f"{method} {path} is not a method"]
    parameters = found["parameters"]
    wrong = [f"?{each}" for each in query if each not in parameters and each not in SYSTEM_PARAMETERS]
    if "request" in found:
        wrong += unknown(api, found["request"]["$ref"], body, "body")
    elif body is not None:
        wrong.append("it has no body")
    return wrong


def _methods(resources: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield from resources.get("methods", {}).values()
    for each in resources.get("resources", {}).values():
        yield from _methods(each)


def _is_path(method: Mapping[str, Any], path: str) -> bool:
    pattern = re.sub(r"\\\{\w+\\\}", "[^/:]+", re.escape(method.get("flatPath", method["path"])))
    return re.fullmatch(pattern, path) is not None

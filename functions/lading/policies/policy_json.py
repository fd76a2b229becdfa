"""Policies as JSON: the form in which the registry's rule `policies` keeps them.

    {"version": 1, "policies": [{"name": "prod", "repositories": ["prod/*"], "scan": {"required": true}}]}

Their fields are those of a file (lading.policies.policy_fields), but for `file`: a key is in it. They are sorted by
name, so that two texts are equal if the policies are.
"""

import json
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any, Final

from lading.json_values import unique_members
from lading.policies.field_kinds import PolicyError, quoted
from lading.policies.policy import Policy
from lading.policies.policy_fields import POLICIES

VERSION: Final = 1
"""Grows where a word means something else, or where an older release must not go on without a new one."""

MAX_SIZE: Final = 64 * 1024
"""Characters of all policies."""

MAX_PARSED: Final = 100
"""Texts whose policies are cached: the registry's, and those of namespaces."""

__all__ = ["MAX_SIZE", "PolicyError", "policies_of", "policies_text", "values_of"]


@lru_cache(MAX_PARSED)
def policies_of(text: str, namespace: str = "") -> tuple[Policy, ...]:
    """Return the policies of a rule's value; "" has none.

    Args:
        text: the value.
        namespace: whose rule it is: it is part of the names then, so that no policy of a namespace has the name of
            one of the registry; "" for the registry.

    Raises:
        PolicyError: they cannot be read, such as those of a newer release.
    """
    policies: tuple[Policy, ...] = POLICIES.parse(values_of(text), "policies") if text else ()
    return tuple(replace(each, name=f"{namespace}/{each.name}") for each in policies) if namespace else policies


def values_of(text: str) -> list[Any]:
    """Return the policies in JSON as plain values, without a check of what they say. Raises PolicyError."""
    if not text:
        return []
    try:
        found = json.loads(text, object_pairs_hook=unique_members)
    except (ValueError, RecursionError) as error:
        raise PolicyError(f"the policies are not JSON: {error}") from None
    return values_in(found, "the policies")


def values_in(found: Any, name: str) -> list[Any]:
    """Return the policies in a document: a list, or {"version": 1, "policies": […]}. Raises PolicyError."""
    if isinstance(found, dict):
        if (version := found.get("version", VERSION)) != VERSION or isinstance(version, bool):
            raise PolicyError(f"{name} have version {version!r:.20}, and this release reads version {VERSION}")
        if unknown := found.keys() - {"version", "policies"}:
            rules = "; a file of rules is for `lading rules apply`" if "rules" in unknown else ""
            field = quoted(min(map(str, unknown)))
            raise PolicyError(f"{name}: there is no field {field}; there are version, policies{rules}")
        found = found.get("policies", [])
    if not isinstance(found, list):
        raise PolicyError(f"{name} are a list of tables: [[policies]]")
    return found


def policies_text(values: Sequence[Any]) -> str:
    """Return policies as JSON; "" for none. Raises PolicyError if they are not valid, or too large."""
    if not values:
        return ""
    POLICIES.parse(list(values), "policies")
    ordered = sorted(values, key=lambda each: str(each["name"]))
    text = json.dumps({"version": VERSION, "policies": ordered}, separators=(",", ":"), ensure_ascii=False)
    if len(text) > MAX_SIZE:
        raise PolicyError(f"the policies have {len(text)} characters, more than {MAX_SIZE}")
    return text

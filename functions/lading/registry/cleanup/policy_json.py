"""JSON form of clean-up policies: Artifact Registry's, with a few extensions.

It is accepted in the form of `gcloud artifacts repositories set-cleanup-policies`, and in that of
`list-cleanup-policies` and the API.

    [{"name": "…", "action": {"type": "Delete"}, "condition": {…}, "immutableTags": true},
     {"name": "…", "action": {"type": "Keep"}, "mostRecentVersions": {"keepCount": 10, …}}]

    condition            tagState, tagPrefixes, versionNamePrefixes, packageNamePrefixes, olderThan, newerThan,
                         moreStaleThan; extensions: tagGlobs, repositoryGlobs
    mostRecentVersions   keepCount, packageNamePrefixes; extensions: tagGlobs, repositoryGlobs

The API's form is an object of policies by name: `{"…": {"id": "…", "action": "DELETE", "condition": {…}}}`. An unknown
field is rejected: a policy with a misspelt condition would delete what it was meant to keep.
"""

import json
import operator
import re
from collections.abc import Iterable
from datetime import timedelta
from typing import Any, Final

from lading.json_values import unique_members
from lading.registry.cleanup.policies import Condition, Policy, TagState

MAX_POLICIES: Final = 100
"""Artifact Registry accepts 10 for one repository; here one file is for all repositories."""

LIST_FIELDS: Final = {
    "tagPrefixes": "tag_prefixes",
    "tagGlobs": "tag_globs",
    "versionNamePrefixes": "version_prefixes",
    "packageNamePrefixes": "package_prefixes",
    "repositoryGlobs": "repository_globs",
}
EXTENSION_FIELDS: Final = frozenset({"tagGlobs", "repositoryGlobs"})
"""An empty list of these is rejected; Artifact Registry accepts an empty list of its own fields as absent."""

AGE_FIELDS: Final = {"olderThan": "older_than", "newerThan": "newer_than", "moreStaleThan": "stale_for"}
RECENT_FIELDS: Final = frozenset({"packageNamePrefixes", "tagGlobs", "repositoryGlobs"})
"""Fields of mostRecentVersions besides keepCount."""

_NUMBER: Final = r"(\d{1,12}(?:\.\d{1,9})?)"
_WEEKS: Final = rf"(?:{_NUMBER}W)?(?:{_NUMBER}D)?"
_TIME: Final = rf"(?:{_NUMBER}H)?(?:{_NUMBER}M)?(?:{_NUMBER}S)?"
_YEAR: Final = 365.2422 * 86_400
"""Seconds, as in gcloud."""

_DURATIONS: Final = (
    # After a P, M is months until the time begins, as in ISO 8601 and gcloud.
    (
        re.compile(rf"P(?:{_NUMBER}Y)?(?:{_NUMBER}M)?{_WEEKS}(?:(?:T|(?=[\d.]+[HS])){_TIME})?", re.IGNORECASE),
        (_YEAR, _YEAR / 12, 7 * 86_400, 86_400, 3_600, 60, 1),
    ),
    (re.compile(rf"(?:{_NUMBER}Y)?{_WEEKS}T?{_TIME}", re.IGNORECASE), (_YEAR, 7 * 86_400, 86_400, 3_600, 60, 1)),
)
"""Forms of a duration, and the seconds per unit of each of its numbers."""


class PolicyError(Exception):
    """Policies are invalid; the message says where, and why."""


def parse_policies(text: str) -> tuple[Policy, ...]:
    """Parse policies, and return them in the same order. Raises PolicyError."""
    try:
        values = json.loads(text, object_pairs_hook=unique_members)
    except (ValueError, RecursionError) as error:
        raise PolicyError(f"the policies are not JSON: {error}") from None
    if isinstance(values, dict):
        values = [_from_api(name, each) for name, each in values.items()]
    if not isinstance(values, list) or len(values) > MAX_POLICIES:
        raise PolicyError(f"the policies are not a list of at most {MAX_POLICIES}")
    policies = tuple(_policy(each, number) for number, each in enumerate(values, 1))
    names = [policy.name for policy in policies]
    duplicates = [name for index, name in enumerate(names) if name in names[:index]]
    if duplicates:
        raise PolicyError(f"two policies are named {duplicates[0]!r}")
    return policies


def parse_duration(text: Any, where: str) -> timedelta:
    """Parse a duration such as `30d`, `12h`, `1d12h`, `2592000s`, `2592000.0s`, `P30D` or `P1M`.

    Args:
        text: the value.
        where: what an error calls it.

    Raises:
        PolicyError: it is no duration, or too long.
    """
    for form, units in _DURATIONS:
        match = form.fullmatch(text) if isinstance(text, str) else None
        if match and any(match.groups()):
            numbers = [float(number or 0) for number in match.groups()]
            try:
                return timedelta(seconds=sum(map(operator.mul, numbers, units)))
            except OverflowError:
                raise PolicyError(f"{where} is too long a duration: {_quoted(text)}") from None
    raise PolicyError(f"{where} is not a duration such as 30d, 12h or 2592000s: {_quoted(text)}")


def _from_api(name: str, value: Any) -> Any:
    """Convert a policy from the API's form to that of a file."""
    if not isinstance(value, dict) or value.get("id", name) != name or "name" in value:
        raise PolicyError(f"policy {name!r} is not an object with the id {name!r}")
    return {field: each for field, each in value.items() if field != "id"} | {"name": name}


def _policy(value: Any, number: int) -> Policy:
    if not isinstance(value, dict) or not isinstance(value.get("name"), str) or not value["name"]:
        raise PolicyError(f"policy {number} is not an object with a name")
    where = f"policy {value['name']!r}"
    _refuse_unknown(value, {"name", "action", "condition", "mostRecentVersions", "immutableTags"}, where)
    deletes = _action(value.get("action"), where) == "delete"
    condition, recent = value.get("condition"), value.get("mostRecentVersions")
    if (condition is None) == (recent is None):
        raise PolicyError(f"{where} needs a condition or mostRecentVersions, and not both")
    immutable = value.get("immutableTags", False)
    if not isinstance(immutable, bool) or (immutable and not deletes):
        raise PolicyError(f"{where}: immutableTags is true or false, and true only with the action Delete")
    if recent is not None:
        if deletes:
            raise PolicyError(f"{where}: mostRecentVersions needs the action Keep")
        return _recent(value["name"], recent, f"{where}, mostRecentVersions")
    parsed = _condition(condition, f"{where}, condition")
    if deletes and parsed == Condition() and "tagState" not in (condition or {}):
        raise PolicyError(f'{where}: to delete all that no policy keeps, set "tagState": "any"')
    return Policy(value["name"], deletes, parsed, immutable=immutable)


def _action(value: Any, where: str) -> str:
    """Return `delete` or `keep`; a file has the action in an object, the API as a string."""
    kind = value.get("type") if isinstance(value, dict) and set(value) == {"type"} else value
    if not isinstance(kind, str) or kind.lower() not in ("delete", "keep"):
        raise PolicyError(f'{where}: the action is {{"type": "Delete"}} or {{"type": "Keep"}}, not {_quoted(value)}')
    return kind.lower()


def _recent(name: str, value: Any, where: str) -> Policy:
    if not isinstance(value, dict):
        raise PolicyError(f"{where} is not an object")
    _refuse_unknown(value, RECENT_FIELDS | {"keepCount"}, where)
    count = value.get("keepCount")
    if not isinstance(count, int) or isinstance(count, bool) or count < 1:
        raise PolicyError(f"{where}: keepCount is an integer of at least 1, not {_quoted(count)}")
    return Policy(name, False, Condition(**_lists(value, where)), keep_count=count)


def _condition(value: Any, where: str) -> Condition:
    if not isinstance(value, dict):
        raise PolicyError(f"{where} is not an object")
    _refuse_unknown(value, {*LIST_FIELDS, *AGE_FIELDS, "tagState"}, where)
    ages: dict[str, Any] = {
        ours: parse_duration(value[theirs], f"{where}, {theirs}")
        for theirs, ours in AGE_FIELDS.items()
        if value.get(theirs) is not None
    }
    return Condition(tag_state=_tag_state(value.get("tagState"), where), **_lists(value, where), **ages)


def _tag_state(value: Any, where: str) -> TagState:
    if value is None or value == "TAG_STATE_UNSPECIFIED":
        return TagState.ANY
    try:
        return TagState(value.lower())
    except (AttributeError, ValueError):
        raise PolicyError(f"{where}: tagState is tagged, untagged or any, not {_quoted(value)}") from None


def _lists(value: dict[str, Any], where: str) -> dict[str, Any]:
    fields = {}
    for theirs, ours in LIST_FIELDS.items():
        items = value.get(theirs)
        if items is None or (items == [] and theirs not in EXTENSION_FIELDS):
            continue
        if not isinstance(items, list) or not items or not all(isinstance(item, str) and item for item in items):
            raise PolicyError(f"{where}: {theirs} is a list of non-empty strings, not {_quoted(items)}")
        fields[ours] = tuple(items)
    return fields


def _refuse_unknown(value: dict[str, Any], known: Iterable[str], where: str) -> None:
    unknown = sorted(set(value) - set(known))
    if unknown:
        raise PolicyError(f"{where}: unknown field {unknown[0][:80]!r}; known are {', '.join(sorted(known))}")


def _quoted(value: Any) -> str:
    return json.dumps(value)[:80]

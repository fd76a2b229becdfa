"""Files of clean-up policies: Artifact Registry's JSON, and fields of our own.

It is taken as `gcloud artifacts repositories set-cleanup-policies` takes it, and as `list-cleanup-policies` and the API
give it back.

    [{"name": "…", "action": {"type": "Delete"}, "condition": {…}, "immutableTags": true},
     {"name": "…", "action": {"type": "Keep"}, "mostRecentVersions": {"keepCount": 10, …}}]

    condition            tagState, tagPrefixes, versionNamePrefixes, packageNamePrefixes, olderThan, newerThan,
                         moreStaleThan, and ours: tagGlobs, repositoryGlobs
    mostRecentVersions   keepCount, packageNamePrefixes, and ours: tagGlobs, repositoryGlobs

The API's form is an object of policies by name: `{"…": {"id": "…", "action": "DELETE", "condition": {…}}}`. A field
that is not known is refused: a condition that was misspelt would delete what it was meant to spare.
"""

import json
import operator
import re
from collections.abc import Iterable
from datetime import timedelta
from typing import Any, Final

from lading.registry.cleanup.policies import Condition, Policy, TagState

MAX_POLICIES: Final = 100
"""Artifact Registry takes 10 for a repository; here one file is for all of them."""

LIST_FIELDS: Final = {
    "tagPrefixes": "tag_prefixes",
    "tagGlobs": "tag_globs",
    "versionNamePrefixes": "version_prefixes",
    "packageNamePrefixes": "package_prefixes",
    "repositoryGlobs": "repository_globs",
}
EXTENSION_FIELDS: Final = frozenset({"tagGlobs", "repositoryGlobs"})
"""Of these an empty list is refused; Artifact Registry takes one of its own for none."""

AGE_FIELDS: Final = {"olderThan": "older_than", "newerThan": "newer_than", "moreStaleThan": "stale_for"}
RECENT_FIELDS: Final = frozenset({"packageNamePrefixes", "tagGlobs", "repositoryGlobs"})
"""What mostRecentVersions takes beside keepCount."""

_NUMBER: Final = r"(\d{1,12}(?:\.\d{1,9})?)"
_WEEKS: Final = rf"(?:{_NUMBER}W)?(?:{_NUMBER}D)?"
_TIME: Final = rf"(?:{_NUMBER}H)?(?:{_NUMBER}M)?(?:{_NUMBER}S)?"
_YEAR: Final = 365.2422 * 86_400
"""Seconds, as many as gcloud gives it."""

_DURATIONS: Final = (
    # Behind a P, M is months until the time begins, as ISO 8601 and gcloud have it.
    (
        re.compile(rf"P(?:{_NUMBER}Y)?(?:{_NUMBER}M)?{_WEEKS}(?:(?:T|(?=[\d.]+[HS])){_TIME})?", re.IGNORECASE),
        (_YEAR, _YEAR / 12, 7 * 86_400, 86_400, 3_600, 60, 1),
    ),
    (re.compile(rf"(?:{_NUMBER}Y)?{_WEEKS}T?{_TIME}", re.IGNORECASE), (_YEAR, 7 * 86_400, 86_400, 3_600, 60, 1)),
)
"""How a time is written, and the seconds of each of its numbers."""


class PolicyError(Exception):
    """A file of policies that cannot be taken; the message says where, and why."""


def parse_policies(text: str) -> tuple[Policy, ...]:
    """The policies of a file, in its order. Raises PolicyError."""
    try:
        found = json.loads(text, object_pairs_hook=_unique_members)
    except (ValueError, RecursionError) as error:
        raise PolicyError(f"the policies are not JSON: {error}") from None
    if isinstance(found, dict):
        found = [_from_api(name, each) for name, each in found.items()]
    if not isinstance(found, list) or len(found) > MAX_POLICIES:
        raise PolicyError(f"the policies are a list, of at most {MAX_POLICIES}")
    policies = tuple(_policy(each, number) for number, each in enumerate(found, 1))
    twice = [policy.name for at, policy in enumerate(policies) if policy.name in {each.name for each in policies[:at]}]
    if twice:
        raise PolicyError(f"two policies are named {twice[0]!r}")
    return policies


def parse_duration(text: Any, where: str) -> timedelta:
    """A time such as `30d`, `12h`, `1d12h`, `2592000s`, `2592000.0s`, `P30D` or `P1M`. Raises PolicyError."""
    for form, units in _DURATIONS:
        found = form.fullmatch(text) if isinstance(text, str) else None
        if found and any(found.groups()):
            numbers = [float(number or 0) for number in found.groups()]
            try:
                return timedelta(seconds=sum(map(operator.mul, numbers, units)))
            except OverflowError:
                raise PolicyError(f"{where} is too long a time: {_shown(text)}") from None
    raise PolicyError(f"{where} is not a time such as 30d, 12h or 2592000s: {_shown(text)}")


def _unique_members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise ValueError("a name stands twice in one object")
    return fields


def _from_api(name: str, value: Any) -> Any:
    """What the API gives, as it stands in a file."""
    if not isinstance(value, dict) or value.get("id", name) != name or "name" in value:
        raise PolicyError(f"policy {name!r} is not an object with the id {name!r}")
    return {each: found for each, found in value.items() if each != "id"} | {"name": name}


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
        raise PolicyError(f"{where}: immutableTags is true or false, and true only where the action is Delete")
    if recent is not None:
        if deletes:
            raise PolicyError(f"{where}: mostRecentVersions goes with the action Keep alone")
        return _recent(value["name"], recent, f"{where}, mostRecentVersions")
    meant = _condition(condition, f"{where}, condition")
    if deletes and meant == Condition() and "tagState" not in (condition or {}):
        raise PolicyError(f'{where}: to delete all that no policy keeps, say "tagState": "any"')
    return Policy(value["name"], deletes, meant, immutable=immutable)


def _action(value: Any, where: str) -> str:
    """`delete` or `keep`: a file has it in an object, the API as it is."""
    kind = value.get("type") if isinstance(value, dict) and set(value) == {"type"} else value
    if not isinstance(kind, str) or kind.lower() not in ("delete", "keep"):
        raise PolicyError(f'{where}: the action is {{"type": "Delete"}} or {{"type": "Keep"}}, not {_shown(value)}')
    return kind.lower()


def _recent(name: str, value: Any, where: str) -> Policy:
    if not isinstance(value, dict):
        raise PolicyError(f"{where} is not an object")
    _refuse_unknown(value, RECENT_FIELDS | {"keepCount"}, where)
    count = value.get("keepCount")
    if not isinstance(count, int) or isinstance(count, bool) or count < 1:
        raise PolicyError(f"{where}: keepCount is a number from 1, not {_shown(count)}")
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
        raise PolicyError(f"{where}: tagState is tagged, untagged or any, not {_shown(value)}") from None


def _lists(value: dict[str, Any], where: str) -> dict[str, Any]:
    found = {}
    for theirs, ours in LIST_FIELDS.items():
        items = value.get(theirs)
        if items is None or (items == [] and theirs not in EXTENSION_FIELDS):
            continue
        if not isinstance(items, list) or not items or not all(isinstance(item, str) and item for item in items):
            raise PolicyError(f"{where}: {theirs} is a list of texts, not {_shown(items)}")
        found[ours] = tuple(items)
    return found


def _refuse_unknown(value: dict[str, Any], known: Iterable[str], where: str) -> None:
    unknown = sorted(set(value) - set(known))
    if unknown:
        raise PolicyError(f"{where}: {unknown[0][:80]!r} is not known here; known are {', '.join(sorted(known))}")


def _shown(value: Any) -> str:
    return json.dumps(value)[:80]

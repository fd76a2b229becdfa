"""The rule `policies`: which of two values protects what either does, and which a namespace may have.

A value is lading.policies.policy_json. That package is imported only where there are policies.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Final

Table = Mapping[str, Any]

MODES: Final = {"audit": 0, "enforce": 1}
REACTIONS: Final = {"allow": 0, "deny": 1}


def check(text: str) -> None:
    """Raise ValueError if policies cannot be read, or are not written as lading.policies.policy_json writes them."""
    if not text:
        return
    from lading.policies.policy_json import policies_of, policies_text, values_of

    policies_of(text)
    if policies_text(values_of(text)) != text:
        raise ValueError("policies are sorted by their names, without spaces")


def check_in_namespace(text: str, namespace: str) -> None:
    """Raise ValueError if policies name a repository outside their namespace, whatever their exceptions are."""
    if not text:
        return
    from lading.policies.policy_json import policies_of

    for policy in policies_of(text):
        globs = [each.removeprefix("!") for each in policy.repositories]
        images = [each.repository for each in policy.exceptions]
        for each in (*globs, *images):
            if each != namespace and not each.startswith(f"{namespace}/"):
                raise ValueError(f"policy {policy.name} names {each}, which is not in the namespace {namespace}")


def strictest(old: str, new: str) -> str:
    """Return the policies of both. Of two with the same name, the new one only if it is stricter for sure."""
    if not old or not new:
        return old or new
    from lading.policies.policy_json import policies_text

    recorded, given = _by_name(old), _by_name(new)
    kept = {name: _stricter(each, given[name]) if name in given else each for name, each in recorded.items()}
    return policies_text([*(given | kept).values()])


def summary(text: str) -> str:
    """Return policies for people: the name and mode of each, and a part of a digest by which a change is seen."""
    tables = _by_name(text) if text else {}
    return ", ".join(f"{name} ({_mode(each)}, {_digest(each)})" for name, each in tables.items())


def _by_name(text: str) -> dict[str, Table]:
    return {str(each["name"]): each for each in json.loads(text)["policies"]}


def _mode(table: Table) -> str:
    return str(table.get("mode", "audit"))


def _digest(table: Table) -> str:
    return hashlib.sha256(json.dumps(table, sort_keys=True).encode()).hexdigest()[:8]


def _stricter(old: Table, new: Table) -> Table:
    """Return the new one of two policies if it differs from the old one by nothing but what makes it stricter."""
    comparisons = {
        "mode": MODES[_mode(new)] >= MODES[_mode(old)],
        "onError": REACTIONS[new.get("onError", "deny")] >= REACTIONS[old.get("onError", "deny")],
        "gateRollback": new.get("gateRollback", False) >= old.get("gateRollback", False),
        **{each: _is_part(new.get(each), old.get(each)) for each in ("exempt", "breakGlass", "exceptions")},
    }
    others = (old.keys() | new.keys()) - comparisons.keys()
    is_stricter = all(comparisons.values()) and all(old.get(each) == new.get(each) for each in others)
    return new if is_stricter else old


def _is_part(part: list[Any] | None, whole: list[Any] | None) -> bool:
    return all(each in (whole or []) for each in part or [])

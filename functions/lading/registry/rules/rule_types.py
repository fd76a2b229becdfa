"""The rules that the registry keeps, a row each: how a value is parsed, shown and compared.

A value is what a record stores: a tuple of patterns, a number of seconds, or a text. Of two values the stricter one
protects more; where neither does, `strictest` returns one that protects what either protects.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from lading.registry.rules import policy_rule
from lading.registry.rules.immutable import ImmutableTags
from lading.registry.rules.missing_content import SPARSE, URLS, MissingContent
from lading_storage.records.rules import RuleSet

Value = tuple[str, ...] | int | str

DEFAULT_UNDELETE: Final = timedelta(days=7)
DEFAULT_GRACE: Final = timedelta(hours=24)
MAX_PATTERNS: Final = 500
MAX_POLICIES: Final = 64 * 1024
"""Characters of the clean-up policies, and of the others: each change of a tag reads the record that contains them."""

MAX_SECONDS: Final = 100 * 365 * 86_400

SECONDS_PER_UNIT: Final = {"d": 86_400, "h": 3_600, "m": 60}


@dataclass(frozen=True, slots=True)
class RuleType:
    """A rule of the registry.

    Attributes:
        name: as in lading.toml; the field of the record has underscores.
        default: the value of a rule that is not set.
        check: raises ValueError, with a sentence without its beginning, if a value is not valid.
        strictest: returns the value that protects whatever one of two values protects.
        check_namespace: raises ValueError if the namespace with a name may not have the value, whatever the registry's
            is.
        follows_latest: whether a configuration without a serial replaces the value of an earlier one, rather than only
            making it stricter.
        neutral: the value that adds nothing to the registry's: that of a namespace without one, if it is not `default`.
        summary: returns a long text for people, or "".
    """

    name: str
    default: Value
    check: Callable[[Any], None]
    strictest: Callable[[Any, Any], Value]
    check_namespace: Callable[[Any, str], None]
    follows_latest: bool = False
    neutral: Value | None = None
    summary: Callable[[str], str] | None = None

    @property
    def field(self) -> str:
        """The field of the record."""
        return self.name.replace("-", "_")

    def of(self, rules: RuleSet | None) -> Value | None:
        """Return the value that rules set, or None if they do not set it."""
        if rules is None or self.name not in rules.given:
            return None
        value: Value = getattr(rules, self.field)
        return value

    def show(self, value: Value | None) -> str:
        """Return a value as text for people."""
        return show(self.summary(value) if self.summary and isinstance(value, str) else value)

    def loosens(self, before: Value | None, after: Value | None, *, in_namespace: bool = False) -> bool:
        """Return whether a change from one value to another, of the registry or a namespace, protects less.

        None is the default, or the neutral value in a namespace. Patterns of a namespace add to the neutral ones.
        """
        base = self.neutral if in_namespace and self.neutral is not None else self.default
        old, new = _added(base, before), _added(base, after)
        return _as_set(self.strictest(old, new)) != _as_set(new)


def _added(base: Value, value: Value | None) -> Value:
    if isinstance(base, tuple) and isinstance(value, tuple):
        return (*base, *value)
    return base if value is None else value


def _as_set(value: Value) -> frozenset[str] | int | str:
    return frozenset(value) if isinstance(value, tuple) else value


def show(value: Value | None) -> str:
    """Return a value as text for people."""
    match value:
        case None:
            return "not set"
        case tuple():
            return ", ".join(value) or "none"
        case int():
            return duration_text(value)
    return value or "none"


def duration_text(seconds: int) -> str:
    """Return a time as a setting has it: 7d, 12h, 30m or 45s."""
    unit = next((unit for unit, size in SECONDS_PER_UNIT.items() if seconds and seconds % size == 0), "s")
    return f"{seconds // SECONDS_PER_UNIT.get(unit, 1)}{unit}"


def _split(patterns: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the rules among patterns, and the exceptions."""
    return [each for each in patterns if not each.startswith("!")], [each for each in patterns if each.startswith("!")]


def _strictest_immutable(old: tuple[str, ...], new: tuple[str, ...]) -> tuple[str, ...]:
    """Return the rules of both, and the exceptions that both make."""
    (old_rules, old_exceptions), (new_rules, new_exceptions) = _split(old), _split(new)
    if not old_rules or not new_rules:
        return old if old_rules else new
    return (*dict.fromkeys(old_rules + new_rules), *(each for each in old_exceptions if each in new_exceptions))


def _strictest_missing(old: tuple[str, ...], new: tuple[str, ...]) -> tuple[str, ...]:
    """Return the permissions that both give, and the exceptions of both."""
    (old_rules, old_exceptions), (new_rules, new_exceptions) = _split(old), _split(new)
    rules = [each for each in old_rules if each in new_rules]
    return (*rules, *(dict.fromkeys(old_exceptions + new_exceptions) if rules else ()))


def _check_immutable(value: tuple[str, ...]) -> None:
    _check_patterns(value)
    ImmutableTags.parse(value)


def _check_missing(value: tuple[str, ...]) -> None:
    _check_patterns(value)
    MissingContent.of(value)


def _check_patterns(value: tuple[str, ...]) -> None:
    if any(not each.isprintable() for each in value):
        # Logs and messages print patterns as they are.
        raise ValueError("a pattern has characters that cannot be printed, which no name and no tag has")
    if len(value) > MAX_PATTERNS or any(len(each) > MAX_POLICIES // MAX_PATTERNS for each in value):
        raise ValueError(f"there are at most {MAX_PATTERNS} patterns, of {MAX_POLICIES // MAX_PATTERNS} characters")


def _check_seconds(value: int) -> None:
    if not 0 <= value <= MAX_SECONDS:
        raise ValueError("a time is at most 36500d")


def _check_cleanup(value: str) -> None:
    """Check the size and the form; what the policies say is checked by their own parser (configured_rules)."""
    if len(value) > MAX_POLICIES:
        raise ValueError(f"clean-up policies have at most {MAX_POLICIES} characters")
    if value and not isinstance(json.loads(value), list):
        raise ValueError("clean-up policies are an array")


def _check_mode(value: str) -> None:
    if value not in ("plan", "apply"):
        raise ValueError("the mode is plan or apply")


def _check_namespace_missing(value: tuple[str, ...], _: str) -> None:
    if any(not each.startswith("!") for each in value):
        raise ValueError("a namespace can only make exceptions (!REPOSITORY:sparse); the registry's rules allow more")


def _check_namespace_cleanup(value: str, _: str) -> None:
    if any(each.get("immutableTags") for each in json.loads(value or "[]") if isinstance(each, dict)):
        raise ValueError("only a policy of the whole registry may delete immutable tags")


def _check_namespace_mode(value: str, _: str) -> None:
    if value != "plan":
        raise ValueError("a namespace can only have the mode plan; the registry's rules decide whether to apply")


def _refuse_namespace(value: Value, _: str) -> None:
    raise ValueError("it applies to the whole registry, and a namespace has none of its own")


def _accept(value: Value, _: str) -> None:
    """Accept any value."""


RULE_TYPES: Final = (
    RuleType("immutable", (), _check_immutable, _strictest_immutable, _accept),
    RuleType(
        "allow-missing",
        (),
        _check_missing,
        _strictest_missing,
        _check_namespace_missing,
        neutral=(f"*:{URLS}", f"*:{SPARSE}"),
    ),
    RuleType("undelete", int(DEFAULT_UNDELETE.total_seconds()), _check_seconds, max, _accept, neutral=0),
    RuleType("grace", int(DEFAULT_GRACE.total_seconds()), _check_seconds, max, _refuse_namespace),
    RuleType("cleanup", "", _check_cleanup, lambda old, new: new, _check_namespace_cleanup, follows_latest=True),
    RuleType(
        "cleanup-mode",
        "plan",
        _check_mode,
        lambda old, new: min(old, new, key=("plan", "apply").index),
        _check_namespace_mode,
        follows_latest=True,
        neutral="apply",
    ),
    RuleType(
        "policies",
        "",
        policy_rule.check,
        policy_rule.strictest,
        policy_rule.check_in_namespace,
        summary=policy_rule.summary,
    ),
)
"""All rules, in the order in which they are shown."""

BY_NAME: Final = {each.name: each for each in RULE_TYPES}

IMMUTABLE, ALLOW_MISSING, UNDELETE, GRACE, CLEANUP, CLEANUP_MODE, POLICIES = RULE_TYPES

"""How a configuration, by its serial, and changes set the registry's rules."""

from dataclasses import dataclass
from typing import Any

import pytest

from lading.registry.rules.changes import (
    REGISTRY,
    RuleChange,
    RulesDocument,
    RulesError,
    RulesUpdate,
    Values,
    apply_configured,
    change_rules,
)
from lading.registry.rules.rule_types import BY_NAME
from lading_storage.records.rules import REGISTRY_RULES
from lading_storage.stores import Stores
from tests.support.fake_clock import FakeClock

DAY = 86_400
POLICIES = '[{"name":"old","action":{"type":"Delete"},"condition":{"olderThan":"30d"}}]'
OTHERS = POLICIES.replace("30d", "60d")


@dataclass
class Rules:
    """The rules of one registry, as starts and people set them."""

    stores: Stores
    clock: FakeClock

    def start(self, serial: int = 0, force: bool = False, **values: Any) -> RulesUpdate:
        document = RulesDocument({REGISTRY: _named(values)}, serial, force)
        return apply_configured(self.stores.metadata, document, "configuration", self.clock)

    def edit(self, scope: str = REGISTRY, by: str = "alice", **values: Any) -> RulesUpdate:
        return change_rules(self.stores.metadata, RulesDocument({scope: _named(values)}), by, self.clock)

    @property
    def now(self) -> Values:
        record = self.stores.metadata.read([REGISTRY_RULES])[REGISTRY_RULES]
        return {name: value for name, rule in BY_NAME.items() if (value := rule.of(record)) is not None}


def _named(values: dict[str, Any]) -> Values:
    return {name.replace("_", "-"): value for name, value in values.items()}


@pytest.fixture
def rules(stores: Stores) -> Rules:
    return Rules(stores, FakeClock())


def drifting(update: RulesUpdate) -> list[str]:
    return [each.rule for each in update.drift]


def test_a_higher_serial_replaces_all_values_and_a_lower_one_none(rules: Rules) -> None:
    rules.start(3, immutable=("*:v*",), undelete=30 * DAY)

    assert rules.start(4, immutable=("prod/*:v*",)).drift == ()
    assert rules.now == {"immutable": ("prod/*:v*",)}
    old = rules.start(3, immutable=("*:v*",), undelete=30 * DAY)
    assert rules.now == {"immutable": ("prod/*:v*",)}
    assert drifting(old) == ["immutable", "undelete"]
    assert drifting(rules.start(4, immutable=("prod/*:v*",))) == []
    assert rules.start(undelete=60 * DAY).changes == ()


def test_what_was_changed_elsewhere_stays_unless_forced(rules: Rules) -> None:
    rules.start(1, immutable=("*:v*",), grace=DAY)
    rules.edit(immutable=("*:v*", "*:stable"), grace=DAY)

    update = rules.start(2, immutable=("*:v*", "*:release"), grace=2 * DAY)

    assert rules.now == {"immutable": ("*:v*", "*:stable"), "grace": 2 * DAY}
    assert update.drift == (RuleChange(REGISTRY, "immutable", ("*:v*", "*:stable"), ("*:v*", "*:release")),)
    assert drifting(rules.start(2, force=True, immutable=("*:release",))) == []
    assert rules.now == {"immutable": ("*:release",)}
    assert drifting(rules.start(3, immutable=("*:x",))) == []


def test_what_was_reset_elsewhere_stays_so(rules: Rules) -> None:
    rules.start(1, immutable=("*:v*",))
    rules.edit()

    assert drifting(rules.start(2, immutable=("*:v*",))) == ["immutable"]
    assert drifting(rules.start(immutable=("*:v*",))) == ["immutable"]
    assert rules.now == {}


def test_without_a_serial_rules_only_become_stricter(rules: Rules) -> None:
    rules.start(immutable=("a:v*", "!a:v*-rc"), undelete=20 * DAY, allow_missing=("a:sparse", "b:sparse"))

    update = rules.start(immutable=("b:v*",), undelete=10 * DAY, grace=2 * DAY, allow_missing=("b:sparse", "c:urls"))

    assert rules.now == {
        "immutable": ("a:v*", "b:v*"),
        "undelete": 20 * DAY,
        "grace": 2 * DAY,
        "allow-missing": ("b:sparse",),
    }
    assert drifting(update) == ["immutable", "allow-missing", "undelete"]
    assert rules.start().changes == ()


def test_without_a_serial_clean_up_follows_the_latest_start(rules: Rules) -> None:
    rules.start(cleanup=POLICIES)
    rules.start(cleanup=OTHERS, cleanup_mode="apply")
    assert rules.now == {"cleanup": OTHERS, "cleanup-mode": "apply"}
    rules.edit(cleanup=POLICIES, cleanup_mode="plan")

    assert drifting(rules.start(cleanup=OTHERS, cleanup_mode="apply")) == ["cleanup", "cleanup-mode"]
    assert rules.now == {"cleanup": POLICIES, "cleanup-mode": "plan"}


def test_a_change_tells_its_author_and_number_and_a_retry_changes_nothing(rules: Rules) -> None:
    rules.start()
    first = rules.edit(immutable=("*:v*",))
    again = rules.edit(immutable=("*:v*",))

    record = rules.stores.metadata.read([REGISTRY_RULES])[REGISTRY_RULES]
    assert record is not None
    assert (record.by, record.number, record.changed) == ("alice", 2, rules.clock())
    assert (first.number, again.number, again.changes) == (2, 2, ())
    assert str(first.changes[0]) == "immutable: not set -> *:v*"
    assert rules.edit("team", undelete=30 * DAY).number == 3


def test_a_change_of_a_namespace_is_no_change_of_the_registry_by_its_author(rules: Rules) -> None:
    rules.edit(immutable=("*:v*",))
    before = rules.stores.metadata.read([REGISTRY_RULES])[REGISTRY_RULES]
    rules.clock.advance(hours=1)
    rules.edit("team", by="bob", undelete=30 * DAY)

    after = rules.stores.metadata.read([REGISTRY_RULES])[REGISTRY_RULES]
    assert before is not None
    assert after is not None
    assert (after.by, after.changed) == ("alice", before.changed)
    assert after.version != before.version


def test_a_dry_run_changes_nothing(rules: Rules) -> None:
    document = RulesDocument({REGISTRY: {"immutable": ("*:v*",)}, "team": {"undelete": 30 * DAY}})

    update = change_rules(rules.stores.metadata, document, "alice", rules.clock, dry_run=True)

    assert [(each.scope, each.rule) for each in update.changes] == [("team", "undelete"), ("", "immutable")]
    assert rules.now == {}


@pytest.mark.parametrize(
    ("rule", "before", "after", "loosens"),
    [
        ("immutable", None, ("*:v*",), False),
        ("immutable", ("*:v*",), None, True),
        ("immutable", ("*:v*",), ("*:v*", "!a:v*"), True),
        ("immutable", ("*:v*", "!a:v*"), ("*:v*",), False),
        ("allow-missing", None, ("a:sparse",), True),
        ("allow-missing", ("a:sparse",), ("a:sparse", "!a:sparse"), False),
        ("undelete", None, 6 * DAY, True),
        ("undelete", None, 7 * DAY, False),
        ("grace", 2 * DAY, DAY, True),
        ("cleanup-mode", None, "apply", True),
        ("cleanup-mode", "apply", "plan", False),
    ],
)
def test_what_protects_less_loosens(rule: str, before: Any, after: Any, loosens: bool) -> None:
    assert BY_NAME[rule].loosens(before, after) == loosens


@pytest.mark.parametrize(
    ("rule", "unset", "stricter"),
    [
        ("immutable", None, ("*:v*",)),
        ("allow-missing", None, ("!a:sparse",)),
        ("allow-missing", ("!a:sparse",), ("!a:sparse", "!b:urls")),
        # Below the registry's default, in a registry with a shorter window.
        ("undelete", None, 5 * DAY),
        ("cleanup-mode", None, "plan"),
    ],
)
def test_what_a_namespace_takes_back_loosens(rule: str, unset: Any, stricter: Any) -> None:
    assert not RuleChange("team", rule, unset, stricter).loosens
    assert RuleChange("team", rule, stricter, unset).loosens


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"immutable": ("*",)}, "REPOSITORY:TAG"),
        ({"immutable": ("a:b",) * 501}, "at most 500"),
        ({"immutable": ("a:b\naudit outcome=allowed",)}, "cannot be printed"),
        ({"immutable": ("a:\ud800",)}, "cannot be printed"),
        ({"allow-missing": ("a:b",)}, "urls"),
        ({"allow-missing": ("a\x1b[2J:urls",)}, "cannot be printed"),
        ({"undelete": -1}, "time"),
        ({"cleanup": "{}"}, "array"),
        ({"cleanup-mode": "x"}, "plan or apply"),
    ],
)
def test_wrong_values_are_refused(rules: Rules, values: Values, reason: str) -> None:
    for change in (change_rules, apply_configured):
        with pytest.raises(RulesError, match=reason):
            change(rules.stores.metadata, RulesDocument({REGISTRY: values}, 9), "alice", rules.clock)
    assert rules.now == {}

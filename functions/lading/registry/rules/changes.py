"""Changes of the registry's rules, and what a configuration makes of them.

    change_rules       a principal's change: it sets what a document says, and resets the rest of each table in it
    apply_configured   the configuration of a registry that starts, by its serial:
                         above the recorded one   its values replace the record's, except values that were changed
                                                  since by a change, which stay and are reported as drift
                         0, and none recorded     rules only become stricter; clean-up follows the latest start
                         otherwise                nothing changes, and differences are reported as drift

docs/decisions/003-rules-in-the-metadata-store.md has the reasons. Each change is one commit at the versions that were
read, and always writes the registry's record, which every other commit verifies (EffectiveRules.guard).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final

from lading.registry.change_context import Clock
from lading.registry.retry import retry_on_conflict
from lading.registry.rules.effective import check_known, undelete_of
from lading.registry.rules.rule_types import (
    BY_NAME,
    DEFAULT_UNDELETE,
    POLICIES,
    RULE_TYPES,
    UNDELETE,
    Value,
    duration_text,
)
from lading_storage.protocols import Create, MetadataStore, Replace, Write
from lading_storage.records.core import Key
from lading_storage.records.rules import REGISTRY_RULES, NamespaceRules, RegistryRules, RuleSet

Values = Mapping[str, Value]
"""Values of rules by name; a rule that is not in it is not set."""

REGISTRY: Final = ""
"""The scope of the registry's own rules; any other scope is a namespace."""


class RulesError(ValueError):
    """Rules that cannot be set; the message is a sentence that says why."""


@dataclass(frozen=True, slots=True)
class RulesDocument:
    """Rules as a file or a configuration gives them.

    Attributes:
        tables: the values by scope. A scope that is not in it is not changed.
        serial: the serial of a configuration, or 0.
        force: whether a configuration replaces all recorded values, whatever the serial is and whatever changed since.
    """

    tables: Mapping[str, Values]
    serial: int = 0
    force: bool = False


@dataclass(frozen=True, slots=True)
class RuleChange:
    """A value that differs: before and after a change, or recorded and configured. None: not set."""

    scope: str
    rule: str
    before: Value | None
    after: Value | None

    @property
    def loosens(self) -> bool:
        """Whether the later value protects less."""
        return BY_NAME[self.rule].loosens(self.before, self.after, in_namespace=self.scope != REGISTRY)

    def __str__(self) -> str:
        """Return the change as text: `team: immutable: none -> *:v*`."""
        scope, rule = f"namespace {self.scope}: " if self.scope else "", BY_NAME[self.rule]
        return f"{scope}{self.rule}: {rule.show(self.before)} -> {rule.show(self.after)}"


@dataclass(frozen=True, slots=True)
class RulesUpdate:
    """What a change did, or would do.

    Attributes:
        changes: the values that changed.
        drift: the recorded values that differ from the configuration, and stay.
        number: the number of changes of the registry's rules after this one.
        serial: the recorded serial after it.
        applied: False if a configuration was not applied, since its serial is not above the recorded one.
        policies: the registry's policies of images after it, if a configuration was applied or compared.
    """

    changes: Sequence[RuleChange] = ()
    drift: Sequence[RuleChange] = ()
    number: int = 0
    serial: int = 0
    applied: bool = True
    policies: str = ""


@dataclass(slots=True)
class _Draft:
    """New versions of the records, before they are committed."""

    now: datetime
    by: str
    writes: list[Write] = field(default_factory=list)
    changes: list[RuleChange] = field(default_factory=list)
    drift: list[RuleChange] = field(default_factory=list)
    number: int = 0
    serial: int = 0
    applied: bool = True


def change_rules(
    metadata: MetadataStore, document: RulesDocument, by: str, clock: Clock, *, dry_run: bool = False
) -> RulesUpdate:
    """Set the rules of each scope in a document to exactly what the document says.

    Args:
        metadata: of the registry.
        document: the rules; its serial does not count.
        by: who changes them.
        clock: returns the time of the change.
        dry_run: whether to change nothing.

    Raises:
        RulesError: a value is not valid, or a namespace has less protection than the registry.
        Unavailable: a newer release wrote the rules.
    """
    check_document(document)

    def attempt() -> RulesUpdate:
        draft, current = _read(metadata, document, by, clock)
        registry = current[REGISTRY]
        wanted = document.tables.get(REGISTRY, _values_of(registry))
        for scope, values in document.tables.items():
            if scope != REGISTRY:
                _check_floor(scope, values, wanted)
                _draft_namespace(draft, scope, current[scope], values)
        edited = {name for name in BY_NAME if wanted.get(name) != _values_of(registry).get(name)}
        _draft_registry(draft, registry, wanted, edited.union(registry.edited if registry else ()))
        return _commit(metadata, draft, dry_run)

    return retry_on_conflict(attempt)


def apply_configured(
    metadata: MetadataStore, document: RulesDocument, by: str, clock: Clock, *, dry_run: bool = False
) -> RulesUpdate:
    """Apply the registry's rules of a configuration, as its serial says; create the record if there is none.

    Args:
        metadata: of the registry.
        document: the configured rules, with their serial.
        by: who configures them.
        clock: returns the time of the change.
        dry_run: whether to change nothing.

    Raises:
        RulesError: a value is not valid.
        Unavailable: a newer release wrote the rules.
    """
    check_document(document)
    configured = document.tables.get(REGISTRY, {})

    def attempt() -> RulesUpdate:
        draft, current = _read(metadata, document, by, clock)
        registry = current[REGISTRY]
        wanted = _wanted(registry, configured, document)
        applied = document.force or registry is None or document.serial > registry.serial
        edited = set() if document.force or registry is None else set(registry.edited)
        if applied:
            edited = {name for name in edited if wanted.get(name) != configured.get(name)}
        serial = document.serial if applied else registry.serial if registry else 0
        _draft_registry(draft, registry, wanted, edited, serial)
        draft.applied = applied
        draft.drift = _drift(wanted, configured, document.serial)
        return replace(_commit(metadata, draft, dry_run), policies=str(wanted.get(POLICIES.name) or ""))

    return retry_on_conflict(attempt)


def lasting_undelete(rules: RuleSet) -> timedelta:
    """Return the undelete window that rules have for good."""
    default = DEFAULT_UNDELETE if isinstance(rules, RegistryRules) else timedelta(0)
    seconds = UNDELETE.of(rules)
    return timedelta(seconds=seconds) if isinstance(seconds, int) else default


def check_document(document: RulesDocument) -> None:
    """Raise RulesError unless all values of a document are valid."""
    for scope, values in document.tables.items():
        place = f"namespace {scope}: " if scope else ""
        for name, value in values.items():
            try:
                BY_NAME[name].check(value)
                if scope:
                    BY_NAME[name].check_namespace(value, scope)
            except ValueError as error:
                raise RulesError(f"{place}{name}: {error}") from None


def _read(
    metadata: MetadataStore, document: RulesDocument, by: str, clock: Clock
) -> tuple[_Draft, dict[str, RuleSet | None]]:
    """Return a new draft, and the current records by scope. Raises Unavailable."""
    keys: dict[str, Key[Any]] = {REGISTRY: REGISTRY_RULES}
    keys |= {scope: Key(NamespaceRules, scope) for scope in document.tables if scope != REGISTRY}
    found = metadata.read([*keys.values()])
    current: dict[str, RuleSet | None] = {scope: found[key] for scope, key in keys.items()}
    for rules in current.values():
        if rules is not None:
            check_known(rules)
    return _Draft(clock(found.read_at), by), current


def _wanted(registry: RuleSet | None, configured: Values, document: RulesDocument) -> dict[str, Value]:
    """Return the values of the registry's rules after a configuration was applied."""
    if registry is None or document.force:
        return dict(configured)
    serial = document.serial
    recorded = _values_of(registry)
    if serial > registry.serial:
        kept = {name: value for name, value in recorded.items() if name in registry.edited}
        return {name: value for name, value in configured.items() if name not in registry.edited} | kept
    if serial or registry.serial:
        return recorded
    for name, value in configured.items():
        if name in registry.edited:
            continue
        rule, current = BY_NAME[name], recorded.get(name)
        keeps_latest = current is None or rule.follows_latest
        recorded[name] = value if keeps_latest else rule.strictest(current, value)
    return recorded


def _drift(wanted: Values, configured: Values, serial: int) -> list[RuleChange]:
    """Return the differences; without a serial, only a configured value states anything."""
    names = BY_NAME if serial else [name for name in BY_NAME if name in configured]
    return [
        RuleChange(REGISTRY, name, wanted.get(name), configured.get(name))
        for name in names
        if wanted.get(name) != configured.get(name)
    ]


def _values_of(rules: RuleSet | None) -> dict[str, Value]:
    """Return the values that rules set, by name."""
    return {each.name: value for each in RULE_TYPES if (value := each.of(rules)) is not None}


def _draft_registry(
    draft: _Draft, current: RuleSet | None, wanted: Values, edited: set[str], serial: int | None = None
) -> None:
    """Add the registry's record: new, changed, or unchanged but with a new version if a namespace changes."""
    old = current or RegistryRules(id=REGISTRY_RULES.id, changed=draft.now)
    assert isinstance(old, RegistryRules)
    changes = _changes(REGISTRY, current, wanted)
    draft.changes += changes
    new = _with_values(draft, old, current, wanted)
    new = replace(new, edited=tuple(sorted(edited)), serial=old.serial if serial is None else serial)
    is_own = current is None or bool(changes) or (new.edited, new.serial) != (old.edited, old.serial)
    if is_own:
        new = replace(new, changed=draft.now, by=draft.by)
    if is_own or draft.changes:
        new = replace(new, number=old.number + 1)
        draft.writes.append(Create(new) if current is None else Replace(new))
    draft.number, draft.serial = new.number, new.serial


def _draft_namespace(draft: _Draft, scope: str, current: RuleSet | None, wanted: Values) -> None:
    changes = _changes(scope, current, wanted)
    if not changes:
        return
    draft.changes += changes
    old = current or NamespaceRules(id=scope, changed=draft.now)
    new = replace(_with_values(draft, old, current, wanted), number=old.number + 1, changed=draft.now, by=draft.by)
    draft.writes.append(Create(new) if current is None else Replace(new))


def _with_values(draft: _Draft, old: RuleSet, current: RuleSet | None, wanted: Values) -> RuleSet:
    """Return a record with the wanted values. A shorter undelete window applies once the former one has passed."""
    values: dict[str, Any] = {each.field: wanted.get(each.name, type(each.default)()) for each in RULE_TYPES}
    new = replace(old, given=tuple(sorted(wanted)), **values)
    if current is None:
        return new
    before, after = lasting_undelete(current), lasting_undelete(new)
    if after >= before:
        return new
    longest = undelete_of(current, draft.now) or before
    ends = max(filter(None, (current.former_until, draft.now + before)))
    return replace(new, former_undelete=int(longest.total_seconds()), former_until=ends)


def _changes(scope: str, current: RuleSet | None, wanted: Values) -> list[RuleChange]:
    recorded = _values_of(current)
    return [
        RuleChange(scope, name, recorded.get(name), wanted.get(name))
        for name in BY_NAME
        if recorded.get(name) != wanted.get(name)
    ]


def _check_floor(scope: str, values: Values, registry: Values) -> None:
    """Raise RulesError if a namespace's undelete window is shorter than the registry's."""
    own, floor = values.get(UNDELETE.name), registry.get(UNDELETE.name, UNDELETE.default)
    if isinstance(own, int) and isinstance(floor, int) and own < floor:
        raise RulesError(
            f"namespace {scope}: an undelete window of {duration_text(own)} is shorter than the registry's, which is"
            f" {duration_text(floor)}; a namespace can only have a longer one"
        )


def _commit(metadata: MetadataStore, draft: _Draft, dry_run: bool) -> RulesUpdate:
    if draft.writes and not dry_run:
        metadata.commit(draft.writes)
    changes, drift = tuple(draft.changes), tuple(draft.drift)
    return RulesUpdate(changes, drift, draft.number, draft.serial, draft.applied)

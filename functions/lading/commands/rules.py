"""`lading rules apply` and `lading rules show`: the rules that the registry keeps in its metadata store."""

import argparse
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from lading.commands.options import (
    STORES,
    CommandError,
    Commands,
    add,
    add_group,
    add_yes,
    change_context,
    confirm,
    metadata,
    reference,
    refuse_standby,
    registry_errors,
)
from lading.commands.output import Column, Printer, add_output_options, format_time
from lading.commands.source import add_registry_options, refuse_stores
from lading.quantity import counted
from lading.settings import SETTINGS, Settings

if TYPE_CHECKING:
    from lading.commands.http_rules import HttpRules
    from lading.registry.rules.changes import RuleChange, RulesUpdate
    from lading.registry.rules.rule_types import RuleType
    from lading_storage.records.rules import RuleSet

    Change = Callable[[bool], RulesUpdate]
    """Applies the rules of a file, or with True only returns what would change."""

RULE_OPTIONS: Final = tuple(each.option for each in SETTINGS if each.section == "rules")


@dataclass(frozen=True, slots=True)
class RuleRow:
    """Rule that is set, or the default of one that is not.

    scope       "" for the whole registry, else the namespace
    source      configuration, change or default
    by          who made the last change of the scope's rules, and when
    configured  what the configuration that this command read sets instead, or ""
    in_effect   what applies until a former, longer undelete window has passed, or ""
    """

    scope: str
    rule: str
    value: str
    source: str
    by: str
    configured: str
    in_effect: str


@dataclass(frozen=True, slots=True)
class RuleChangeRow:
    """Rule that was changed, or with --dry-run would be; `loosens` tells that it protects less."""

    scope: str
    rule: str
    before: str
    after: str
    loosens: bool


COLUMNS: Final[tuple[Column[RuleRow], ...]] = (
    Column("SCOPE", lambda row: row.scope or "registry"),
    Column("RULE", lambda row: row.rule),
    Column("VALUE", lambda row: row.value),
    Column("IN EFFECT", lambda row: row.in_effect),
    Column("SOURCE", lambda row: row.source),
    Column("CONFIGURED", lambda row: row.configured),
    Column("CHANGED", lambda row: row.by),
)

CHANGE_COLUMNS: Final[tuple[Column[RuleChangeRow], ...]] = (
    Column("SCOPE", lambda row: row.scope or "registry"),
    Column("RULE", lambda row: row.rule),
    Column("BEFORE", lambda row: row.before),
    Column("AFTER", lambda row: row.after),
    Column("PROTECTS", lambda row: "less" if row.loosens else ""),
)


def add_to(commands: Commands) -> None:
    """Add the commands."""
    group = add_group(commands, "rules", "the rules that belong to the registry: immutable tags, windows, policies")
    apply = add(group, "apply", "set the rules of a file, and print what changes", _apply, STORES)
    apply.add_argument("file", metavar="FILE", help="TOML with [rules] and [namespaces.NAME], as in lading.toml")
    apply.add_argument("--dry-run", action="store_true", help="print what would change, and change nothing")
    apply.add_argument(
        "--force",
        action="store_true",
        help="apply a file with a serial whatever the recorded serial is, and replace what was changed since",
    )
    add_yes(apply)
    add_registry_options(apply)
    add_output_options(apply, RuleChangeRow)
    show = add(group, "show", "show the rules, and where each comes from", _show, (*STORES, *RULE_OPTIONS))
    show.add_argument("repository", nargs="?", metavar="REPOSITORY", default="", help="only what applies to it")
    add_registry_options(show)
    add_output_options(show, RuleRow)


def _apply(parsed: argparse.Namespace, settings: Settings) -> None:
    from lading.registry.rules.changes import RulesError

    printer = Printer.of(parsed)
    try:
        with registry_errors():
            change = _store_change(parsed, settings) if parsed.registry is None else _http_change(parsed)
            planned = change(True)
            loosening = [str(each) for each in planned.changes if each.loosens]
            if loosening and not parsed.dry_run:
                confirm(parsed, f"This protects less than before: {'; '.join(loosening)}. Continue?")
            update = planned if parsed.dry_run else change(False)
    except RulesError as error:
        raise CommandError(str(error)) from None
    printer.table(CHANGE_COLUMNS, map(_change_row, update.changes))
    would = "would change" if parsed.dry_run else "changed"
    printer.note(f"{counted(len(update.changes), 'rule')} {would}; this is version {update.number}")
    for difference in update.drift:
        printer.note(f"stays, since it was changed elsewhere (recorded -> FILE): {difference}; --force replaces it")


def _store_change(parsed: argparse.Namespace, settings: Settings) -> "Change":
    """Return the function that applies the file to the stores; the audit has what it changes. Raises CommandError."""
    from dataclasses import replace

    from lading import logs
    from lading.configured_rules import audit_changes
    from lading.rules_file import apply_document, read_rules

    refuse_standby(settings)
    logs.start(settings.log, settings.project, settings.log_level)
    store, by = metadata(settings), change_context("rules").actor

    def change(dry_run: bool) -> "RulesUpdate":
        document = replace(read_rules(Path(parsed.file)), force=parsed.force)
        update = apply_document(store, document, parsed.file, by, dry_run=dry_run)
        if not dry_run:
            audit_changes(update, by)
        return update

    return change


def _http_change(parsed: argparse.Namespace) -> "Change":
    """Return the function that applies the file over HTTP. Raises CommandError."""
    rules = _http_rules(parsed)
    return lambda dry_run: rules.apply(Path(parsed.file), parsed.force, dry_run)


def _http_rules(parsed: argparse.Namespace) -> "HttpRules":
    from lading.commands.http_rules import HttpRules
    from lading.commands.http_source import open_connection

    refuse_stores(parsed)
    return HttpRules(open_connection(parsed))


def _change_row(change: "RuleChange") -> RuleChangeRow:
    from lading.registry.rules.rule_types import BY_NAME

    rule = BY_NAME[change.rule]
    return RuleChangeRow(change.scope, change.rule, rule.show(change.before), rule.show(change.after), change.loosens)


def _show(parsed: argparse.Namespace, settings: Settings) -> None:
    from lading.registry.rules.effective import namespace_of
    from lading.registry.rules.stored_rules import StoredRules

    registry: RuleSet | None
    namespaces: Mapping[str, RuleSet]
    scope = namespace_of(reference(parsed.repository, parsed.registry).repository) if parsed.repository else None
    if parsed.registry is not None:
        with registry_errors():
            registry, namespaces = _http_rules(parsed).read()
    else:
        rules = StoredRules(metadata(settings, upgrade=False)).read_all()
        registry, namespaces = rules.registry, rules.namespaces
    printer = Printer.of(parsed)
    printer.table(COLUMNS, _registry_rows(registry, settings))
    for name, namespace in sorted(namespaces.items()):
        if scope in (None, name):
            printer.table(COLUMNS, _namespace_rows(namespace))


def _registry_rows(registry: "RuleSet | None", settings: Settings) -> Iterator[RuleRow]:
    from lading.configured_rules import configured_rules
    from lading.registry.rules.changes import REGISTRY
    from lading.registry.rules.rule_types import RULE_TYPES

    configured = configured_rules(settings).tables[REGISTRY]
    for rule in RULE_TYPES:
        recorded, wanted = rule.of(registry), configured.get(rule.name)
        differs = rule.name in configured and wanted != recorded
        yield _row("", rule, registry, rule.show(wanted) if differs else "")


def _namespace_rows(namespace: "RuleSet") -> Iterator[RuleRow]:
    from lading.registry.rules.rule_types import RULE_TYPES

    rows = (_row(namespace.id, rule, namespace) for rule in RULE_TYPES)
    return (row for row, rule in zip(rows, RULE_TYPES, strict=True) if row.in_effect or rule.of(namespace) is not None)


def _row(scope: str, rule: "RuleType", rules: "RuleSet | None", configured: str = "") -> RuleRow:
    value = rule.of(rules)
    edited = rules is not None and (bool(scope) or rule.name in rules.edited)
    source = "default" if value is None and not edited else "change" if edited else "configuration"
    by = f"{rules.by}, {format_time(rules.changed)}" if rules is not None and source != "default" else ""
    shown = rule.show(rule.default if value is None and not scope else value)
    return RuleRow(scope, rule.name, shown, source, by, configured, _former(rule, rules))


def _former(rule: "RuleType", rules: "RuleSet | None") -> str:
    """Return the former undelete window while it applies, or "": also where the present one is as long."""
    from lading.registry.change_context import now
    from lading.registry.rules.changes import lasting_undelete
    from lading.registry.rules.rule_types import UNDELETE, duration_text

    if rule is not UNDELETE or rules is None or rules.former_until is None or now() >= rules.former_until:
        return ""
    if rules.former_undelete <= lasting_undelete(rules).total_seconds():
        return ""
    return f"{duration_text(rules.former_undelete)} until {format_time(rules.former_until)}"

"""`lading policy`: check and try policies of images in a file, and show those in effect."""

import argparse
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from lading.commands import break_glass, policy_trial
from lading.commands.options import (
    STORES,
    CommandError,
    Commands,
    add,
    add_group,
    metadata,
    reference,
    registry_errors,
)
from lading.commands.output import Column, Printer, add_output_options
from lading.commands.policy_files import read_policies
from lading.commands.source import add_registry_options, refuse_stores
from lading.settings import Settings

if TYPE_CHECKING:
    from lading.registry.rules.effective import EffectiveRules
    from lading_storage.records.rules import RuleSet


@dataclass(frozen=True, slots=True)
class PolicyRow:
    """Policy of a file, or in effect.

    scope        "" for the whole registry, else the namespace; "" of a file
    mode         enforce or audit
    description  what it requires, in sentences
    warnings     what to know before it applies; () of policies in effect
    policy       as a file has it
    """

    scope: str
    name: str
    mode: str
    repositories: tuple[str, ...]
    description: str
    warnings: tuple[str, ...]
    policy: Mapping[str, Any]


COLUMNS: Final[tuple[Column[PolicyRow], ...]] = (
    Column("POLICY", lambda row: row.name),
    Column("MODE", lambda row: row.mode),
    Column("MEANING", lambda row: row.description),
)


def add_to(commands: Commands) -> None:
    """Add the commands."""
    group = add_group(commands, "policy", "policies of images: signatures, scans, age")
    check = add(group, "check", "check a file of policies, and print what they mean", _check, ())
    check.add_argument("file", metavar="FILE", help="policies in TOML, JSON or YAML")
    add_output_options(check, PolicyRow)
    show = add(group, "show", "show the policies in effect", _show, STORES)
    show.add_argument("repository", nargs="?", metavar="REPOSITORY", default="", help="only those that name it")
    add_registry_options(show)
    add_output_options(show, PolicyRow)
    policy_trial.add_to(group)
    break_glass.add_to(group)
    add(group, "schema", "print the JSON schema of a file of policies, for editors", _schema, ())


def _check(parsed: argparse.Namespace, settings: Settings) -> None:
    """Check a file, without a registry."""
    from lading.policies.description import warnings
    from lading.policies.policy_json import policies_of
    from lading.policies.signer_checks import expired_certificates, expiring_certificates
    from lading.registry.change_context import now

    text, time = read_policies(parsed.file), now()
    policies = policies_of(text)
    if expired := [*expired_certificates(policies, time)]:
        raise CommandError("; ".join(expired))
    printer = Printer.of(parsed)
    rows = [*_rows("", text, lambda policy: warnings(policy, time))]
    printer.table(COLUMNS, rows)
    for row in rows:
        for warning in row.warnings:
            printer.note(f"warning: policy {row.name}: {warning}")
    for warning in expiring_certificates(policies, time):
        printer.note(f"warning: {warning}")
    printer.note(f"the file can be used: {len(rows)} {'policy' if len(rows) == 1 else 'policies'}")


def _schema(parsed: argparse.Namespace, settings: Settings) -> None:
    import json

    from lading.policies.policy_schema import schema

    print(json.dumps(schema(), indent=2))


def _show(parsed: argparse.Namespace, settings: Settings) -> None:
    """Show the policies that the registry's rules and those of namespaces have."""
    printer = Printer.of(parsed)
    name = reference(parsed.repository, parsed.registry).repository if parsed.repository else ""
    rows = [row for rules in _rules(parsed, settings, name) for row in _rows_of(rules, name)]
    printer.table(COLUMNS, rows)
    if not rows:
        printer.note(f"no policy names {name}" if name else "there are no policies")


def _rules(parsed: argparse.Namespace, settings: Settings, repository: str) -> "Iterable[RuleSet]":
    """Return the rules of the registry and of namespaces, or those that are in effect in a repository."""
    from lading.registry.rules.stored_rules import StoredRules

    if parsed.registry is None:
        rules = StoredRules(metadata(settings, upgrade=False)).read_all()
        if repository:
            return _both(rules.of(repository))
        return [*([rules.registry] if rules.registry else []), *rules.namespaces.values()]
    from lading.commands.http_rules import HttpRules
    from lading.commands.http_source import open_connection

    refuse_stores(parsed)
    with registry_errors():
        http = HttpRules(open_connection(parsed))
        if repository:
            return _both(http.effective(repository))
        registry, namespaces = http.read()
        return [*([registry] if registry else []), *namespaces.values()]


def _both(rules: "EffectiveRules") -> "list[RuleSet]":
    return [each for each in (rules.registry, rules.namespace) if each is not None]


def _rows_of(rules: "RuleSet", repository: str) -> Iterator[PolicyRow]:
    """Return the rows of the policies of some rules that name a repository, or of all."""
    from lading.registry.rules.rule_types import POLICIES
    from lading_storage.records.rules import NamespaceRules

    text = str(POLICIES.of(rules) or "")
    scope = rules.id if isinstance(rules, NamespaceRules) else ""
    try:
        yield from (each for each in _rows(scope, text) if not repository or _names(each, repository))
    except ValueError as error:
        raise CommandError(f"the policies of {scope or 'the registry'} cannot be read: {error}") from None


def _names(row: PolicyRow, repository: str) -> bool:
    from lading.policies.policy import matches_any

    return matches_any(row.repositories, repository)


def _rows(scope: str, text: str, warnings: Any = lambda policy: ()) -> Iterator[PolicyRow]:
    """Yield the rows of policies as a rule has them. Raises ValueError."""
    from lading.policies.description import description
    from lading.policies.policy_json import policies_of, values_of

    for policy, value in zip(policies_of(text, scope), values_of(text), strict=True):
        yield PolicyRow(
            scope, policy.name, policy.mode, policy.repositories, description(policy), tuple(warnings(policy)), value
        )

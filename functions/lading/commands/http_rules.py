"""The rules of a registry over HTTP (docs/rules.md), as `lading rules` reads and changes them."""

import tomllib
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from lading.client.connection import NO_TOKEN, Connection
from lading.client.errors import ClientError
from lading.commands.http_listing import below
from lading.config_file import ConfigError, read_text
from lading.json_values import parse_time
from lading.registry.rules.changes import RuleChange, RulesError, RulesUpdate, Values
from lading.registry.rules.effective import EffectiveRules, namespace_of
from lading.registry.rules.rule_types import BY_NAME, POLICIES, UNDELETE, Value
from lading.rules_file import NAMESPACES, RULES, document_of, own_policies
from lading_storage.records.rules import REGISTRY_RULES, NamespaceRules, RegistryRules

PATH: Final = "/v2/_lading/rules"

UNKNOWN_TIME: Final = datetime.min.replace(tzinfo=UTC)
"""When rules were changed that are read without their last change."""


class HttpRules:
    """Rules over HTTP. Each method raises RegistryError, and ClientError as Source does."""

    def __init__(self, connection: Connection) -> None:
        """Make requests over `connection`."""
        self._connection = connection

    def read(self) -> tuple[RegistryRules | None, dict[str, NamespaceRules]]:
        """Return the rules of the registry, and of each namespace, with their last changes."""
        found = self._request("GET", PATH, {})
        registry = RegistryRules(id=REGISTRY_RULES.id, **self._record(found)) if "number" in found else None
        return registry, {name: self._namespace(name) for name in self._names(found.get(NAMESPACES))}

    def effective(self, repository: str) -> EffectiveRules:
        """Return the rules in effect in a repository, without those of the server's process."""
        path, scope = below(repository, "rules")
        found = self._connection.request("GET", path, scope, {})
        if not isinstance(found, dict):
            raise self._wrong("it is no object")
        own, namespace = self._fields(found.get(RULES)), self._fields(found.get("namespace"))
        return EffectiveRules(
            repository,
            RegistryRules(id=REGISTRY_RULES.id, changed=UNKNOWN_TIME, **own),
            NamespaceRules(id=namespace_of(repository), changed=UNKNOWN_TIME, **namespace),
        )

    def apply(self, file: Path, force: bool, dry_run: bool) -> RulesUpdate:
        """Set the rules of a file. Raises RulesError where it cannot be read."""
        flags = {"force": "true" if force else "", "dry-run": "true" if dry_run else ""}
        found = self._request("PUT", PATH, flags, _tables_of(file))
        changes, drift = (tuple(map(self._change, found.get(name) or ())) for name in ("changes", "drift"))
        number = found.get("number")
        return RulesUpdate(changes, drift, number if isinstance(number, int) else 0)

    def _names(self, namespaces: Any) -> Iterable[str]:
        """Return the names of namespaces, which become part of paths."""
        if not namespaces:
            return ()
        try:
            return document_of({NAMESPACES: {name: {} for name in namespaces}}, "the response").tables
        except (RulesError, TypeError) as error:
            raise self._wrong(str(error)) from None

    def _namespace(self, name: str) -> NamespaceRules:
        return NamespaceRules(id=name, **self._record(self._request("GET", f"{PATH}/{name}/", {})))

    def _request(self, method: str, path: str, query: Mapping[str, str], body: Any = None) -> dict[str, Any]:
        found = self._connection.request(method, path, NO_TOKEN, query, body)
        if not isinstance(found, dict):
            raise self._wrong("it is no object")
        return found

    def _record(self, found: Mapping[str, Any]) -> dict[str, Any]:
        """Return the fields of a record of rules."""
        rules = self._fields(found.get(RULES))
        try:
            fields: dict[str, Any] = {
                "changed": parse_time(found["changed"]),
                "by": str(found["by"] or ""),
                "edited": tuple(map(str, found["edited"])),
            }
            if "until" in found:
                fields["former_until"] = parse_time(found["until"])
        except KeyError as error:
            raise self._wrong(f"it has no {error.args[0]}") from None
        except (TypeError, ValueError) as error:
            raise self._wrong(f"{error}") from None
        if "former_undelete" in found:
            fields["former_undelete"] = self._value(UNDELETE.name, found["former_undelete"])
        return fields | rules

    def _fields(self, rules: Any) -> dict[str, Any]:
        """Return the fields of a record that its rules set."""
        values = self._values(rules)
        return {"given": tuple(sorted(values))} | {BY_NAME[name].field: value for name, value in values.items()}

    def _values(self, values: Any) -> Values:
        """Return rules from their form in JSON."""
        try:
            return document_of({RULES: values}, "the response").tables[""] if values else {}
        except RulesError as error:
            raise self._wrong(str(error)) from None

    def _value(self, rule: str, value: Any) -> Value | None:
        return None if value is None else self._values({rule: value}).get(rule)

    def _change(self, found: Any) -> RuleChange:
        if not isinstance(found, dict) or found.get("rule") not in BY_NAME:
            raise self._wrong("it has an unknown rule")
        rule, scope = found["rule"], found.get("scope")
        before, after = (self._value(rule, found.get(name)) for name in ("before", "after"))
        return RuleChange(str(scope or ""), rule, before, after)

    def _wrong(self, reason: str) -> ClientError:
        return ClientError(f"the response of {self._connection.host} cannot be used: {reason}")


def _tables_of(file: Path) -> dict[str, Any]:
    """Return the sections of rules in a file. Raises RulesError."""
    try:
        tables = tomllib.loads(read_text(file))
    except ConfigError as error:
        raise RulesError(str(error)) from None
    except (ValueError, RecursionError) as error:
        raise RulesError(f"{file} is not TOML: {error}") from None
    found: dict[str, Any] = {name: tables[name] for name in (RULES, NAMESPACES) if name in tables}
    return _with_policies(found, file)


def _with_policies(tables: dict[str, Any], file: Path) -> dict[str, Any]:
    """Return the sections of rules with what the files of their policies contain. Raises RulesError."""
    if POLICIES.name in tables and not isinstance(tables[POLICIES.name], dict):
        from lading.commands.kms_keys import public_key

        name, folder = f"{file}", file.absolute().parent
        return tables | {POLICIES.name: own_policies(tables, name, folder, public_key)}
    return {name: _with_policies(each, file) if isinstance(each, dict) else each for name, each in tables.items()}

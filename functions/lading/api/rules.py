"""The rules of the registry, an API of Lading's own (docs/rules.md).

    GET, PUT /v2/_lading/rules               all rules; the right to manage the registry
    GET, PUT /v2/_lading/rules/<namespace>/  those of a namespace; the right to manage it
    GET      /v2/_lading/<name>/rules        those in effect in a repository; the right to push to it

A PUT sets each section of its body as a whole, as `lading rules apply` does with a file, and returns what it changed.
With `?dry-run=true` it changes nothing, and `?force=true` applies a configuration whatever its serial is.

    {"rules": {"immutable": ["prod/*:v*"], "undelete": "30d"}, "namespaces": {"team": {"undelete": "60d"}}}

The body of a namespace is its section alone: {"undelete": "60d"}.
"""

import json
from dataclasses import replace
from typing import Any, Final

from lading.configured_rules import log_changes
from lading.http.responses import Response, json_response
from lading.registry.change_context import now
from lading.registry.changes import Change
from lading.registry.errors import RULES_INVALID, RegistryError
from lading.registry.rules.changes import RuleChange, RulesError
from lading.registry.rules.rule_types import CLEANUP, POLICIES, RULE_TYPES, Value, duration_text
from lading.rules_file import NAMESPACES, RULES, apply_document, document_of
from lading.surface.request_context import RequestContext
from lading_storage.records.rules import RuleSet

MAX_BODY: Final = 256 * 1024
"""Bytes of a PUT: policies have at most 64 KiB in each section, and clean-up policies as many."""

DRY_RUN: Final = "dry-run"
FORCE: Final = "force"
FLAGS: Final = (DRY_RUN, FORCE)
"""Parameters of a PUT, each `true` or `false`."""


def all_rules(context: RequestContext) -> Response:
    """rules: return all rules, in the form in which a PUT sets them, with their last change."""
    rules = context.registry.rules.read_all()
    namespaces = {name: _values(each) for name, each in sorted(rules.namespaces.items())}
    return json_response({RULES: _values(rules.registry), NAMESPACES: namespaces, **_change(rules.registry)})


def change_all_rules(context: RequestContext) -> Response:
    """Change rules: set the rules of each section of the body."""
    return _apply(context, _read_body(context))


def namespace_rules(context: RequestContext) -> Response:
    """Namespace rules: return the rules of a namespace."""
    namespace = context.name.rstrip("/")
    rules = context.registry.rules.read_all().namespaces.get(namespace)
    return json_response({"namespace": namespace, RULES: _values(rules), **_change(rules)})


def change_namespace_rules(context: RequestContext) -> Response:
    """Change namespace rules: set the rules of a namespace."""
    return _apply(context, {NAMESPACES: {context.name.rstrip("/"): _read_body(context)}})


def effective_rules(context: RequestContext) -> Response:
    """Effective rules: return the rules that apply to a repository."""
    rules = context.registry.rules.read(context.name)
    window = duration_text(int(rules.undelete(now()).total_seconds()))
    own = {RULES: _values(rules.registry), "namespace": _values(rules.namespace)}
    return json_response({"name": context.name, "undelete": window, **own})


def _read_body(context: RequestContext) -> dict[str, Any]:
    """Return the JSON object of a request. Raises RULES_INVALID."""
    body = context.body.read(MAX_BODY)
    if body is None:
        raise RegistryError(RULES_INVALID, {"reason": f"the body has more than {MAX_BODY} bytes"})
    try:
        parsed = json.loads(body)
    except (ValueError, RecursionError):
        parsed = None
    if not isinstance(parsed, dict):
        raise RegistryError(RULES_INVALID, {"reason": "the body is not a JSON object"})
    return parsed


def _apply(context: RequestContext, tables: dict[str, Any]) -> Response:
    dry_run, force = _flags(context)
    try:
        document = replace(document_of(tables, "the request"), force=force)
        by = context.caller.principal
        update = apply_document(context.registry.metadata, document, "the request", by, dry_run=dry_run)
    except RulesError as error:
        raise RegistryError(RULES_INVALID, {"reason": str(error)}) from None
    if update.changes and not dry_run:
        context.audit.record_change(Change("rules-changed"))
        log_changes(update, by)
    changes, drift = [*map(_change_as_json, update.changes)], [*map(_change_as_json, update.drift)]
    return json_response({"changes": changes, "drift": drift, "number": update.number})


def _flags(context: RequestContext) -> tuple[bool, bool]:
    """Return whether a request is a dry run, and whether it has force. A misspelled dry run must change nothing."""
    given = context.request.args
    for name, value in given.items():
        if name not in FLAGS or value not in ("", "true", "false"):
            reason = f"the query {name}={value} is neither {' nor '.join(f'{each}=true' for each in FLAGS)}"
            raise RegistryError(RULES_INVALID, {"reason": reason})
    return given.get(DRY_RUN) == "true", given.get(FORCE) == "true"


def _change_as_json(change: RuleChange) -> dict[str, Any]:
    before, after = (None if each is None else _plain(change.rule, each) for each in (change.before, change.after))
    return {
        "scope": change.scope or None,
        "rule": change.rule,
        "before": before,
        "after": after,
        "loosens": change.loosens,
    }


def _values(rules: RuleSet | None) -> dict[str, Any]:
    """Return the rules that are set, as a PUT takes them."""
    return {each.name: _plain(each.name, value) for each in RULE_TYPES if (value := each.of(rules)) is not None}


def _plain(name: str, value: Value) -> Any:
    """Return a value in JSON: lists of patterns, times as text, policies as an array."""
    if name == CLEANUP.name:
        return json.loads(str(value) or "[]")
    if name == POLICIES.name:
        return json.loads(str(value))["policies"] if value else []
    match value:
        case tuple():
            return list(value)
        case int():
            return duration_text(value)
    return value


def _change(rules: RuleSet | None) -> dict[str, Any]:
    """Return who changed rules last, and what applies until a former undelete window has passed."""
    if rules is None:
        return {}
    former = {}
    if rules.former_until is not None and now() < rules.former_until:
        former = {"former_undelete": duration_text(rules.former_undelete), "until": rules.former_until.isoformat()}
    changed = {"by": rules.by or None, "changed": rules.changed.isoformat(), "edited": list(rules.edited)}
    return {"number": rules.number, "serial": rules.serial, **changed, **former}

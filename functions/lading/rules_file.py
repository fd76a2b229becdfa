"""Rules as a file or a JSON body gives them: lading.toml's section [rules], and [namespaces.NAME] for namespaces.

    [rules]
    serial = 3                      # optional: see lading.registry.rules.changes
    immutable = ["prod/*:v*"]

    [namespaces.team]
    undelete = "30d"

Other sections of a lading.toml are checked and not used, so that a registry's own configuration is such a file.
"""

import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from lading.config_file import ConfigError, config_of, read_text
from lading.configured_rules import configured_rules
from lading.registry.change_context import now
from lading.registry.errors import RegistryError
from lading.registry.names import check_repository
from lading.registry.rules.changes import (
    REGISTRY,
    RulesDocument,
    RulesError,
    RulesUpdate,
    Values,
    apply_configured,
    change_rules,
    check_document,
)
from lading.registry.rules.rule_types import POLICIES
from lading.settings import SETTINGS, SettingsError, settings_of
from lading_storage.protocols import MetadataStore

RULES: Final = "rules"
NAMESPACES: Final = "namespaces"


def read_rules(path: Path) -> RulesDocument:
    """Read a file of rules. Raises RulesError, with a message that names the file."""
    try:
        text = read_text(path)
        tables = tomllib.loads(text)
    except ConfigError as error:
        raise RulesError(str(error)) from None
    except (ValueError, RecursionError) as error:
        raise RulesError(f"{path} is not TOML: {error}") from None
    return document_of(tables, str(path), path.absolute().parent)


def apply_document(
    metadata: MetadataStore, document: RulesDocument, name: str, by: str, *, dry_run: bool
) -> RulesUpdate:
    """Apply a document as a configuration if it has a serial, else as a change.

    Args:
        metadata: of the registry.
        document: the rules.
        name: what messages call the document.
        by: who changes the rules.
        dry_run: whether to change nothing.

    Raises:
        RulesError: a value is not valid, or the serial is not above the recorded one.
        Unavailable: a newer release wrote the rules.
    """
    if not document.serial:
        return change_rules(metadata, document, by, now, dry_run=dry_run)
    if set(document.tables) != {REGISTRY}:
        raise RulesError(f"{name}: a document with a serial has no namespaces; put these into one of their own")
    update = apply_configured(metadata, document, by, now, dry_run=dry_run)
    if update.drift and not update.applied:
        raise RulesError(
            f"{name}: its serial {document.serial} is not above the recorded {update.serial}; raise it, or use --force"
        )
    return update


def document_of(tables: Mapping[str, Any], name: str, folder: Path | None = None) -> RulesDocument:
    """Return the rules in tables as TOML or JSON has them.

    Args:
        tables: the sections.
        name: what messages call them.
        folder: at which relative paths begin, or None: policies are then given as such, never as a file.

    Raises:
        RulesError: an entry is unknown or not valid.
    """
    own, namespaces = dict(tables), tables.get(NAMESPACES, {})
    own.pop(NAMESPACES, None)
    if folder is None and own.keys() - {RULES}:
        raise RulesError(f"{name} has more than {RULES} and {NAMESPACES}")
    if not isinstance(namespaces, dict) or not all(isinstance(each, dict) for each in namespaces.values()):
        raise RulesError(f"{name}: a namespace is a section of its own, as in [{NAMESPACES}.team]")
    registry = _rules_in(own, name, folder)
    documents = {scope: _rules_in({RULES: table}, f"{name}: {scope}", folder) for scope, table in namespaces.items()}
    for scope, document in documents.items():
        _check_namespace(scope, document, name)
    scopes: dict[str, Values] = {REGISTRY: registry.tables[REGISTRY]} if RULES in own else {}
    found = RulesDocument(scopes | {scope: each.tables[REGISTRY] for scope, each in documents.items()}, registry.serial)
    if not found.tables:
        raise RulesError(f"{name} has no rules; they are in the section [{RULES}], or [{NAMESPACES}.NAME]")
    check_document(found)
    return found


def _rules_in(tables: Mapping[str, Any], name: str, folder: Path | None) -> RulesDocument:
    rules = tables.get(RULES, {})
    if folder is None and isinstance(rules, dict) and not isinstance(rules.get("cleanup", []), list):
        raise RulesError(f"{name}: cleanup is an array of policies")
    if isinstance(rules, dict) and POLICIES.name in rules and folder is None:
        # The policies of a request name no files: they would be this machine's.
        tables = {**tables, RULES: rules | {POLICIES.name: own_policies(rules, name, None)}}
    try:
        return configured_rules(settings_of(config_of(tables, name, folder, SETTINGS)))
    except (ConfigError, SettingsError) as error:
        raise RulesError(str(error)) from None


def own_policies(
    rules: Mapping[str, Any], name: str, folder: Path | None, fetch: Callable[[str], str] | None = None
) -> list[Any]:
    """Return the policies in a table of rules, with what the files contain that they name.

    Args:
        rules: the table.
        name: what messages call it.
        folder: where files begin, or None if there may be none.
        fetch: returns a key of KMS; None where none may be named.

    Raises:
        RulesError: they are not valid.
    """
    from lading.policies.field_kinds import PolicyError
    from lading.policies.policy_file import checked_text, read_policies
    from lading.policies.policy_json import values_of

    given = rules[POLICIES.name]
    try:
        if isinstance(given, str) and folder is not None:
            return values_of(read_policies(folder / Path(given).expanduser(), fetch) if given else "")
        if not isinstance(given, list):
            raise PolicyError(f"{name}: policies are an array of tables")
        return values_of(checked_text(given, folder, f"{name}: policies", fetch))
    except PolicyError as error:
        raise RulesError(str(error)) from None


def _check_namespace(scope: str, document: RulesDocument, name: str) -> None:
    try:
        check_repository(scope)
    except RegistryError:
        raise RulesError(f"{name}: {scope} is not the name of a namespace") from None
    if "/" in scope:
        raise RulesError(f"{name}: a namespace is the first segment of a name, not {scope}")
    if document.serial:
        raise RulesError(f"{name}: a serial is in [{RULES}], and not in {scope}")

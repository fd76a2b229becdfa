"""The rules of the configuration, applied by a registry that starts.

Only a registry applies them, never a job or a command. One whose store is unavailable at its start serves pulls, and
applies them before the first change.
"""

import json
import logging

from lading import audit
from lading.cleanup_setting import cleanup_text, open_cleanup_policies
from lading.policies_setting import policies_text
from lading.registry.change_context import now
from lading.registry.changes import Change
from lading.registry.registry import Registry
from lading.registry.rules.changes import (
    REGISTRY,
    RulesDocument,
    RulesError,
    RulesUpdate,
    apply_configured,
    check_document,
)
from lading.registry.rules.rule_types import Value
from lading.settings import Settings, SettingsError
from lading_storage.errors import StorageError

log = logging.getLogger("lading")


def configured_rules(settings: Settings) -> RulesDocument:
    """Return the rules that the settings give. Raises SettingsError."""
    values: dict[str, Value] = {
        "immutable": settings.immutable,
        "allow-missing": settings.allow_missing,
        "undelete": int(settings.undelete.total_seconds()),
        "grace": int(settings.grace.total_seconds()),
        "cleanup": _compact(cleanup_text(settings)),
        "cleanup-mode": settings.cleanup_mode,
        "policies": policies_text(settings),
    }
    open_cleanup_policies(settings)
    given = {name: value for name, value in values.items() if settings.is_given(name)}
    document = RulesDocument({REGISTRY: given}, settings.rules_serial)
    try:
        check_document(document)
    except RulesError as error:
        raise SettingsError(f"--{error}") from None
    return document


def configure_rules(settings: Settings, registry: Registry) -> None:
    """Apply the rules of the settings to a registry that starts, and log what changed and what differs.

    Raises:
        SettingsError: they are not valid.
    """
    document = configured_rules(settings)
    author = f"configuration with serial {document.serial}" if document.serial else "configuration"

    def apply() -> None:
        update = apply_configured(registry.metadata, document, author, now)
        _log(update, author, document.serial)
        if not registry.scans_images:
            _warn_without_scans(update.policies)

    try:
        apply()
    except StorageError as error:
        log.warning("the registry's rules could not be read or written; nothing is changed until they can: %s", error)
        registry.rules.prepare_with(apply)


class PolicyChanges:
    """Applies the policies of a server's settings, for clean-up and of images, again once a file has changed.

    Not at each collection: of two servers with different policies, the one that started last decides.
    """

    def __init__(self, settings: Settings) -> None:
        """Remember the policies that the server starts with. Raises SettingsError."""
        self._settings = settings
        self._applied = _texts(settings)

    def apply(self, registry: Registry) -> None:
        """Apply the policies if they have changed. Raises SettingsError."""
        texts = _texts(self._settings)
        if texts != self._applied:
            configure_rules(self._settings, registry)
            self._applied = texts


def _texts(settings: Settings) -> tuple[str, str]:
    return cleanup_text(settings), policies_text(settings)


def log_changes(update: RulesUpdate, by: str) -> None:
    """Log each change of a rule."""
    for change in update.changes:
        log.info("rules changed by %s: %s", by or "an anonymous caller", change)


def audit_changes(update: RulesUpdate, by: str) -> None:
    """Log each change of a rule without a request, and an audit line for each scope in which one changed."""
    log_changes(update, by)
    for scope in dict.fromkeys(each.scope for each in update.changes):
        audit.record_command(by, "manage", scope, Change("rules-changed"))


def _log(update: RulesUpdate, by: str, serial: int) -> None:
    audit_changes(update, by)
    for difference in update.drift:
        advice = "with `lading rules apply`" if serial else "with a higher serial in [rules], or `lading rules apply`"
        log.warning(
            "the registry's rules differ from the configuration, and stay (recorded -> configured): %s; change them %s",
            difference,
            advice,
        )


def _warn_without_scans(text: str) -> None:
    """Warn of policies that need scans in a registry that scans nothing: no image that is pushed now would pass."""
    if '"scan"' not in text:
        return
    # Imported here, since a cold start needs them only where there are policies.
    from lading.policies.policy_json import policies_of

    try:
        names = [each.name for each in policies_of(text) if each.needs_facts]
    except ValueError:
        return  # of a newer release: the gates report it
    if names:
        log.warning(
            "images are not scanned here (--scan), and by these policies none passes that is pushed: %s",
            ", ".join(names),
        )


def _compact(policies: str) -> str:
    """Return the JSON of policies without spaces; as it is if it is not JSON, which the check of the rules reports."""
    try:
        return json.dumps(json.loads(policies), separators=(",", ":"), ensure_ascii=False) if policies else ""
    except (ValueError, RecursionError):
        return policies

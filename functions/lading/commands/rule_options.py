"""Options of commands that are rules of the registry as well: they may only tighten what the registry has."""

from typing import TYPE_CHECKING, Final

from lading.commands.options import CommandError
from lading.settings import Settings

if TYPE_CHECKING:
    from lading.registry.registry import Registry

CHECKED: Final = ("undelete", "grace", "cleanup", "cleanup-mode")
"""Options that could loosen a rule; those with patterns only ever add to it."""


def refuse_looser(settings: Settings, store: "Registry") -> None:
    """Raise CommandError if an option would protect less than the registry's rule.

    A looser value of a variable or a file does not apply, and is no error: it may be meant for another command.
    """
    from lading.configured_rules import configured_rules
    from lading.registry.rules.changes import REGISTRY
    from lading.registry.rules.rule_types import BY_NAME

    given = [name for name in CHECKED if settings.sources[name].startswith("--")]
    if not given:
        return
    configured, recorded = configured_rules(settings).tables[REGISTRY], store.rules.read_all().registry
    for name in given:
        rule, option = BY_NAME[name], configured[name]
        value = rule.of(recorded)
        if value is not None and (rule.loosens(value, option) or (name == "cleanup" and value != option)):
            raise CommandError(
                f"--{name}: the registry's rule is {rule.show(value)}, and {rule.show(option)} would protect less or"
                " other things; leave the option out, or change the rule with `lading rules apply`"
            )

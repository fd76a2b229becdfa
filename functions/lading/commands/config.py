"""`lading config check` and `lading config show`: the configuration, and the source of each value."""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from lading.commands.options import CommandError, Commands, add, add_group
from lading.commands.output import Column, Printer, add_output_options
from lading.quantity import counted
from lading.setting_values import format_duration
from lading.settings import SETTINGS, Settings, SettingsError, load_settings


@dataclass(frozen=True, slots=True)
class SettingRow:
    """Setting, by its option without --, and the source of its value: an option, a variable, a file or the default."""

    option: str
    value: str
    source: str


COLUMNS: Final[tuple[Column[SettingRow], ...]] = (
    Column("OPTION", lambda row: row.option),
    Column("VALUE", lambda row: row.value),
    Column("SOURCE", lambda row: row.source),
)


def add_to(commands: Commands) -> None:
    """Add the commands."""
    group = add_group(commands, "config", "check and show the configuration")
    options = [setting.option for setting in SETTINGS]
    check = add(group, "check", "check a configuration, and all settings with it", _check, options)
    check.add_argument("file", nargs="?", metavar="FILE", default="", help="a lading.toml; by default, the one found")
    show = add(group, "show", "show each setting, and where its value comes from", _show, options)
    add_output_options(show, SettingRow)


def _check(parsed: argparse.Namespace, settings: Settings) -> None:
    """Check a file by itself, or the settings of this process, with the rules and policies that they name."""
    from lading.cleanup_setting import open_cleanup_policies
    from lading.composition import immutable_tags, missing_content
    from lading.policies_setting import policies_text
    from lading.scan_composition import document_keys, scans_images

    if parsed.file:
        try:
            settings = load_settings({}, {}, parsed.file)
        except SettingsError as error:
            raise CommandError(str(error)) from None
    for read in (immutable_tags, missing_content, open_cleanup_policies, policies_text, scans_images, document_keys):
        read(settings)
    given = sum(settings.is_given(each.option) for each in SETTINGS)
    print(f"{f'{parsed.file}: ' if parsed.file else ''}{counted(given, 'setting')} can be used", end="")
    print("" if parsed.file else "; the others have their defaults")


def _show(parsed: argparse.Namespace, settings: Settings) -> None:
    Printer.of(parsed).table(COLUMNS, _rows(settings))


def _rows(settings: Settings) -> Iterator[SettingRow]:
    for each in SETTINGS:
        yield SettingRow(each.option, _text(getattr(settings, each.name)), settings.sources[each.option])


def _text(value: Any) -> str:
    """Return the value of a setting as an option would give it, nearly."""
    match value:
        case None:
            return ""
        case timedelta():
            return format_duration(value)
        case tuple() if hasattr(value, "_asdict"):
            return ":".join(str(each) for each in value)
        case tuple():
            return ",".join(str(each) for each in value)
        case _:
            return str(value)

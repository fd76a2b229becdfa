"""config check, config show: the configuration, and where each value comes from."""

import argparse
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

from lading.commands.options import CommandError, Commands, add, add_group
from lading.config_file import ConfigError, read_config
from lading.settings import SETTINGS, Settings, SettingsError, load_settings


def add_to(commands: Commands) -> None:
    """Add them."""
    group = add_group(commands, "config", "check and show the configuration")
    options = [setting.option for setting in SETTINGS]
    check = add(group, "check", "check a configuration, and all settings with it", _check, options)
    check.add_argument("file", nargs="?", metavar="FILE", default="", help="a lading.toml; by default, the one found")
    show = add(group, "show", "show each setting, and where its value comes from", _show, options)
    show.add_argument("--json", action="store_true", help="print JSON")


def _check(parsed: argparse.Namespace, settings: Settings) -> None:
    """Check a file by itself: that the settings of this process can be used was checked before."""
    if parsed.file:
        try:
            config = read_config(Path(parsed.file), SETTINGS)
            load_settings({}, {}, parsed.file)
        except (ConfigError, SettingsError) as error:
            raise CommandError(str(error)) from None
        print(f"{parsed.file}: {len(config.texts)} settings can be used")
    else:
        given = sum(settings.is_given(each.option) for each in SETTINGS)
        print(f"{given} settings can be used; the others have their defaults")


def _show(parsed: argparse.Namespace, settings: Settings) -> None:
    rows = {each.option: (_text(getattr(settings, each.name)), settings.sources[each.option]) for each in SETTINGS}
    if parsed.json:
        print(json.dumps({option: {"value": value, "source": source} for option, (value, source) in rows.items()}))
        return
    width = max(map(len, rows))
    widest = max(len(value) for value, _ in rows.values())
    for option, (value, source) in rows.items():
        print(f"{option:<{width}}  {value:<{min(widest, 50)}}  {source}".rstrip())


def _text(value: Any) -> str:
    """Return the value of a setting as an option would give it, nearly."""
    match value:
        case None:
            return ""
        case timedelta():
            return f"{value.total_seconds():.0f}s"
        case tuple() if hasattr(value, "_asdict"):
            return ":".join(str(each) for each in value)
        case tuple():
            return ",".join(value)
        case _:
            return str(value)

"""SettingTexts: the texts of settings before they are parsed, and where each comes from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lading.config_file import ConfigFile
from lading.derived_settings import SettingsError
from lading.setting import DEFAULT, Setting
from lading.terminal_text import escape


@dataclass(frozen=True, slots=True)
class SettingTexts:
    """The texts of settings, before they are parsed."""

    environment: Mapping[str, str]
    options: Mapping[str, str | None]
    config: ConfigFile

    def of(self, declared: Setting) -> tuple[str, str]:
        """Return the text of a setting, and its source as a message names it."""
        if text := self.options.get(declared.option):
            return text, f"--{declared.option}"
        if text := self.environment.get(declared.variable):
            return text, declared.variable
        if text := self.config.texts.get(declared.option):
            return text, f"{declared.key} in [{declared.section}] of {self.config.name}"
        return declared.default, DEFAULT

    def parse(self, settings: Sequence[Setting]) -> tuple[dict[str, Any], dict[str, str]]:
        """Return the values by the fields of Settings, and the sources by option. Raises SettingsError."""
        values: dict[str, Any] = {}
        sources: dict[str, str] = {}
        for each in settings:
            text, source = self.of(each)
            sources[each.option] = source
            try:
                values[each.name] = each.value_of(text, values.get("data", Path()))
            except ValueError as error:
                raise SettingsError(f"{source} {error}, not {escape(text[:80])}") from None
        return values, sources

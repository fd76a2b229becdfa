"""SettingTexts: the texts of settings before they are parsed, and where each comes from."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from lading.config_file import ConfigFile
from lading.setting import Setting

DEFAULT: Final = "default"
"""The source of a value that was not set."""


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

"""Setting: the declaration of one setting, from which options, variables, lading.toml and documents are derived."""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from lading.setting_values import expand_home

DEFAULT: Final = "default"
"""The source of a value that was not set."""

METADATA: Final = "lading.setting"
"""The key of a Setting in the metadata of its dataclass field."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting.

    option   of the command line, without the dashes
    section  of lading.toml
    key      in that section; the option, unless another word reads better there
    default  as it would be written; "" where there is none
    value    the placeholder of the value in a usage line
    help     one line
    parse    turns the text into the value. Raises ValueError with the end of a sentence that begins with the setting
    derived  makes the value of the data folder where nothing was set; None where the default says it
    is_path  whether the text is a file or folder: relative ones in lading.toml begin at the file's own folder
    """

    option: str
    section: str
    key: str
    default: str
    value: str
    help: str
    parse: Callable[[str], Any]
    derived: Callable[[Path], Any] | None
    is_path: bool

    def value_of(self, text: str, data: Path) -> Any:
        """Return the value of a text; where there is none, that of the data folder. Raises ValueError, see `parse`."""
        if not text and self.derived:
            return self.derived(data)
        return self.parse(expand_home(text) if self.is_path else text)

    @property
    def variable(self) -> str:
        """The environment variable."""
        return f"LADING_{self.option.replace('-', '_').upper()}"

    @property
    def name(self) -> str:
        """The field of Settings."""
        return self.option.replace("-", "_")


def setting(  # noqa: PLR0913  # as many as a declaration has
    section: str,
    default: str,
    value: str,
    help: str,
    parse: Callable[[str], Any] = str,
    *,
    key: str = "",
    derived: Callable[[Path], Any] | None = None,
    is_path: bool = False,
) -> Any:
    """Declare a field of Settings. See Setting; the option is the field's name."""
    declared = {"default": default, "value": value, "help": help, "parse": parse, "derived": derived}
    return dataclasses.field(metadata={METADATA: {"section": section, "key": key, "is_path": is_path, **declared}})


def declared_in(kind: type[Any]) -> tuple[Setting, ...]:
    """Return the settings that a dataclass declares, in order."""
    return tuple(
        _setting(each.name, each.metadata[METADATA]) for each in dataclasses.fields(kind) if METADATA in each.metadata
    )


def _setting(name: str, declared: Mapping[str, Any]) -> Setting:
    option = name.replace("_", "-")
    return Setting(option=option, **{**declared, "key": declared["key"] or option})

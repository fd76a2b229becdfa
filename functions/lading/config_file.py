"""lading.toml: where a configuration is found, and what it sets.

It is the first of: the file of --config; LADING_CONFIG, which is a path, a gs:// URL or the text itself; lading.toml in
the data folder; lading.toml in the current folder. The others are not read. Options and LADING_* variables override
single values.
"""

import difflib
import json
import os
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from lading.setting import Setting
from lading.terminal_text import escape

FILE: Final = "lading.toml"
VARIABLE: Final = "LADING_CONFIG"

MAX_SIZE: Final = 2**20
"""Maximum characters of a configuration in a file."""


class ConfigError(ValueError):
    """A configuration that cannot be read or used; the message, one line, names the file, and why."""

    def __init__(self, message: str) -> None:
        """Escape what the message quotes of the file: another user may have written it."""
        super().__init__(escape(message))


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """A configuration.

    name    what messages call it: a path, a URL or LADING_CONFIG
    folder  at which relative paths begin; None where it is no file
    texts   the value of each setting that it sets, as an option would give it, by the setting's option
    """

    name: str
    folder: Path | None
    texts: Mapping[str, str]


NO_CONFIG: Final = ConfigFile("", None, {})


def find_config(option: str, environment: Mapping[str, str], data: Path, settings: Sequence[Setting]) -> ConfigFile:
    """Find and read the configuration.

    Args:
        option: the value of --config, or "".
        environment: may have LADING_CONFIG.
        data: the data folder, as options and variables have it.
        settings: all settings that there are.

    Raises:
        ConfigError: a configuration was named and cannot be read, or one has unknown or wrong entries.
    """
    named = option or environment.get(VARIABLE, "")
    if not option and ("\n" in named or "=" in named) and not os.path.lexists(named):
        return parse_config(named, VARIABLE, None, settings)
    if named.startswith("gs://"):
        return parse_config(_read_object(named), named, None, settings)
    if named:
        return read_config(Path(named), settings)
    for folder in (data, Path()):
        # A dangling link or a folder is an error: rules that it should set must not be left out silently.
        if os.path.lexists(folder / FILE):
            return read_config(folder / FILE, settings)
    return NO_CONFIG


def read_config(path: Path, settings: Sequence[Setting]) -> ConfigFile:
    """Read the file `path`. Raises ConfigError."""
    try:
        with path.open(encoding="utf-8-sig") as file:
            text = file.read(MAX_SIZE + 1)
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise ConfigError(f"the configuration {path} cannot be read: {reason}") from None
    if len(text) > MAX_SIZE:
        raise ConfigError(f"the configuration {path} has more than {MAX_SIZE} characters")
    return parse_config(text, str(path), path.absolute().parent, settings)


def parse_config(text: str, name: str, folder: Path | None, settings: Sequence[Setting]) -> ConfigFile:
    """Read the TOML `text` of a configuration that messages call `name`. Raises ConfigError."""
    try:
        tables = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        # Not only TOMLDecodeError: a number may have too many digits, and a value may be nested too deeply.
        raise ConfigError(f"{name} is not TOML: {error}") from None
    by_section: dict[str, dict[str, Setting]] = {}
    for each in settings:
        by_section.setdefault(each.section, {})[each.key] = each
    texts: dict[str, str] = {}
    for section, table in tables.items():
        if section not in by_section or not isinstance(table, dict):
            raise ConfigError(f"{name}: there is no section [{section}]{_meant(section, by_section, settings)}")
        for key, value in table.items():
            if key not in by_section[section]:
                meant = _meant(key, by_section[section], settings)
                raise ConfigError(f"{name}: there is no {key} in [{section}]{meant}")
            found = by_section[section][key]
            texts[found.option] = _text(value, f"{name}: {key} in [{section}]", found, folder)
    return ConfigFile(name, folder, texts)


def _meant(word: str, known: Mapping[str, Any], settings: Sequence[Setting]) -> str:
    """Return the end of a sentence about an unknown word: where it belongs, which one was meant, or which there are."""
    for each in settings:
        if word in (each.key, each.option):
            return f"; it is {each.key} in [{each.section}]"
    close = difflib.get_close_matches(word, known, 1)
    return f"; did you mean {close[0]}?" if close else f"; there are {', '.join(sorted(known))}"


def _text(value: Any, place: str, setting: Setting, folder: Path | None) -> str:
    """Return a value of TOML as an option's text. Raises ConfigError."""
    match value:
        case bool():
            raise ConfigError(f"{place} is true or false, which no setting is")
        case str() if "\0" not in value:
            return _path(value, setting, folder)
        case int():
            return str(value)
        case list() if value and all(isinstance(each, dict) for each in value):
            try:
                return json.dumps(value, allow_nan=False)
            except (TypeError, ValueError) as error:
                raise ConfigError(f"{place} has no form in JSON: {error}") from None
        case list() if all(isinstance(each, str) and "," not in each for each in value):
            return ",".join(value)
        case _:
            raise ConfigError(f"{place} is neither a string, nor a number, nor an array of strings without commas")


def _path(text: str, setting: Setting, folder: Path | None) -> str:
    """Return a path as it is from the configuration's folder, and any other text as it is."""
    is_path = setting.is_path and text and folder is not None and not text.lstrip().startswith("[")
    return str(folder / text) if is_path and folder is not None else text


def _read_object(url: str) -> str:
    """Read a configuration at Cloud Storage, gs://BUCKET/OBJECT. Raises ConfigError."""
    from google.api_core.exceptions import GoogleAPIError
    from google.auth.exceptions import GoogleAuthError
    from google.cloud import storage

    bucket, _, name = url.removeprefix("gs://").partition("/")
    if not bucket or not name:
        raise ConfigError(f"{VARIABLE} is gs://BUCKET/OBJECT, not {url}")
    try:
        content: bytes = storage.Client().bucket(bucket).blob(name).download_as_bytes(timeout=30)
        return content.decode()
    except (GoogleAPIError, GoogleAuthError, OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"the configuration {url} cannot be read: {error}") from None

"""lading.toml: where a configuration is found, and what it sets.

It is the first of: the file of --config; LADING_CONFIG, which is a path, a gs:// URL or the text itself; lading.toml in
the data folder; lading.toml in the current folder. The others are not read: a file that was found, not named, must not
lead to a data folder with a file of its own. Options and LADING_* variables override single values.
"""

import contextlib
import difflib
import json
import os
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, time
from pathlib import Path
from typing import Any, Final

from lading.setting import Setting
from lading.setting_values import expand_home
from lading.terminal_text import escape

FILE: Final = "lading.toml"
VARIABLE: Final = "LADING_CONFIG"
DATA: Final = "data"
"""The option of the data folder."""

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


def find_config(
    option: str, environment: Mapping[str, str], data: str, settings: Sequence[Setting], default: bool = False
) -> ConfigFile:
    """Find and read the configuration.

    Args:
        option: the value of --config, or "".
        environment: may have LADING_CONFIG.
        data: the path of the data folder, as options and variables have it.
        settings: all settings that there are.
        default: whether `data` is the default, which the configuration may change.

    Raises:
        ConfigError: a configuration was named and cannot be read; one has unknown or wrong entries; or one was found
            that leads to another data folder, whose own configuration would not be read.
    """
    named = option or environment.get(VARIABLE, "")
    if not option and ("\n" in named or "=" in named) and not os.path.lexists(named):
        return parse_config(named, VARIABLE, None, settings)
    if named.startswith("gs://"):
        return parse_config(_read_object(named), named, None, settings)
    if named:
        return read_config(_folder(named), settings)
    folder = _folder(data)
    # A dangling link or a folder is an error: rules that it should set must not be left out silently.
    if os.path.lexists(folder / FILE):
        found = read_config(folder / FILE, settings)
        _refuse_other_folder(found, folder)
        return found
    if os.path.lexists(FILE):
        found = read_config(Path(FILE), settings)
        if default:
            _refuse_second_file(found)
        return found
    return NO_CONFIG


def _refuse_other_folder(found: ConfigFile, data: Path) -> None:
    """Raise ConfigError where a data folder's own file sets another data folder."""
    other = found.texts.get(DATA)
    if other and _folder(other).resolve() != data.resolve():
        raise ConfigError(
            f"{found.name} is the configuration of the data folder {data}, and sets data to {other}: remove that entry,"
            f" or use --data {other}"
        )


def _refuse_second_file(found: ConfigFile) -> None:
    """Raise ConfigError where the current folder's file sets a data folder that has another file."""
    second = _folder(found.texts.get(DATA, "")) / FILE
    if os.path.lexists(second) and second.resolve() != Path(FILE).resolve():
        raise ConfigError(
            f"{found.name} sets the data folder, which has a configuration of its own, {second}: merge the two, or name"
            " the one to read with --config"
        )


def _folder(text: str) -> Path:
    with contextlib.suppress(ValueError):
        text = expand_home(text)
    return Path(text)


def read_config(path: Path, settings: Sequence[Setting]) -> ConfigFile:
    """Read the file `path`. Raises ConfigError."""
    return parse_config(read_text(path), str(path), path.absolute().parent, settings)


def read_text(path: Path) -> str:
    """Return the text of the file `path`. Raises ConfigError."""
    try:
        with path.open(encoding="utf-8-sig") as file:
            text = file.read(MAX_SIZE + 1)
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise ConfigError(f"the configuration {path} cannot be read: {reason}") from None
    if len(text) > MAX_SIZE:
        raise ConfigError(f"the configuration {path} has more than {MAX_SIZE} characters")
    return text


def parse_config(text: str, name: str, folder: Path | None, settings: Sequence[Setting]) -> ConfigFile:
    """Read the TOML `text` of a configuration that messages call `name`. Raises ConfigError."""
    try:
        tables = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        # Not only TOMLDecodeError: a number may have too many digits, and a value may be nested too deeply.
        raise ConfigError(f"{name} is not TOML: {error}") from None
    return config_of(tables, name, folder, settings)


def config_of(tables: Mapping[str, Any], name: str, folder: Path | None, settings: Sequence[Setting]) -> ConfigFile:
    """Return the configuration in the sections `tables`, which messages call `name`. Raises ConfigError."""
    by_section: dict[str, dict[str, Setting]] = {}
    for each in settings:
        by_section.setdefault(each.section, {})[each.key] = each
    texts: dict[str, str] = {}
    for section, table in tables.items():
        if section in by_section and not isinstance(table, dict):
            raise ConfigError(f"{name}: {section} is a section; write [{section}] on a line, and its settings below it")
        if section not in by_section:
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
                return json.dumps(_tables(value, setting, folder), allow_nan=False, default=_time_text)
            except (TypeError, ValueError) as error:
                raise ConfigError(f"{place} has no form in JSON: {error}") from None
        case list() if all(isinstance(each, str) and "," not in each for each in value):
            return ",".join(value)
        case _:
            raise ConfigError(f"{place} is neither a string, nor a number, nor an array of strings without commas")


def _tables(value: Any, setting: Setting, folder: Path | None) -> Any:
    """Return the tables of a setting that may be a file as well, with their own files from the same folder."""
    if not setting.is_path or folder is None:
        return value
    if isinstance(value, list):
        return [_tables(each, setting, folder) for each in value]
    if not isinstance(value, dict):
        return value
    found = {key: _tables(each, setting, folder) for key, each in value.items()}
    if isinstance(file := found.get("file"), str):
        found["file"] = _path(file, setting, folder)
    return found


def _time_text(value: Any) -> str:
    """Return a date or time of TOML as text. Raises TypeError."""
    if isinstance(value, date | time):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} has no form in JSON")


def _path(text: str, setting: Setting, folder: Path | None) -> str:
    """Return a path as it is from the configuration's folder, and any other text as it is."""
    if not setting.is_path or not text or text.lstrip().startswith(("[", "{")):
        return text
    # The settings expand a home folder.
    return text if folder is None or text.startswith("~") else str(folder / text)


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

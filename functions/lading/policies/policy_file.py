"""Policies in a file: TOML, JSON, or YAML where PyYAML is installed (the extra `yaml`).

    [[policies]]
    name = "prod"
    repositories = ["prod/*"]
    signatures.keys = [{name = "release", file = "cosign.pub"}]

A `file` of a key or certificate is read from the file's own folder, once, where the policies are applied. So is a key
of KMS (`file = "gcpkms://…"`), by a command that fetches it with its user's credentials; a server fetches none.
"""

import json
import tomllib
from collections.abc import Callable, Mapping
from datetime import date, datetime, time
from pathlib import Path
from typing import Any, Final, NamedTuple

from lading.json_values import unique_members
from lading.policies.field_kinds import PolicyError, quoted
from lading.policies.policy_json import policies_text, values_in

MAX_FILE: Final = 1024 * 1024
"""Bytes of a file of policies: with comments, and without the keys that it names."""

MAX_KEY_FILE: Final = 64 * 1024
KMS: Final = "gcpkms://"
"""Begins the name of a key of Google's KMS, as cosign has it."""

Fetch = Callable[[str], str]
"""Returns the public key, as PEM, that a URI names. Raises PolicyError."""

MAX_DEPTH: Final = 12
"""Levels of tables and lists."""

NO_YAML: Final = "is YAML, which needs the extra yaml: pip install lading-registry[yaml], or write TOML"


def read_policies(path: Path, fetch: Fetch | None = None) -> str:
    """Return the policies of a file as the rule keeps them, with their keys. Raises PolicyError."""
    text = _read(path, MAX_FILE, str(path))
    return parse_policies(text, path.suffix.lower(), path.absolute().parent, str(path), fetch)


def parse_policies(text: str, suffix: str, folder: Path | None, name: str, fetch: Fetch | None = None) -> str:
    """Return policies as the rule keeps them.

    Args:
        text: the policies.
        suffix: .json, .yaml or .yml; .toml; any other means TOML, or JSON if the text begins with a bracket.
        folder: where the files of keys begin, or None: policies may not name files.
        name: what messages call the text.
        fetch: returns a key of KMS; None where none may be named.

    Raises:
        PolicyError: they are not valid.
    """
    return checked_text(values_in(_parsed(text, suffix, name), name), folder, name, fetch)


def checked_text(values: list[Any], folder: Path | None, name: str, fetch: Fetch | None = None) -> str:
    """Return plain values of policies as the rule keeps them. See parse_policies."""
    # cryptography is imported only where there are policies.
    from lading.policies.signer_checks import with_checked_signers

    try:
        found = _resolved(values, _Files(folder, fetch), 0)
        policies_text(found)
        return policies_text(with_checked_signers(found))
    except PolicyError as error:
        raise PolicyError(f"{name}: {error}") from None


def _parsed(text: str, suffix: str, name: str) -> Any:
    """Return the plain values of a text. Raises PolicyError."""
    if suffix in (".yaml", ".yml"):
        return _parse_yaml(text, name)
    may_be_json = text.lstrip()[:1] in ("{", "[") and not text.lstrip().startswith("[[")
    is_json = suffix == ".json" or (suffix != ".toml" and may_be_json)
    try:
        return json.loads(text, object_pairs_hook=unique_members) if is_json else tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise PolicyError(f"{name} is not {'JSON' if is_json else 'TOML'}: {error}") from None


def _parse_yaml(text: str, name: str) -> Any:
    try:
        from lading.policies.yaml_values import load
    except ImportError:
        raise PolicyError(f"{name} {NO_YAML}") from None
    try:
        return load(text)
    except ValueError as error:
        raise PolicyError(f"{name} is not YAML: {error}") from None


class _Files(NamedTuple):
    """Where the files of keys are. See parse_policies."""

    folder: Path | None
    fetch: Fetch | None

    def content(self, file: Any, name: Any) -> str:
        """Return the PEM that the `file` of the key or certificate `name` has. Raises PolicyError."""
        if self.folder is None:
            raise PolicyError(f"{quoted(name)} names a file: put its content here, as pem")
        if not isinstance(file, str) or not file:
            raise PolicyError(f"the file of {quoted(name)} is a path, not {quoted(file)}")
        if not file.startswith(KMS):
            path = self.folder / Path(file).expanduser()
            return _read(path, MAX_KEY_FILE, f"the file of {quoted(name)}, {path},")
        if self.fetch is None:
            raise PolicyError(
                f"{quoted(name)} is a key of KMS, which a registry does not fetch: use lading rules apply --registry,"
                " or put its PEM here"
            )
        return self.fetch(file)


def _resolved(value: Any, files: _Files, depth: int) -> Any:
    """Return a value with the keys that it names by file, and times as text. Raises PolicyError."""
    if depth > MAX_DEPTH:
        raise PolicyError(f"there are more than {MAX_DEPTH} levels")
    match value:
        case dict():
            found = {str(key): _resolved(each, files, depth + 1) for key, each in value.items()}
            return _with_file(found, files) if "file" in found else found
        case list():
            return [_resolved(each, files, depth + 1) for each in value]
        case datetime() | date() | time():
            return value.isoformat()
    return value


def _with_file(table: Mapping[str, Any], files: _Files) -> dict[str, Any]:
    """Return the table of a key or certificate with what its file contains."""
    if "pem" in table:
        raise PolicyError(f"{quoted(table.get('name'))} has both pem and file")
    pem = files.content(table["file"], table.get("name"))
    return {key: each for key, each in table.items() if key != "file"} | {"pem": pem}


def _read(path: Path, maximum: int, name: str) -> str:
    try:
        with path.open(encoding="utf-8-sig") as file:
            text = file.read(maximum + 1)
    except (OSError, UnicodeDecodeError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise PolicyError(f"{name} cannot be read: {reason}") from None
    if len(text) > maximum:
        raise PolicyError(f"{name} has more than {maximum} characters")
    return text

"""Public keys whose documents about images count: a file of the configuration, a folder of such files, or JSON."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from lading.signatures.public_keys import KeyInvalid, PublicKey, fingerprint, load_key
from lading.vulnerabilities import openvex, sboms, vulnerability_reports

SUFFIXES: Final = (".pem", ".pub")
"""Names of the files in a folder that are keys."""

MAX_KEYS: Final = 20
MAX_KEY_SIZE: Final = 64 * 1024
"""Keys of a folder, and bytes of each. Each signature is tried with each key."""


NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
"""Names of keys in JSON."""

VEX: Final = (openvex.PREDICATE,)
SCANS: Final = (*sboms.PREDICATES, *vulnerability_reports.PREDICATES)
"""Beginnings of the types of predicates: of VEX, and of SBOMs and reports."""


@dataclass(frozen=True, slots=True)
class DocumentKeys:
    """Keys of the configuration, by their names.

    Attributes:
        vex: those whose VEX documents count.
        scans: those whose SBOMs and vulnerability reports count.
    """

    vex: Mapping[str, PublicKey] = field(default_factory=dict)
    scans: Mapping[str, PublicKey] = field(default_factory=dict)

    @property
    def all(self) -> Mapping[str, PublicKey]:
        """All keys by their fingerprints, each once."""
        return {fingerprint(key): key for key in (*self.vex.values(), *self.scans.values())}

    @property
    def predicates(self) -> tuple[str, ...]:
        """Beginnings of the types of predicates that count if the right key signed them."""
        return (*(VEX if self.vex else ()), *(SCANS if self.scans else ()))

    @property
    def version(self) -> str:
        """What identifies the keys, their names and uses; "" if there are none."""
        uses = [
            [use, name, fingerprint(key)]
            for use, keys in (("vex", self.vex), ("scans", self.scans))
            for name, key in keys.items()
        ]
        return hashlib.sha256(json.dumps(sorted(uses)).encode()).hexdigest() if uses else ""

    def name(self, signer: str, predicate_type: str) -> str:
        """Return the name of the key with a fingerprint, or "" if documents of this type do not count with it."""
        keys = self.vex if predicate_type.startswith(VEX) else self.scans
        return next((name for name, key in keys.items() if fingerprint(key) == signer), "")


def load_keys(text: str) -> Mapping[str, PublicKey]:
    """Return the keys of a file, of a folder, or of JSON, by their names.

    Args:
        text: a path, whose keys have the names of the files without suffix; or an object of PEM texts by name.

    Raises:
        KeyInvalid: a key cannot be used, or there is none; the message is a sentence with its name.
    """
    found = _of_json(text) if text.lstrip().startswith("{") else _of_path(Path(text))
    keys: dict[str, PublicKey] = {}
    for name, (place, content) in found.items():
        try:
            keys[name] = load_key(content)
        except KeyInvalid as error:
            raise KeyInvalid(f"{place} cannot be used: {error}") from None
    return keys


def _of_json(text: str) -> Mapping[str, tuple[str, bytes]]:
    """Return the contents of keys by name, each with what to call it. Raises KeyInvalid."""
    try:
        value = json.loads(text)
    except ValueError as error:
        raise KeyInvalid(f"it is not JSON: {error}") from None
    if not value or len(value) > MAX_KEYS or not all(isinstance(each, str) for each in value.values()):
        raise KeyInvalid(f"it is not an object of 1 to {MAX_KEYS} public keys as PEM, by name")
    if wrong := next((name for name in value if not NAME.fullmatch(name)), None):
        raise KeyInvalid(f"{wrong[:80]!r} is no name of a key: letters, digits, dots, hyphens and underscores")
    return {name: (f"the key {name}", pem.encode(errors="replace")) for name, pem in value.items()}


def _of_path(path: Path) -> Mapping[str, tuple[str, bytes]]:
    """Return the contents of keys by name, each with what to call it. Raises KeyInvalid."""
    try:
        contents = {each: _read(each) for each in _files(path)}
    except OSError as error:
        raise KeyInvalid(f"{path} cannot be read: {error.strerror}") from None
    found: dict[str, tuple[str, bytes]] = {}
    for file, content in contents.items():
        if file.stem in found:
            raise KeyInvalid(f"{path} has two keys with the name {file.stem}")
        found[file.stem] = str(file), content
    return found


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    files = sorted(each for each in path.iterdir() if each.suffix in SUFFIXES and each.is_file())
    if not files:
        raise KeyInvalid(f"{path} has no public key: no file {' or '.join(f'*{each}' for each in SUFFIXES)}")
    if len(files) > MAX_KEYS:
        raise KeyInvalid(f"{path} has more than {MAX_KEYS} keys")
    return files


def _read(file: Path) -> bytes:
    with file.open("rb") as opened:
        return opened.read(MAX_KEY_SIZE)

"""Public keys whose documents about images count: a file of the configuration, or a folder of such files."""

import hashlib
import json
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


def load_keys(path: Path) -> Mapping[str, PublicKey]:
    """Return the keys of a file, or of a folder, by the names of their files without suffix.

    Raises:
        KeyInvalid: a file is no public key, or there is none; the message is a sentence with its name.
    """
    try:
        files = _files(path)
        contents = {each: _read(each) for each in files}
    except OSError as error:
        raise KeyInvalid(f"{path} cannot be read: {error.strerror}") from None
    keys: dict[str, PublicKey] = {}
    for file, content in contents.items():
        if file.stem in keys:
            raise KeyInvalid(f"{path} has two keys with the name {file.stem}")
        try:
            keys[file.stem] = load_key(content)
        except KeyInvalid as error:
            raise KeyInvalid(f"{file} cannot be used: {error}") from None
    return keys


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

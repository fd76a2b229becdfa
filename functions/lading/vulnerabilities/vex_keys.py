"""Public keys whose VEX documents count: a file of the configuration, or a folder of such files."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from lading.signatures.public_keys import KeyInvalid, PublicKey, load_key

SUFFIXES: Final = (".pem", ".pub")
"""Names of the files in a folder that are keys."""

MAX_KEYS: Final = 20
MAX_KEY_SIZE: Final = 64 * 1024
"""Keys of a folder, and bytes of each. Each signature is tried with each key."""


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

"""The registry's secret keys: the token signing keys, and the HMAC key of robots' secrets.

They are one small JSON document, in a file or in a secret of Secret Manager:

    {"tokens": [{"kid": "…", "key": "…"}, …], "robots": "…"}

The first of `tokens` signs, and all of them are trusted. A rotation inserts a new key at the front and keeps its
predecessor, so tokens that other processes signed, or still sign, with that remain valid. Keys are 32 bytes in base64.
"""

import base64
import binascii
import contextlib
import json
import logging
import os
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Protocol

from lading.auth.bulkhead import Bulkhead
from lading.leader import step_down
from lading_storage.errors import Corrupt, ObjectNotFound, StorageError, Unavailable
from lading_storage.local.durable_folders import FILE_MODE, make_private

MAX_TRUSTED_KEYS: Final = 2
"""Signing keys that are trusted at a time."""

KEYS_TTL: Final = 45.0
"""Seconds for which the document is cached. So within a minute, including the time to load it, every process that can
read the document signs with a new key, and no longer trusts a removed one."""

MIN_REFRESH_INTERVAL: Final = 5.0
"""Minimum seconds after a reload that did not find an unknown key id, before another one: any client can send such an
id."""

MAX_WAITING: Final = 16
"""Threads that may wait for another thread's reload."""

log = logging.getLogger("lading")


@dataclass(frozen=True, slots=True)
class SigningKey:
    """Token signing key. `id` is the `kid` in the header of tokens."""

    id: str
    secret: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Keys:
    """All keys of a registry.

    tokens  signing keys, the current one first
    robots  HMAC key of robots' secrets, from which the key of cursors is derived, too
    """

    tokens: tuple[SigningKey, ...]
    robots: bytes = field(repr=False)


class KeyStore(Protocol):
    """Store of the document of keys."""

    def load(self) -> Keys:
        """Load the keys. Raises StorageError."""
        ...

    def save(self, keys: Keys) -> None:
        """Replace the stored keys. Raises StorageError."""
        ...


def generate_keys() -> Keys:
    """Return new random keys."""
    return Keys((_new_key(),), secrets.token_bytes(32))


def rotate(keys: Keys) -> Keys:
    """Return `keys` with a new signing key, keeping the newest previous one. The robots' key stays, so robots do."""
    return replace(keys, tokens=(_new_key(), *keys.tokens)[:MAX_TRUSTED_KEYS])


def to_json(keys: Keys) -> bytes:
    """Return the document of keys."""
    tokens = [{"kid": key.id, "key": base64.b64encode(key.secret).decode()} for key in keys.tokens]
    return json.dumps({"tokens": tokens, "robots": base64.b64encode(keys.robots).decode()}).encode()


def from_json(document: bytes) -> Keys:
    """Parse a document of keys. Raises Corrupt, whose message does not contain the document."""
    try:
        fields: Any = json.loads(document)
        keys = Keys(
            tokens=tuple(SigningKey(str(each["kid"]), base64.b64decode(each["key"])) for each in fields["tokens"]),
            robots=base64.b64decode(fields["robots"]),
        )
    except (ValueError, KeyError, TypeError, binascii.Error):
        raise Corrupt("the document of keys is malformed") from None
    if not keys.tokens or min(len(secret) for secret in (keys.robots, *(key.secret for key in keys.tokens))) < 32:
        raise Corrupt("the document of keys has no signing key, or a key of less than 32 bytes")
    return keys


class KeyFile:
    """KeyStore in a file that only its owner may read. The first load creates it with new keys."""

    def __init__(self, path: Path, create: bool = True) -> None:
        """Keep the document at `path`. If `create` is false, `load` raises ObjectNotFound if there is no file."""
        self._path = path
        self._create = create

    def load(self) -> Keys:
        """See KeyStore.load. Of several processes that start concurrently, one creates the file."""
        with self._translate_errors():
            with contextlib.suppress(FileNotFoundError):
                return from_json(self._path.read_bytes())
            if not self._create:
                raise ObjectNotFound(f"no keys at {self._path}; use --keys URL")
            make_private(self._path.parent)
            new = self._write(generate_keys())
            with contextlib.suppress(FileExistsError):
                os.link(new, self._path)
            new.unlink()
            return from_json(self._path.read_bytes())

    def save(self, keys: Keys) -> None:
        """See KeyStore.save."""
        with self._translate_errors():
            self._write(keys).replace(self._path)

    @contextlib.contextmanager
    def _translate_errors(self) -> Iterator[None]:
        """Turn file errors into StorageError, with the file's name and the next step."""
        try:
            yield
        except Corrupt as error:
            raise Corrupt(
                f"{self._path}: {error}; restore the file from a backup, or remove it: `lading serve` then creates new"
                " keys, which invalidate all tokens and robots"
            ) from None
        except OSError as error:
            raise Unavailable(
                f"cannot read or create the keys in {self._path} ({error.strerror or error}); use --keys file:///FILE"
            ) from error

    def _write(self, keys: Keys) -> Path:
        new = self._path.with_name(f".{self._path.name}-{secrets.token_hex(4)}")
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE_MODE)
        with os.fdopen(descriptor, "wb") as file:
            file.write(to_json(keys))
            file.flush()
            os.fsync(file.fileno())
        return new


class KeyRing:
    """Cache of the keys, reloaded periodically. Thread-safe."""

    def __init__(self, load: Callable[[], Keys], clock: Callable[[], float] = time.monotonic) -> None:
        """Load the keys with `load`, and reload them after KEYS_TTL. Raises StorageError if the first load fails."""
        self._load = load
        self._clock = clock
        self._lock = threading.Lock()
        self._bulkhead = Bulkhead(1, MAX_WAITING)
        self._keys = load()
        self._read_at = clock()
        self._last_miss = -MIN_REFRESH_INTERVAL

    @property
    def signing(self) -> SigningKey:
        """The key that signs new tokens."""
        return self._current().tokens[0]

    @property
    def robots(self) -> bytes:
        """The HMAC key of robots' secrets."""
        return self._current().robots

    def find(self, id: str) -> SigningKey | None:
        """Return the trusted key with this id, or None. An unknown id may be new, so it causes a reload.

        Raises UNAVAILABLE if too many threads wait for that.
        """
        return _key_by_id(self._current(), id) or self._find_after_reload(id)

    def _current(self) -> Keys:
        """Return the keys, at most KEYS_TTL seconds old unless they could not be reloaded."""
        # While one thread reloads, others use the cached keys.
        if self._clock() - self._read_at >= KEYS_TTL and self._lock.acquire(blocking=False):
            try:
                self._reload()
            finally:
                self._lock.release()
        return self._keys

    def _find_after_reload(self, id: str) -> SigningKey | None:
        if self._clock() - self._last_miss < MIN_REFRESH_INTERVAL:
            return None
        with self._bulkhead.slot():
            # Another thread may have reloaded meanwhile, and found the key or not.
            if not _key_by_id(self._keys, id) and self._clock() - self._last_miss >= MIN_REFRESH_INTERVAL:
                self._reload()
                if not _key_by_id(self._keys, id):
                    self._last_miss = self._clock()
        return _key_by_id(self._keys, id)

    def _reload(self) -> None:
        step_down()
        try:
            self._keys = self._load()
        except StorageError:
            log.exception("cannot reload the keys; the cached ones stay in use")
        self._read_at = self._clock()


def _key_by_id(keys: Keys, id: str) -> SigningKey | None:
    return next((key for key in keys.tokens if key.id == id), None)


def _new_key() -> SigningKey:
    # The date is for people who read the document.
    return SigningKey(f"{datetime.now(UTC):%Y%m%d}-{secrets.token_hex(4)}", secrets.token_bytes(32))

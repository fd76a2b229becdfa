"""The registry's secret keys: those that sign its tokens, and the one under which robots' secrets are kept.

They are one small JSON document, in a file or in a secret of Secret Manager:

    {"tokens": [{"kid": "…", "key": "…"}, …], "robots": "…"}

The first of `tokens` signs, and all of them are trusted. So a rotation puts a new key in front and keeps the one before
it, and tokens that other processes sign or have signed with it stay good. Keys are 32 bytes, base64.
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
from lading.server.leader import step_down
from lading_storage.errors import Corrupt, ObjectNotFound, StorageError, Unavailable
from lading_storage.local.durable_folders import FILE_MODE, make_private

MAX_TRUSTED_KEYS: Final = 2
"""Keys that are trusted at a time."""

KEYS_TTL: Final = 45.0
"""Seconds after which the document is read again. So within a minute, the time of a reading included, a new key signs,
and one that was taken out is trusted no more, by every process that can read the document."""

MIN_REFRESH_INTERVAL: Final = 5.0
"""Seconds without a reading after one in vain, because of a key that is not known: anyone can name one."""

MAX_WAITING: Final = 16
"""Who may wait for somebody else's reading."""

log = logging.getLogger("lading")


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A key that signs tokens, and the id that tokens name it by."""

    id: str
    secret: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Keys:
    """All keys of a registry."""

    tokens: tuple[SigningKey, ...]
    robots: bytes = field(repr=False)


class KeyStore(Protocol):
    """Where the document is."""

    def load(self) -> Keys:
        """The keys. Raises StorageError."""
        ...

    def save(self, keys: Keys) -> None:
        """Write the keys over those that are there. Raises StorageError."""
        ...


def generate_keys() -> Keys:
    """Keys that nobody has seen."""
    return Keys((_new_key(),), secrets.token_bytes(32))


def rotate(keys: Keys) -> Keys:
    """`keys` with a new one that signs, and of the others the newest only. The robots' key stays, as robots do."""
    return replace(keys, tokens=(_new_key(), *keys.tokens)[:MAX_TRUSTED_KEYS])


def to_json(keys: Keys) -> bytes:
    """The document."""
    tokens = [{"kid": key.id, "key": base64.b64encode(key.secret).decode()} for key in keys.tokens]
    return json.dumps({"tokens": tokens, "robots": base64.b64encode(keys.robots).decode()}).encode()


def from_json(document: bytes) -> Keys:
    """The keys of a document. Raises Corrupt, which does not show it."""
    try:
        fields: Any = json.loads(document)
        keys = Keys(
            tokens=tuple(SigningKey(str(each["kid"]), base64.b64decode(each["key"])) for each in fields["tokens"]),
            robots=base64.b64decode(fields["robots"]),
        )
    except (ValueError, KeyError, TypeError, binascii.Error):
        raise Corrupt("the document of keys is not one") from None
    if not keys.tokens or min(len(secret) for secret in (keys.robots, *(key.secret for key in keys.tokens))) < 32:
        raise Corrupt("the document of keys has none, or one of less than 32 bytes")
    return keys


class KeyFile:
    """KeyStore in a file that only its owner may read; made with new keys when it is first read."""

    def __init__(self, path: Path, create: bool = True) -> None:
        """Keep the document at `path`; with `create` false, `load` raises Missing where there is no file."""
        self._path = path
        self._create = create

    def load(self) -> Keys:
        """See KeyStore.load. Of several processes that start at once, one makes the file."""
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
        """Raise what is wrong with the file as StorageError, with its name and what to do."""
        try:
            yield
        except Corrupt as error:
            raise Corrupt(
                f"{self._path}: {error}; put the right file back, or remove this one, and `lading serve` makes new"
                " keys, with which no robot and no token from before is good"
            ) from None
        except OSError as error:
            raise Unavailable(
                f"the keys in {self._path} cannot be read or made ({error.strerror or error}); use --keys file:///FILE"
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
    """The keys at hand. Any thread may use it."""

    def __init__(self, load: Callable[[], Keys], clock: Callable[[], float] = time.monotonic) -> None:
        """Read the keys with `load`, now and then again. Raises StorageError where they cannot be read now."""
        self._load = load
        self._clock = clock
        self._lock = threading.Lock()
        self._bulkhead = Bulkhead(1, MAX_WAITING)
        self._keys = load()
        self._read_at = clock()
        self._last_miss = -MIN_REFRESH_INTERVAL

    @property
    def signing(self) -> SigningKey:
        """The key that signs."""
        return self._current().tokens[0]

    @property
    def robots(self) -> bytes:
        """The key under which robots' secrets are kept."""
        return self._current().robots

    def find(self, id: str) -> SigningKey | None:
        """The key of that id, where it is trusted. One that is not known may be new: then the document is read.

        Raises UNAVAILABLE where too many wait for that.
        """
        return _named(self._current(), id) or self._find_after_reload(id)

    def _current(self) -> Keys:
        """The keys as they were at most FRESH seconds ago, or the last that could be read."""
        # While somebody reads, others go on with the keys at hand.
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
            # Somebody else may have read meanwhile, to good purpose or in vain.
            if not _named(self._keys, id) and self._clock() - self._last_miss >= MIN_REFRESH_INTERVAL:
                self._reload()
                if not _named(self._keys, id):
                    self._last_miss = self._clock()
        return _named(self._keys, id)

    def _reload(self) -> None:
        step_down()
        try:
            self._keys = self._load()
        except StorageError:
            log.exception("the keys cannot be read; those at hand are used")
        self._read_at = self._clock()


def _named(keys: Keys, id: str) -> SigningKey | None:
    return next((key for key in keys.tokens if key.id == id), None)


def _new_key() -> SigningKey:
    # The date is for people who look at the document.
    return SigningKey(f"{datetime.now(UTC):%Y%m%d}-{secrets.token_hex(4)}", secrets.token_bytes(32))

"""The certificate of `lading serve`: read, tried, and replaced when its files change.

Its files are read once. What is tried is a private copy of these bytes, and so is what is served: a write to the
files at that moment cannot make the server load what was not tried, which would end the process.
"""

import contextlib
import logging
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from lading.server.tls_trial import is_served
from lading.settings import Settings, SettingsError

WATCH_INTERVAL: Final = 2.0
"""Seconds between two checks of the files of a certificate for changes."""

DESCRIPTORS: Final = Path("/proc/self/fd")
"""Where a file in memory has a path, also in a child process that inherits it."""

log = logging.getLogger("lading")


class KeyPair(NamedTuple):
    """The content of the files of a certificate.

    cert  the certificate, and those of its issuers (PEM)
    key   its private key (PEM)
    """

    cert: bytes
    key: bytes


class Copies(NamedTuple):
    """Copies of both files.

    cert         the path of the certificate's
    key          the path of the key's
    descriptors  open files that a child process needs at the same numbers
    """

    cert: str
    key: str
    descriptors: tuple[int, ...] = ()


class Certificate:
    """The certificate of a running server.

    exists  whether there is one: False without TLS
    """

    def __init__(self, settings: Settings) -> None:
        """Read and try the certificate. Raises SettingsError where it cannot be served."""
        self._files = [each for each in (settings.tls_cert, settings.tls_key) if each is not None]
        self.exists = bool(self._files)
        self._served = self._state()
        self._key_pair = _tried(*self._files) if self._files else KeyPair(b"", b"")

    def reload(self) -> bool:
        """Read the files again; return whether there is a certificate that can be served, and log the reason if not."""
        if not self._files:
            log.info("SIGHUP reloads the certificate, but the registry is served without one")
            return False
        self._served = self._state()
        try:
            self._key_pair = _tried(*self._files)
        except SettingsError as error:
            log.error("the certificate was not reloaded, the previous one is served: %s", error)
            return False
        return True

    def copies(self) -> contextlib.AbstractContextManager[Copies]:
        """Return a block with copies of what was tried; with empty paths where there is none."""
        if not self._files:
            return contextlib.nullcontext(Copies("", ""))
        return _copies(self._files, self._key_pair)

    def watch(self, reload: Callable[[], None], sleep: Callable[[float], None] = time.sleep) -> None:
        """Call `reload` for each change, until the process ends.

        Certificate and key are two files, so a change counts once they are the same at two consecutive checks.
        """
        seen = self._served
        while True:
            sleep(WATCH_INTERVAL)
            before, seen = seen, self._state()
            if seen != self._served and seen == before:
                self._served = seen
                reload()

    def _state(self) -> list[tuple[int, int, int] | int | None]:
        """Return a value that changes when a file is written or replaced."""
        return [_file_version(path) for path in self._files]


def _file_version(path: Path) -> tuple[int, int, int] | int | None:
    try:
        status = path.stat()
    except OSError as error:
        return error.errno
    return status.st_mtime_ns, status.st_size, status.st_ino


def _tried(cert: Path, key: Path) -> KeyPair:
    """Return the content of both files, which the server accepts. Raises SettingsError."""
    key_pair = KeyPair(_read("--tls-cert", cert), _read("--tls-key", key))
    # Imported here, since a server without TLS needs neither.
    import ssl

    from lading.server.certificate_problems import expiry, problem

    with _copies([cert, key], key_pair) as copies:
        try:
            # Without a password callback, OpenSSL would prompt for one on the terminal.
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(copies.cert, copies.key, lambda: b"")
            accepted = is_served(*copies)
        except (ssl.SSLError, ValueError):
            accepted = False
    if not accepted:
        raise SettingsError(problem(cert, key, key_pair.cert, key_pair.key))
    if warning := expiry(key_pair.cert):
        log.warning("--tls-cert %s: %s", cert, warning)
    return key_pair


def _read(option: str, path: Path) -> bytes:
    """Return the content of a file. Raises SettingsError."""
    try:
        return path.read_bytes()
    except OSError as error:
        reason = error.strerror or os.strerror(error.errno or 0)
        raise SettingsError(f"{option} {path}: {reason}; name a file in PEM that this user may read") from None


@contextlib.contextmanager
def _copies(files: list[Path], key_pair: KeyPair) -> Iterator[Copies]:
    """Yield copies in memory; the files themselves where the system has no such copies (Linux has)."""
    if sys.platform != "linux" or not DESCRIPTORS.is_dir():
        yield Copies(str(files[0]), str(files[1]))
        return
    with contextlib.ExitStack() as stack:
        descriptors = []
        for content in key_pair:
            copy = stack.enter_context(os.fdopen(os.memfd_create("lading-tls"), "wb", 0))
            copy.write(content)
            descriptors.append(copy.fileno())
        cert, key = (str(DESCRIPTORS / str(each)) for each in descriptors)
        yield Copies(cert, key, tuple(descriptors))

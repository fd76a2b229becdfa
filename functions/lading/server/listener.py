"""The sockets of `lading serve`, and its certificate: both are checked before anything is made."""

import contextlib
import errno
import logging
import os
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from lading.server.tls_trial import is_served
from lading.settings import Settings, SettingsError

BACKLOG: Final = 1024
"""Connections that the system keeps until they are accepted."""

KEEPALIVE: Final = {"TCP_KEEPIDLE": 60, "TCP_KEEPINTVL": 15, "TCP_KEEPCNT": 4}
"""Seconds without data before the system asks whether the client's machine is there, seconds between questions, and
how many go unanswered before the connection ends: a client that lost power or network sends no word of it."""


WATCH_INTERVAL: Final = 2.0
"""Seconds between two looks at the files of a certificate."""

PROBE_TIMEOUT: Final = 0.5
"""Seconds in which a server on this machine takes a connection."""

WILDCARD_ADDRESSES: Final = {"0.0.0.0": ("127.0.0.1",), "::": ("::1", "127.0.0.1")}  # noqa: S104  # not listened at here
"""Addresses that stand for all of a machine's, and loopback's among those."""

BIND_ERRORS: Final = {
    errno.EADDRINUSE: "is in use; stop what listens there, or choose another port with --address",
    errno.EADDRNOTAVAIL: "is not an address of this machine; use 127.0.0.1 for it alone, or 0.0.0.0 for all networks",
    errno.EACCES: "may not be used by this user; choose a port above 1023 with --address",
}
"""What follows HOST:PORT in an error, by its number."""

NOT_SERVED: Final = (
    "this server cannot use them; use a key of RSA (2048 to 4096 bits), P-256, P-384 or Ed25519, and a certificate of"
    " version 3 (X.509v3, as `openssl req -x509` makes it) without critical extensions of your own"
)


log = logging.getLogger("lading")


NOT_HERE: Final = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)
"""Errors of an address that this machine does not have, as ::1 where IPv6 is switched off."""


@contextlib.contextmanager
def listen(settings: Settings) -> Iterator[list[socket.socket]]:
    """Listen at the address of the settings, or at all addresses of a name, until the block ends.

    Connections inherit the options of the sockets. Raises SettingsError.
    """
    shown = f"{f'[{settings.host}]' if ':' in settings.host else settings.host}:{settings.port}"
    with contextlib.ExitStack() as stack:
        listeners = []
        for family, address in _resolve(settings.host, shown):
            try:
                listeners.append(stack.enter_context(_listener(family, address, settings.port)))
            except OSError as error:
                storage_error_of = error
                if error.errno not in NOT_HERE:
                    raise _refusal(shown, error) from None
        if not listeners:
            raise _refusal(shown, storage_error_of)
        yield listeners


def _listener(family: socket.AddressFamily, address: str, port: int) -> socket.socket:
    """Raises OSError, also where another server answers at the address."""
    if any(_is_taken(probed, port) for probed in WILDCARD_ADDRESSES.get(address, (address,))):
        raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
    both = address == "::" and socket.has_dualstack_ipv6()
    listener = socket.create_server((address, port), family=family, backlog=BACKLOG, dualstack_ipv6=both)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in KEEPALIVE.items():
        if hasattr(socket, name):
            listener.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    return listener


def _refusal(shown: str, error: OSError) -> SettingsError:
    number = error.errno or 0
    return SettingsError(f"{shown} {BIND_ERRORS.get(number, f'cannot be listened at: {os.strerror(number)}')}")


def _resolve(host: str, shown: str) -> list[tuple[socket.AddressFamily, str]]:
    """Return the addresses of a host, and their families. Raises SettingsError.

    A name may have several, as `localhost` often has: clients that are told the name try any of them first, and another
    server at one of them would get a part of the connections.
    """
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError:
        raise SettingsError(
            f"--address {shown}: no address of that name is known here; use 127.0.0.1, or the address itself"
        ) from None
    return list(dict.fromkeys((family, str(address[0])) for family, *_, address in found))


def _is_taken(address: str, port: int) -> bool:
    """Return whether a server answers at an address.

    Linux refuses a second listener itself. Other systems let one at 127.0.0.1 share a port with another at 0.0.0.0, or
    at [::], and each gets some of the connections: macOS has its own server at port 5000 (AirPlay).
    """
    try:
        with socket.create_connection((address, port), timeout=PROBE_TIMEOUT) as connection:
            # A connection from a port to itself is none.
            return bool(connection.getsockname() != connection.getpeername())
    except OSError:
        return False


def check_certificate(settings: Settings) -> None:
    """Raises SettingsError where the certificate and its key cannot be served."""
    if settings.tls_cert is None or settings.tls_key is None:
        return
    # Only here is TLS of Python's wanted: the server has its own.
    import ssl

    for option, path in (("--tls-cert", settings.tls_cert), ("--tls-key", settings.tls_key)):
        try:
            path.read_bytes()
        except OSError as error:
            raise SettingsError(
                f"{option} {path}: {_reason(error)}; name a file in PEM that this user may read"
            ) from None
    try:
        # Without a password of ours, OpenSSL would ask for one on the terminal.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(settings.tls_cert, settings.tls_key, lambda: b"")
    except (ssl.SSLError, ValueError) as error:
        mismatch = getattr(error, "reason", "") == "KEY_VALUES_MISMATCH"
        reason = "the key is another certificate's" if mismatch else "both are PEM, and the key has no password"
        raise _unusable(settings, reason) from None
    if not is_served(settings.tls_cert, settings.tls_key):
        raise _unusable(settings, NOT_SERVED)


def _unusable(settings: Settings, reason: str) -> SettingsError:
    return SettingsError(f"--tls-cert {settings.tls_cert}, --tls-key {settings.tls_key}: {reason}")


def _reason(error: OSError) -> str:
    return error.strerror or os.strerror(error.errno or 0)


class Certificate:
    """The certificate of a server that runs, and its key: whether they have changed, and can be served.

    files  both, or none where there is no TLS
    """

    def __init__(self, settings: Settings) -> None:
        """Take those of the settings as they are now."""
        self.files = [each for each in (settings.tls_cert, settings.tls_key) if each is not None]
        self._settings = settings
        self._served = self._state()

    def can_be_served(self) -> bool:
        """Return whether there is a certificate that can be served; the log says why not."""
        if not self.files:
            log.info("SIGHUP reads the certificate again, and there is none")
            return False
        self._served = self._state()
        try:
            check_certificate(self._settings)
        except SettingsError as error:
            log.error("the certificate that is served stays: %s", error)
            return False
        return True

    def watch(self, reload: Callable[[], None], sleep: Callable[[float], None] = time.sleep) -> None:
        """Call `reload` for each change, until the process ends.

        Certificate and key are two files: what was changed must stay as it is from one look to the next.
        """
        seen = self._served
        while True:
            sleep(WATCH_INTERVAL)
            before, seen = seen, self._state()
            if seen != self._served and seen == before:
                self._served = seen
                reload()

    def _state(self) -> list[tuple[int, int, int] | int | None]:
        """Return what changes when a file does: by how it is written, or by its being replaced."""
        return [_file_version(path) for path in self.files]


def _file_version(path: Path) -> tuple[int, int, int] | int | None:
    try:
        found = path.stat()
    except OSError as error:
        return error.errno
    return found.st_mtime_ns, found.st_size, found.st_ino

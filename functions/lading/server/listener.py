"""The sockets and the certificate of `lading serve`; both are checked before any file is created."""

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
"""Connections that the kernel queues until they are accepted."""

KEEPALIVE: Final = {"TCP_KEEPIDLE": 60, "TCP_KEEPINTVL": 15, "TCP_KEEPCNT": 4}
"""TCP keepalive: seconds without data before the first probe, seconds between probes, and the number of failed probes
after which the connection ends. A client that loses power or network does not close its connection."""


WATCH_INTERVAL: Final = 2.0
"""Seconds between two checks of the files of a certificate for changes."""

PROBE_TIMEOUT: Final = 0.5
"""Seconds within which a server on this machine accepts a connection."""

WILDCARD_ADDRESSES: Final = {"0.0.0.0": ("127.0.0.1",), "::": ("::1", "127.0.0.1")}  # noqa: S104  # not bound here
"""Wildcard addresses, each with the loopback addresses that it covers."""

BIND_ERRORS: Final = {
    errno.EADDRINUSE: "is in use; stop what listens there, or choose another port with --address",
    errno.EADDRNOTAVAIL: "is not an address of this machine; use 127.0.0.1 for it alone, or 0.0.0.0 for all networks",
    errno.EACCES: "may not be used by this user; choose a port above 1023 with --address",
}
"""The end of an error message that begins with HOST:PORT, by errno."""

NOT_SERVED: Final = (
    "this server cannot use them; use a key of RSA (2048 to 4096 bits), P-256, P-384 or Ed25519, and a certificate of"
    " version 3 (X.509v3, as `openssl req -x509` makes it) without critical extensions of your own"
)


log = logging.getLogger("lading")


ADDRESS_UNAVAILABLE: Final = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)
"""Errors of an address that this machine does not have, such as ::1 where IPv6 is disabled."""


@contextlib.contextmanager
def listen(settings: Settings) -> Iterator[list[socket.socket]]:
    """Listen on the address of the settings, or on all addresses of a name, until the block ends.

    Connections inherit the options of the sockets.

    Yields:
        A socket for each address.

    Raises:
        SettingsError: the address cannot be used.
    """
    shown = f"{f'[{settings.host}]' if ':' in settings.host else settings.host}:{settings.port}"
    with contextlib.ExitStack() as stack:
        listeners = []
        for family, address in _resolve(settings.host, shown):
            try:
                listeners.append(stack.enter_context(_listener(family, address, settings.port)))
            except OSError as error:
                last_error = error
                if error.errno not in ADDRESS_UNAVAILABLE:
                    raise _bind_error(shown, error) from None
        if not listeners:
            raise _bind_error(shown, last_error)
        yield listeners


def _listener(family: socket.AddressFamily, address: str, port: int) -> socket.socket:
    """Return a socket that listens. Raises OSError, also where another server responds at the address."""
    if any(_is_in_use(probed, port) for probed in WILDCARD_ADDRESSES.get(address, (address,))):
        raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
    both = address == "::" and socket.has_dualstack_ipv6()
    listener = socket.create_server((address, port), family=family, backlog=BACKLOG, dualstack_ipv6=both)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in KEEPALIVE.items():
        if hasattr(socket, name):
            listener.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    return listener


def _bind_error(shown: str, error: OSError) -> SettingsError:
    number = error.errno or 0
    return SettingsError(f"{shown} {BIND_ERRORS.get(number, f'cannot be listened at: {os.strerror(number)}')}")


def _resolve(host: str, shown: str) -> list[tuple[socket.AddressFamily, str]]:
    """Return the addresses of a host, and their families. Raises SettingsError.

    A name may have several addresses, as `localhost` often has. A client may try any of them first, and another server
    at one of them would receive a part of the connections.
    """
    try:
        addresses = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError:
        raise SettingsError(
            f"--address {shown}: the name cannot be resolved; use 127.0.0.1, or the address itself"
        ) from None
    return list(dict.fromkeys((family, str(address[0])) for family, *_, address in addresses))


def _is_in_use(address: str, port: int) -> bool:
    """Return whether a server accepts connections at an address.

    Linux itself refuses a second listener. Other systems let a listener at 127.0.0.1 share its port with another at
    0.0.0.0 or [::], and each receives some of the connections: macOS has a server of its own at port 5000 (AirPlay).
    """
    try:
        with socket.create_connection((address, port), timeout=PROBE_TIMEOUT) as connection:
            # A TCP self-connection does not count.
            return bool(connection.getsockname() != connection.getpeername())
    except OSError:
        return False


def check_certificate(settings: Settings) -> None:
    """Check that the certificate and its key can be served. Raises SettingsError."""
    if settings.tls_cert is None or settings.tls_key is None:
        return
    # Imported here, since only this check needs Python's TLS: the server has its own.
    import ssl

    for option, path in (("--tls-cert", settings.tls_cert), ("--tls-key", settings.tls_key)):
        try:
            path.read_bytes()
        except OSError as error:
            raise SettingsError(
                f"{option} {path}: {_reason(error)}; name a file in PEM that this user may read"
            ) from None
    try:
        # Without a password callback, OpenSSL would prompt for one on the terminal.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(settings.tls_cert, settings.tls_key, lambda: b"")
    except (ssl.SSLError, ValueError) as error:
        mismatch = getattr(error, "reason", "") == "KEY_VALUES_MISMATCH"
        reason = "the key is another certificate's" if mismatch else "both must be PEM, and the key without a password"
        raise _unusable(settings, reason) from None
    if not is_served(settings.tls_cert, settings.tls_key):
        raise _unusable(settings, NOT_SERVED)


def _unusable(settings: Settings, reason: str) -> SettingsError:
    return SettingsError(f"--tls-cert {settings.tls_cert}, --tls-key {settings.tls_key}: {reason}")


def _reason(error: OSError) -> str:
    return error.strerror or os.strerror(error.errno or 0)


class Certificate:
    """The certificate and the key of a running server: whether they have changed, and can be served.

    files  the paths of both; empty without TLS
    """

    def __init__(self, settings: Settings) -> None:
        """Record the present state of the files that the settings name."""
        self.files = [each for each in (settings.tls_cert, settings.tls_key) if each is not None]
        self._settings = settings
        self._served = self._state()

    def can_be_served(self) -> bool:
        """Return whether there is a certificate that can be served; log the reason where not."""
        if not self.files:
            log.info("SIGHUP reloads the certificate, but the registry is served without one")
            return False
        self._served = self._state()
        try:
            check_certificate(self._settings)
        except SettingsError as error:
            log.error("the certificate was not reloaded, the previous one is served: %s", error)
            return False
        return True

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
        return [_file_version(path) for path in self.files]


def _file_version(path: Path) -> tuple[int, int, int] | int | None:
    try:
        status = path.stat()
    except OSError as error:
        return error.errno
    return status.st_mtime_ns, status.st_size, status.st_ino

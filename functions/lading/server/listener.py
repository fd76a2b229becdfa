"""The sockets of `lading serve`; they are bound before any file is created."""

import contextlib
import errno
import os
import socket
from collections.abc import Iterator
from typing import Final

from lading.setting_values import Address
from lading.settings import Settings, SettingsError

BACKLOG: Final = 1024
"""Connections that the kernel queues until they are accepted."""

KEEPALIVE: Final = {"TCP_KEEPIDLE": 60, "TCP_KEEPINTVL": 15, "TCP_KEEPCNT": 4}
"""TCP keepalive: seconds without data before the first probe, seconds between probes, and the number of failed probes
after which the connection ends. A client that loses power or network does not close its connection."""

PROBE_TIMEOUT: Final = 0.5
"""Seconds within which a server on this machine accepts a connection."""

WILDCARD_ADDRESSES: Final = {"0.0.0.0": ("127.0.0.1",), "::": ("::1", "127.0.0.1")}  # noqa: S104  # not bound here
"""Wildcard addresses, each with the loopback addresses that it covers."""

BIND_ERRORS: Final = {
    errno.EADDRINUSE: "is in use; stop what listens there, or choose another port with {option}",
    errno.EADDRNOTAVAIL: "is not an address of this machine; use 127.0.0.1 for it alone, or 0.0.0.0 for all networks",
    errno.EACCES: "may not be used by this user; choose a port above 1023 with {option}",
}
"""The end of an error message that begins with HOST:PORT, by errno; `option` is the one that set it."""

ADDRESS_UNAVAILABLE: Final = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)
"""Errors of an address that this machine does not have, such as ::1 where IPv6 is disabled."""


def listen(settings: Settings) -> contextlib.AbstractContextManager[list[socket.socket]]:
    """Listen on the registry's address. See listen_at."""
    return listen_at(settings.address, "--address")


@contextlib.contextmanager
def listen_at(address: Address, option: str) -> Iterator[list[socket.socket]]:
    """Listen on the address that `option` set, or on all addresses of a name, until the block ends.

    Connections inherit the options of the sockets.

    Yields:
        A socket for each address.

    Raises:
        SettingsError: the address cannot be used.
    """
    host, port = address
    shown = f"{f'[{host}]' if ':' in host else host}:{port}"
    with contextlib.ExitStack() as stack:
        listeners = []
        for family, resolved in _resolve(host, f"{option} {shown}"):
            try:
                listeners.append(stack.enter_context(_listener(family, resolved, port)))
            except OSError as error:
                last_error = error
                if error.errno not in ADDRESS_UNAVAILABLE:
                    raise _bind_error(shown, option, error) from None
        if not listeners:
            raise _bind_error(shown, option, last_error)
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


def _bind_error(shown: str, option: str, error: OSError) -> SettingsError:
    number = error.errno or 0
    end = BIND_ERRORS.get(number, f"cannot be listened at: {os.strerror(number)}")
    return SettingsError(f"{shown} {end.format(option=option)}")


def _resolve(host: str, shown: str) -> list[tuple[socket.AddressFamily, str]]:
    """Return the addresses of a host, and their families. Raises SettingsError.

    A name may have several addresses, as `localhost` often has. A client may try any of them first, and another server
    at one of them would receive a part of the connections.
    """
    try:
        addresses = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError:
        raise SettingsError(f"{shown}: the name cannot be resolved; use 127.0.0.1, or the address itself") from None
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

"""The socket of `lading serve`, and its certificate: both are checked before anything is made."""

import errno
import os
import socket
from typing import Final

from functions.settings import Settings, SettingsError

BACKLOG: Final = 1024
"""Connections that the system keeps until they are accepted."""

KEEPALIVE: Final = {"TCP_KEEPIDLE": 60, "TCP_KEEPINTVL": 15, "TCP_KEEPCNT": 4}
"""Seconds without data before the system asks whether the client's machine is there, seconds between questions, and
how many go unanswered before the connection ends: a client that lost power or network sends no word of it."""


def listen(settings: Settings) -> socket.socket:
    """Listen at the address of the settings; connections inherit the options of the socket. Raises SettingsError."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    both = family == socket.AF_INET6 and socket.has_dualstack_ipv6()
    try:
        listener = socket.create_server(
            (settings.host, settings.port), family=family, backlog=BACKLOG, dualstack_ipv6=both
        )
    except OSError as error:
        raise SettingsError(f"--address {settings.host}:{settings.port}: {_reason(error)}") from None
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in KEEPALIVE.items():
        if hasattr(socket, name):
            listener.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    return listener


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
            raise SettingsError(f"{option} {path}: {_reason(error)}") from None
    try:
        # Without a password of ours, OpenSSL would ask for one on the terminal.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(settings.tls_cert, settings.tls_key, lambda: b"")
    except (ssl.SSLError, ValueError) as error:
        mismatch = getattr(error, "reason", "") == "KEY_VALUES_MISMATCH"
        reason = "the key is another certificate's" if mismatch else "both are PEM, and the key has no password"
        raise SettingsError(f"--tls-cert {settings.tls_cert}, --tls-key {settings.tls_key}: {reason}") from None


def _reason(error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return "the port is in use; stop what listens there, or choose another port"
    return error.strerror or os.strerror(error.errno or 0)

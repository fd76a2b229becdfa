"""`lading ready`: whether the server of these settings is ready, for health checks of containers."""

import argparse
import contextlib
import http.client
import ssl
from typing import Final

from lading.commands.options import CommandError, Commands, add
from lading.settings import Settings

TIMEOUT: Final = 4.0
"""Seconds; container engines allow 5 by Lading's image."""

LOOPBACK: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  # not bound here
"""Where a server that listens on all addresses is reached from its own machine."""


def add_to(commands: Commands) -> None:
    """Add the command."""
    help = "check that the server of these settings, on this machine, is ready"
    add(commands, "ready", help, _ready, ("address", "tls-cert", "tls-key"))


def _ready(parsed: argparse.Namespace, settings: Settings) -> None:
    connection = _connection(settings)
    try:
        with contextlib.closing(connection):
            connection.request("GET", "/readyz")
            status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        raise CommandError(f"no server responds at {settings.host}:{settings.port}: {error}") from None
    if status != http.client.OK:
        raise CommandError(f"the server at {settings.host}:{settings.port} is not ready: its stores do not respond")


def _connection(settings: Settings) -> http.client.HTTPConnection:
    host = LOOPBACK.get(settings.host, settings.host)
    if not settings.tls_cert:
        return http.client.HTTPConnection(host, settings.port, timeout=TIMEOUT)
    # The certificate is for the registry's public name. Nothing is sent, and nothing but a status is received.
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return http.client.HTTPSConnection(host, settings.port, timeout=TIMEOUT, context=context)

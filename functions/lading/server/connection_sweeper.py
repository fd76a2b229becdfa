"""Closing connections of no further use: idle ones, and those of clients that read nothing of their responses.

The server waits for such a connection without a timeout of its own; a thread sweeps them at intervals.
"""

import logging
import time
from collections.abc import Callable
from functools import partial
from typing import Final

from lading.http.streaming import STALL_TIMEOUT, ResponseStreams
from lading.http.tcp_info import StalledResponses, close_unused

log = logging.getLogger("lading")

MAX_CONNECTIONS: Final = 2048
"""Concurrent connections. With all of them full of headers that never end, the process stays below 256 MiB."""

PRESSURE_THRESHOLD: Final = MAX_CONNECTIONS * 3 // 4
"""Number of connections from which on the timeouts under pressure apply."""

HEADER_TIMEOUT: Final = 30.0
"""Seconds within which a client must have sent its headers."""

IDLE_TIMEOUT: Final = 3600.0
"""Seconds without traffic, since the last response, after which a connection is closed: longer than any request."""

IDLE_TIMEOUT_UNDER_PRESSURE: Final = 120.0
"""IDLE_TIMEOUT under pressure: longer than a client may stall a body or a response, so no transfer is cut off."""

FIRST_REQUEST_TIMEOUT_UNDER_PRESSURE: Final = 1.0
"""HEADER_TIMEOUT under pressure, for connections on which no request has begun."""

IDLE_TIMEOUT_AT_SHUTDOWN: Final = 10.0
"""IDLE_TIMEOUT during the shutdown, which a silent client would delay otherwise."""

SWEEP_INTERVAL: Final = 2.0
"""Seconds between two sweeps."""

STALLED_RESPONSE_TIMEOUT: Final = 60.0
"""Seconds without progress after which a response, and its connection, are ended: its client reads nothing."""

PAUSED_DOWNLOAD_TIMEOUT: Final = 3600.0
"""STALLED_RESPONSE_TIMEOUT for authenticated clients, as long as no more downloads are paused than MAX_PAUSED_SHARE
allows: as long as IDLE_TIMEOUT."""


def sweep_connections(port: int, response_streams: ResponseStreams, is_stopping: Callable[[], bool]) -> None:
    """Close connections of no further use at intervals, until the process ends.

    Args:
        port: the server's port.
        response_streams: knows which downloads may be paused.
        is_stopping: returns whether the server is shutting down.
    """
    stalled = StalledResponses(port)
    while True:
        time.sleep(SWEEP_INTERVAL)
        if is_stopping():
            close_unused(port, 0, IDLE_TIMEOUT_AT_SHUTDOWN)
            continue
        try:
            _sweep_once(port, response_streams, stalled)
        except Exception:
            log.exception("unused connections could not be closed; trying again")


def _sweep_once(port: int, response_streams: ResponseStreams, stalled: StalledResponses) -> None:
    if close_unused(port, HEADER_TIMEOUT, IDLE_TIMEOUT) > PRESSURE_THRESHOLD:
        close_unused(port, FIRST_REQUEST_TIMEOUT_UNDER_PRESSURE, IDLE_TIMEOUT_UNDER_PRESSURE)
    if response_streams.limit_stalled(stalled.count(STALL_TIMEOUT)):
        log.warning("half of the threads wait for clients that read nothing: their downloads are ended")
        stalled.close_stalled(STALL_TIMEOUT)
        return
    stalled.close_stalled(
        STALLED_RESPONSE_TIMEOUT,
        partial(response_streams.paused, seconds=STALLED_RESPONSE_TIMEOUT / 2),
        PAUSED_DOWNLOAD_TIMEOUT,
    )

"""Metrics of the stores' calls, by a hook around each (lading_storage.forwarding)."""

import time
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

from lading.metrics.instruments import Instrument
from lading_storage.forwarding import Hook

T = TypeVar("T")

DRIVERS: Final = {"file": "filesystem", "sqlite": "sqlite", "gs": "gcs", "firestore": "firestore"}
"""The drivers, by the scheme of a store's URL; `filesystem` and `gcs` are distribution's names as well."""


def timing_hook(actions: Instrument, url: str) -> Hook:
    """Return the hook that observes the seconds of each call of the store at `url`, failed ones as well."""
    driver = DRIVERS[urlsplit(url).scheme]

    def observe(method: str, arguments: Mapping[str, Any], forward: Callable[[], T], /) -> T:
        began = time.perf_counter()
        try:
            return forward()
        finally:
            actions[driver, method].observe(time.perf_counter() - began)

    return observe

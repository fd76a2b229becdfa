"""Metrics of the stores' calls, by a hook around each (lading_storage.forwarding)."""

import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from lading.drivers import driver_of
from lading.metrics.instruments import Instrument
from lading_storage.errors import Conflict
from lading_storage.forwarding import Hook

T = TypeVar("T")


def timing_hook(actions: Instrument, url: str) -> Hook:
    """Return the hook that observes the seconds of each call of the store at `url`, failed ones as well."""
    driver = driver_of(url)

    def observe(method: str, arguments: Mapping[str, Any], forward: Callable[[], T], /) -> T:
        began = time.perf_counter()
        try:
            return forward()
        finally:
            actions[driver, method].observe(time.perf_counter() - began)

    return observe


def conflict_hook(hook: Hook, conflicts: Instrument) -> Hook:
    """Return `hook` for a metadata store, with its commits counted that another change preceded."""

    def observe(method: str, arguments: Mapping[str, Any], forward: Callable[[], T], /) -> T:
        try:
            return hook(method, arguments, forward)
        except Conflict:
            conflicts[()].inc()
            raise

    return observe

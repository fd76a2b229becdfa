"""Costs of making a document, as counts that do not depend on the machine."""

import sys
import tracemalloc
from collections import Counter
from collections.abc import Callable
from types import FrameType
from typing import Any

from lading.scanning.documents import cyclonedx, package_url


def calls_of(act: Callable[[], object]) -> int:
    """Return the number of calls of Python and C functions."""
    counts = Counter[str]()

    def count(frame: FrameType, event: str, argument: Any) -> None:
        counts[event] += 1

    _forget()
    before = sys.getprofile()
    sys.setprofile(count)
    try:
        act()
    finally:
        sys.setprofile(before)
    return counts["call"] + counts["c_call"]


def peak_of(act: Callable[[], object]) -> int:
    """Return the bytes that Python allocated at most, above those before."""
    _forget()
    tracemalloc.start()
    try:
        act()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def _forget() -> None:
    """Empty what is kept of packages, which tests before may have filled."""
    for each in (cyclonedx._reference, package_url.package_url):
        each.cache_clear()

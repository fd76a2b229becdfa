"""Objects that are lost or damaged, and calls of both stores that are counted, so that something happens at one."""

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, Final, TypeVar

from lading.jobs.gc.collect import Collector
from lading.jobs.gc.sweep import HOUR, GracePeriods
from lading.jobs.scrub import Scrubber
from lading.registry.registry import Registry
from lading_storage.protocols import BlobStore
from lading_storage.stores import Stores
from tests.support.store_hooks import Killed, hooked_registry

T = TypeVar("T")
Damage = Callable[[bytes], bytes | None]

DAMAGES: Final[Mapping[str, Damage]] = {
    "missing": lambda content: None,
    "emptied": lambda content: b"",
    "cut": lambda content: content[: len(content) // 2],
    "longer": lambda content: content + b"x",
    "flipped": lambda content: bytes([content[0] ^ 1]) + content[1:],
}
FOUND_BY_PUSH: Final = [name for name in DAMAGES if name != "flipped"]
"""By a push: other bytes of the same number are found by scrub alone."""


def damage(blobs: BlobStore, name: str, content: bytes, kind: str) -> None:
    """Damage an object that holds `content`."""
    blobs.delete(name)
    left = DAMAGES[kind](content)
    if left is not None:
        blobs.append(name, [left] if left else [])


def scrub(registry: Registry, *, repair: bool = False) -> list[str]:
    """Scrub; returns the findings."""
    report = Scrubber(registry, repair).run()
    assert report is not None
    assert report.finished
    return report.findings


def collect(registry: Registry, *, concurrent: bool = False) -> None:
    """Remove all that is left over, as hours of waiting would; `concurrent` others, what nothing links alone."""
    none = timedelta(0)
    # A session that was dropped is swept an hour later, when the readers of its blob have ended.
    waits = GracePeriods(timedelta(days=1), none, none, HOUR) if concurrent else GracePeriods(none, none, none, none)
    for _ in range(2):
        report = Collector(registry, waits).run()
        assert report is not None
        assert report.finished


class InterleavingStores:
    """A pair of stores whose calls are counted; just before the one whose number is `point`, `then` is done, once."""

    def __init__(self, stores: Stores, point: int = -1, then: Callable[[], Any] = lambda: None) -> None:
        self.count = 0
        self._point = point
        self._then = then
        self.registry = hooked_registry(stores, self._step)

    def _step(self, method: str, arguments: Mapping[str, Any], forward: Callable[[], T], /) -> T:
        number, self.count = self.count, self.count + 1
        if number == self._point:
            self._then()
        return forward()


def kill() -> None:
    """Stop the caller for ever."""
    raise Killed

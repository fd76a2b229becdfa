"""Objects that are lost or damaged, and calls of both stores that are counted, so that something happens at one."""

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, Final

from lading.jobs.gc.collect import Collector
from lading.jobs.gc.sweep import HOUR, GracePeriods
from lading.jobs.scrub import Scrubber
from lading.registry.registry import Registry
from lading_storage.protocols import BlobStore
from lading_storage.stores import Stores

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
    # A session that was dropped is swept an hour later, when whoever had read its blob has ended.
    waits = GracePeriods(timedelta(days=1), none, none, HOUR) if concurrent else GracePeriods(none, none, none, none)
    for _ in range(2):
        report = Collector(registry, waits).run()
        assert report is not None
        assert report.finished


class Killed(BaseException):
    """Stands for kill -9: nothing catches it."""


class InterleavingStores:
    """A pair of stores whose calls are counted; just before the one whose number is `point`, `then` is done, once."""

    def __init__(self, stores: Stores, point: int = -1, then: Callable[[], Any] = lambda: None) -> None:
        self.count = 0
        self._point = point
        self._then = then
        self.blobs: Any = _CountedStore(stores.blobs, self)
        self.metadata: Any = _CountedStore(stores.metadata, self)

    @property
    def registry(self) -> Registry:
        """A registry over these stores."""
        return Registry(self.blobs, self.metadata)

    def step(self) -> None:
        number, self.count = self.count, self.count + 1
        if number == self._point:
            self._then()


class _CountedStore:
    def __init__(self, store: Any, steps: InterleavingStores) -> None:
        self._store = store
        self._steps = steps

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._store, name)

        def call(*arguments: Any, **options: Any) -> Any:
            self._steps.step()
            return method(*arguments, **options)

        return call


def kill() -> None:
    """Stop whoever does this, for ever."""
    raise Killed

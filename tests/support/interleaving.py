"""A metadata store that lets something else happen between two of its calls."""

import random
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from lading_storage.forwarding import ForwardingMetadata
from lading_storage.protocols import MetadataStore, Write

T = TypeVar("T")


class InterleavingStore(ForwardingMetadata):
    """Forwards each call; just before the one whose number is `point`, from 0 on, `then` is called, once."""

    def __init__(self, store: MetadataStore, point: int = -1, then: Callable[[], Any] = lambda: None) -> None:
        super().__init__(store, self._interleave)
        self.calls = 0
        self._point = point
        self._then = then

    def _interleave(self, method: str, arguments: Mapping[str, Any], forward: Callable[[], T], /) -> T:
        number = self.calls
        if method != "close":
            self.calls += 1
            if number == self._point:
                self._then()
        return forward()


class DelayedCommits(ForwardingMetadata):
    """Waits some milliseconds before each commit, so that others come in between as often as can be."""

    def commit(self, writes: Sequence[Write]) -> None:
        time.sleep(random.uniform(0, 0.01))
        super().commit(writes)

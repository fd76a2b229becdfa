"""Pairs of stores that fail by plan: those of Google behind proxies, those of a laptop below a layer of our own."""

import contextlib
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

import pytest

from emulators import Emulators
from lading import settings
from lading.composition import open_blobs, open_metadata
from lading_storage.errors import Unavailable
from lading_storage.protocols import BlobStore, Found, MetadataStore, QueueCursor, Queued, StoredObject, Write
from lading_storage.query import Query
from lading_storage.records.core import Key, R
from lading_storage.stores import Stores
from tests.faults.grpc_fault_proxy import failing_grpc
from tests.faults.protocol_relay import Relay
from tests.support.fault_plan import FaultKind, Plan
from tests.support.http_fault_proxy import failing_http

T = TypeVar("T")

BEFORE_OR_AFTER: Final = frozenset({FaultKind.RESET_BEFORE, FaultKind.RESET_AFTER})
"""What can happen to a call that goes over no network."""


@dataclass(frozen=True)
class FailingStores:
    """A plan, and where to get new, empty pairs of stores from that follow it."""

    plan: Plan
    fresh: Callable[[], Stores]


@contextlib.contextmanager
def failing_google(emulators: Emulators) -> Iterator[FailingStores]:
    """Stores on the emulators; whatever is opened in this process until the end of the block goes through proxies."""
    plan = Plan()
    with contextlib.ExitStack() as stack:
        storage = stack.enter_context(failing_http(urlsplit(emulators.storage.url).netloc, plan))
        firestore = stack.enter_context(Relay())
        firestore.http1 = stack.enter_context(failing_http(emulators.firestore.address, plan))
        firestore.http2 = stack.enter_context(failing_grpc(emulators.firestore.address, plan, firestore))
        proxies = {
            "STORAGE_EMULATOR_HOST": f"http://localhost:{storage}",
            "FIRESTORE_EMULATOR_HOST": f"127.0.0.1:{firestore.port}",
        }
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        for name, value in proxies.items():
            patch.setenv(name, value)

        def fresh() -> Stores:
            read = settings.load_settings({**emulators.fresh_stores(), **proxies})
            return Stores(open_blobs(read.blobs), open_metadata(read.metadata))

        yield FailingStores(plan, fresh)


def failing_local(folder: Path) -> FailingStores:
    """Stores in folders below `folder`."""
    plan, numbers = Plan(), itertools.count()

    def fresh() -> Stores:
        read = settings.load_settings({"LADING_DATA": str(folder / str(next(numbers)))})
        return Stores(FailingBlobs(open_blobs(read.blobs), plan), FailingMetadata(open_metadata(read.metadata), plan))

    return FailingStores(plan, fresh)


def call_with_faults(plan: Plan, call: Callable[[], T]) -> T:
    """Make a call, which may fail before or after it takes effect."""
    kind = plan.next_fault(BEFORE_OR_AFTER)
    if kind is FaultKind.RESET_BEFORE:
        raise Unavailable("by plan")
    answer = call()
    if kind is FaultKind.RESET_AFTER:
        raise Unavailable("by plan, and it is done")
    return answer


class FailingBlobs:
    """A blob store that fails by plan."""

    def __init__(self, inner: BlobStore, plan: Plan) -> None:
        self._inner = inner
        self._plan = plan

    def append(self, name: str, chunks: Iterable[bytes], size: int | None = None) -> StoredObject:
        return call_with_faults(self._plan, lambda: self._inner.append(name, chunks, size))

    def join(self, name: str, parts: Sequence[str]) -> StoredObject:
        return call_with_faults(self._plan, lambda: self._inner.join(name, parts))

    def replace(self, name: str, by: str) -> None:
        call_with_faults(self._plan, lambda: self._inner.replace(name, by))

    def open(self, name: str, start: int, stop: int) -> Iterator[bytes]:
        """Fails at once, or after the first piece."""
        kind = self._plan.next_fault(BEFORE_OR_AFTER)
        if kind is FaultKind.RESET_BEFORE:
            raise Unavailable("by plan")
        pieces = self._inner.open(name, start, stop)
        return truncated(pieces) if kind is FaultKind.RESET_AFTER else pieces

    def signed_url(self, name: str) -> str | None:
        return self._inner.signed_url(name)

    def delete(self, name: str) -> None:
        call_with_faults(self._plan, lambda: self._inner.delete(name))

    def names(self, prefix: str, *, after: str = "", limit: int) -> list[str]:
        return call_with_faults(self._plan, lambda: self._inner.names(prefix, after=after, limit=limit))

    def strays(self, *, limit: int) -> list[str]:
        return call_with_faults(self._plan, lambda: self._inner.strays(limit=limit))

    def close(self) -> None:
        self._inner.close()


def truncated(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The first of `pieces`."""
    yield next(pieces)
    raise Unavailable("by plan, in the middle")


class FailingMetadata:
    """A metadata store that fails by plan."""

    def __init__(self, inner: MetadataStore, plan: Plan) -> None:
        self._inner = inner
        self._plan = plan

    def read(self, keys: Sequence[Key[Any]], *, content: bool = True) -> Found:
        return call_with_faults(self._plan, lambda: self._inner.read(keys, content=content))

    def find(self, query: Query[R]) -> list[R]:
        return call_with_faults(self._plan, lambda: self._inner.find(query))

    def due(
        self, kind: type[R], queue: str, until: datetime, *, after: QueueCursor[R] | None = None, limit: int
    ) -> list[Queued[R]]:
        return call_with_faults(self._plan, lambda: self._inner.due(kind, queue, until, after=after, limit=limit))

    def commit(self, writes: Sequence[Write]) -> None:
        call_with_faults(self._plan, lambda: self._inner.commit(writes))

    def compact(self, limit: int) -> int:
        return call_with_faults(self._plan, lambda: self._inner.compact(limit))

    def schema_raised(self) -> datetime | None:
        return call_with_faults(self._plan, self._inner.schema_raised)

    def close(self) -> None:
        self._inner.close()

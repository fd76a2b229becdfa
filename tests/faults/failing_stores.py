"""Pairs of stores that fail by plan: those of Google behind proxies, those of a laptop below a layer of our own."""

import contextlib
import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

import pytest

from emulators import Emulators
from lading import settings
from lading.composition import open_blobs, open_metadata
from lading_storage.errors import Unavailable
from lading_storage.forwarding import ForwardingBlobs, ForwardingMetadata
from lading_storage.protocols import BlobStore
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
        metadata = ForwardingMetadata(open_metadata(read.metadata), Faults(plan))
        return Stores(FailingBlobs(open_blobs(read.blobs), plan), metadata)

    return FailingStores(plan, fresh)


class Faults:
    """Hook that fails calls by plan, before or after they take effect."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan

    def __call__(self, method: str, arguments: Mapping[str, Any], forward: Callable[[], T], /) -> T:
        if method in ("signed_url", "close"):
            return forward()
        kind = self._plan.next_fault(BEFORE_OR_AFTER)
        if kind is FaultKind.RESET_BEFORE:
            raise Unavailable("by plan")
        result = forward()
        if kind is FaultKind.RESET_AFTER:
            raise Unavailable("by plan, and it is done")
        return result


class FailingBlobs(ForwardingBlobs):
    """A blob store that fails by plan: `open` at once, or after the first piece."""

    def __init__(self, store: BlobStore, plan: Plan) -> None:
        super().__init__(store, Faults(plan))
        self._plan = plan

    def open(self, name: str, start: int, stop: int) -> Iterator[bytes]:
        kind = self._plan.next_fault(BEFORE_OR_AFTER)
        if kind is FaultKind.RESET_BEFORE:
            raise Unavailable("by plan")
        pieces = self._store.open(name, start, stop)
        return truncated(pieces) if kind is FaultKind.RESET_AFTER else pieces


def truncated(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The first of `pieces`."""
    yield next(pieces)
    raise Unavailable("by plan, in the middle")

"""Hooks around the calls of stores (lading_storage.forwarding): for counts, faults, and what happens in between."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from lading.registry.registry import Registry
from lading_storage.errors import Unavailable
from lading_storage.forwarding import ForwardingBlobs, ForwardingMetadata, Hook
from lading_storage.protocols import BlobStore, MetadataStore
from lading_storage.stores import Stores

T = TypeVar("T")


def hooked(stores: Stores, hook: Hook) -> Stores:
    """Return the stores with `hook` around each call of both."""
    return Stores(ForwardingBlobs(stores.blobs, hook), ForwardingMetadata(stores.metadata, hook))


def hooked_registry(stores: Stores, hook: Hook, **options: Any) -> Registry:
    """Return a registry over the stores with `hook` around each call of both."""
    around = hooked(stores, hook)
    return Registry(around.blobs, around.metadata, **options)


class RecordedBlobs(ForwardingBlobs):
    """A blob store that records the names of the methods that are called."""

    def __init__(self, store: BlobStore) -> None:
        self.calls: list[str] = []
        super().__init__(store, recorder(self.calls))


class RecordedMetadata(ForwardingMetadata):
    """A metadata store that records the names of the methods that are called."""

    def __init__(self, store: MetadataStore) -> None:
        self.calls: list[str] = []
        super().__init__(store, recorder(self.calls))


def recorder(calls: list[str]) -> Hook:
    """Return a hook that adds the name of each method that is called to `calls`."""

    def record(method: str, arguments: Mapping[str, Any], forward: Callable[[], T], /) -> T:
        calls.append(method)
        return forward()

    return record


class Fault:
    """Hook that raises an error instead of the calls that a condition selects, while it is active."""

    def __init__(
        self,
        method: str,
        error: Exception | None = None,
        when: Callable[[Mapping[str, Any]], bool] = lambda arguments: True,
    ) -> None:
        """Fail calls of `method` for whose arguments `when` is true."""
        self.active = True
        self._method = method
        self._error = error or Unavailable("by plan")
        self._when = when

    def __call__(self, method: str, arguments: Mapping[str, Any], forward: Callable[[], T], /) -> T:
        if self.active and method == self._method and self._when(arguments):
            raise self._error
        return forward()


class Killed(BaseException):
    """Stands for kill -9: nothing catches it."""


def kill_after_commit(method: str, arguments: Mapping[str, Any], forward: Callable[[], T], /) -> T:
    """Hook that ends the process after its first commit, as kill -9 would."""
    result = forward()
    if method == "commit":
        raise Killed
    return result

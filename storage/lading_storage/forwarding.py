"""Stores that forward each call to another store through a hook: for faults, counts, traces and caches.

    store.read(keys)  ─▶  hook("read", {"keys": keys, "content": True}, forward)  ─▶  the other store's read(keys)

A hook sees the name of the method, its arguments by name, and, by calling `forward`, its result or exception. It can
act before and after the call, return another result, raise, or not forward the call at all. A subclass can override
a method instead.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol, TypeVar

from lading_storage.protocols import BlobStore, Found, MetadataStore, QueueCursor, Queued, StoredObject, Write
from lading_storage.query import Query
from lading_storage.records.core import Key, R

T = TypeVar("T")


class Hook(Protocol):
    """Function around each call of a store."""

    def __call__(self, method: str, arguments: Mapping[str, Any], forward: Callable[[], T], /) -> T:
        """Return the result of a call, by default that of `forward()`.

        Args:
            method: the name of the method.
            arguments: its arguments by name, including those that have their default.
            forward: calls the other store. An iterator that it returns, and one among the arguments, is consumed
                later than, or during, this call.
        """
        ...


def forward_only(method: str, arguments: Mapping[str, Any], forward: Callable[[], T], /) -> T:
    """Hook that does nothing."""
    return forward()


class ForwardingBlobs:
    """BlobStore that forwards each call to another one through a hook."""

    def __init__(self, store: BlobStore, hook: Hook = forward_only) -> None:
        """Forward to `store`, with `hook` around each call."""
        self._store = store
        self._hook = hook

    def append(self, name: str, chunks: Iterable[bytes], size: int | None = None) -> StoredObject:
        """See BlobStore.append."""
        arguments = {"name": name, "chunks": chunks, "size": size}
        return self._hook("append", arguments, lambda: self._store.append(name, chunks, size))

    def join(self, name: str, parts: Sequence[str]) -> StoredObject:
        """See BlobStore.join."""
        return self._hook("join", {"name": name, "parts": parts}, lambda: self._store.join(name, parts))

    def replace(self, name: str, by: str) -> None:
        """See BlobStore.replace."""
        self._hook("replace", {"name": name, "by": by}, lambda: self._store.replace(name, by))

    def open(self, name: str, start: int, stop: int) -> Iterator[bytes]:
        """See BlobStore.open."""
        arguments = {"name": name, "start": start, "stop": stop}
        return self._hook("open", arguments, lambda: self._store.open(name, start, stop))

    def signed_url(self, name: str) -> str | None:
        """See BlobStore.signed_url."""
        return self._hook("signed_url", {"name": name}, lambda: self._store.signed_url(name))

    def delete(self, name: str) -> None:
        """See BlobStore.delete."""
        self._hook("delete", {"name": name}, lambda: self._store.delete(name))

    def names(self, prefix: str, *, after: str = "", limit: int) -> list[str]:
        """See BlobStore.names."""
        arguments = {"prefix": prefix, "after": after, "limit": limit}
        return self._hook("names", arguments, lambda: self._store.names(prefix, after=after, limit=limit))

    def strays(self, *, limit: int) -> list[str]:
        """See BlobStore.strays."""
        return self._hook("strays", {"limit": limit}, lambda: self._store.strays(limit=limit))

    def close(self) -> None:
        """See BlobStore.close."""
        self._hook("close", {}, self._store.close)


class ForwardingMetadata:
    """MetadataStore that forwards each call to another one through a hook."""

    def __init__(self, store: MetadataStore, hook: Hook = forward_only) -> None:
        """Forward to `store`, with `hook` around each call."""
        self._store = store
        self._hook = hook

    def read(self, keys: Sequence[Key[Any]], *, content: bool = True) -> Found:
        """See MetadataStore.read."""
        arguments = {"keys": keys, "content": content}
        return self._hook("read", arguments, lambda: self._store.read(keys, content=content))

    def find(self, query: Query[R]) -> list[R]:
        """See MetadataStore.find."""
        return self._hook("find", {"query": query}, lambda: self._store.find(query))

    def due(
        self, kind: type[R], queue: str, until: datetime, *, after: QueueCursor[R] | None = None, limit: int
    ) -> list[Queued[R]]:
        """See MetadataStore.due."""
        arguments = {"kind": kind, "queue": queue, "until": until, "after": after, "limit": limit}
        return self._hook("due", arguments, lambda: self._store.due(kind, queue, until, after=after, limit=limit))

    def commit(self, writes: Sequence[Write]) -> None:
        """See MetadataStore.commit."""
        self._hook("commit", {"writes": writes}, lambda: self._store.commit(writes))

    def compact(self, limit: int) -> int:
        """See MetadataStore.compact."""
        return self._hook("compact", {"limit": limit}, lambda: self._store.compact(limit))

    def schema_raised(self) -> datetime | None:
        """See MetadataStore.schema_raised."""
        return self._hook("schema_raised", {}, self._store.schema_raised)

    def close(self) -> None:
        """See MetadataStore.close."""
        self._hook("close", {}, self._store.close)

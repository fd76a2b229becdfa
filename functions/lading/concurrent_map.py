"""Concurrent calls of one function, each of which waits for the network."""

from collections.abc import Callable, Iterable
from typing import TypeVar

T = TypeVar("T")
V = TypeVar("V")


def map_concurrently(function: Callable[[T], V], items: Iterable[T], max_concurrency: int) -> list[V]:
    """Return the results of `function` for each item, in order. Raises what it raises.

    Each call has the context variables of the caller, so that its spans belong to the caller's trace.
    """
    # Imported here, since most requests need no threads.
    from concurrent.futures import ThreadPoolExecutor
    from contextvars import copy_context

    with ThreadPoolExecutor(max_concurrency) as pool:
        # A context of its own for each call: none can be entered twice at a time.
        calls = [(copy_context(), item) for item in items]
        return list(pool.map(lambda call: call[0].run(function, call[1]), calls))

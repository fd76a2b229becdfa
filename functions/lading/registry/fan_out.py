"""Queries that must be asked for each of many things: many at a time, since each is a round trip."""

from collections.abc import Callable, Iterable
from typing import Final, TypeVar

T = TypeVar("T")
A = TypeVar("A")

MAX_CONCURRENCY: Final = 16
MAX_SEQUENTIAL: Final = 4
"""So few are asked one after the other: threads would cost more."""


def ask_each(ask: Callable[[T], A], things: Iterable[T]) -> list[tuple[T, A]]:
    """Return each distinct thing with its answer, in order. Raises what `ask` raises."""
    distinct = list(dict.fromkeys(things))
    if len(distinct) <= MAX_SEQUENTIAL:
        return [(thing, ask(thing)) for thing in distinct]
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(MAX_CONCURRENCY) as pool:
        return list(zip(distinct, pool.map(ask, distinct), strict=True))

"""Pages of a listing, and listings to their end."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from storage.protocols import MetadataStore
from storage.records import Key, R

T = TypeVar("T")

SIZE: Final = 500
"""Records in memory at a time."""


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Some items of a listing, and behind which id the next page begins: "" where there is none."""

    items: Sequence[T]
    next: str = ""


def scan_all(metadata: MetadataStore, kind: type[R], repository: str = "") -> Iterator[R]:
    """All records of a kind in a repository, sorted, without `content`, a page in memory at a time."""
    after = ""
    while page := metadata.scan(kind, repository, after=after, limit=SIZE):
        yield from page
        if len(page) < SIZE:
            return
        after = page[-1].id


def find_all(
    metadata: MetadataStore, kind: type[R], where: Mapping[str, str], repository: str | None = ""
) -> Iterator[R]:
    """All records that MetadataStore.find finds, a page in memory at a time."""
    after: Key[Any] | None = None
    while page := metadata.find(kind, where, repository=repository, after=after, limit=SIZE):
        yield from page
        if len(page) < SIZE:
            return
        after = page[-1].key

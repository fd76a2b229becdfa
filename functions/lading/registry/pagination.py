"""Pages of a listing, and listings to their end."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from lading_storage.errors import Corrupt
from lading_storage.protocols import MetadataStore
from lading_storage.records.core import Key, R

T = TypeVar("T")

PAGE_SIZE: Final = 500
"""Records in memory at a time."""


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Some items of a listing, and behind which id the next page begins: "" where there is none."""

    items: Sequence[T]
    next: str = ""


def scan_all(metadata: MetadataStore, kind: type[R], repository: str = "") -> Iterator[R]:
    """All records of a kind in a repository, sorted, without `content`, a page in memory at a time.

    Raises Corrupt where a page does not advance, as that of a damaged index: the loop would not end.
    """
    after = ""
    while page := metadata.scan(kind, repository, after=after, limit=PAGE_SIZE):
        check_advance(kind.order(after) if after else "", [kind.order(record.id) for record in page])
        yield from page
        if len(page) < PAGE_SIZE:
            return
        after = page[-1].id


def find_all(
    metadata: MetadataStore, kind: type[R], where: Mapping[str, str], repository: str | None = ""
) -> Iterator[R]:
    """All records that MetadataStore.find finds, a page in memory at a time. Raises Corrupt as `scan_all` does."""
    after: Key[Any] | None = None
    while page := metadata.find(kind, where, repository=repository, after=after, limit=PAGE_SIZE):
        if repository is None:
            check_cursors_advance(after, [record.key for record in page])
        else:
            check_advance(after.id if after else "", [record.id for record in page])
        yield from page
        if len(page) < PAGE_SIZE:
            return
        after = page[-1].key


def check_advance(after: str, page: Sequence[str]) -> None:
    """Raise Corrupt unless a page of a sorted listing begins behind `after` and ends behind its beginning."""
    if page[0] <= after or page[-1] < page[0]:
        raise Corrupt(f"a listing does not advance behind {after or 'its beginning'}: an index is damaged")


def check_cursors_advance(after: object, page: Sequence[object]) -> None:
    """Raise Corrupt where the place `after` which a page begins comes again, at its beginning or at its end.

    That is all that can be told of places in an order of the store's own.
    """
    if after is not None and after in (page[0], page[-1]):
        raise Corrupt(f"a listing does not advance behind {after}: an index is damaged")

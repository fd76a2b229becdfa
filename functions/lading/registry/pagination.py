"""Pages of a listing, and iteration over all pages."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from lading_storage.errors import Corrupt
from lading_storage.protocols import MetadataStore
from lading_storage.query import Query
from lading_storage.records.core import Key, R

T = TypeVar("T")

PAGE_SIZE: Final = 500
"""Records read, and held in memory, at a time."""


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Page of a listing; `next` is the id after which the next page begins, or "" on the last page."""

    items: Sequence[T]
    next: str = ""


def scan_all(metadata: MetadataStore, kind: type[R], repository: str = "") -> Iterator[R]:
    """Yield all records of a kind in a repository, sorted by `kind.order`. See find_all."""
    return find_all(metadata, kind, {}, repository)


def find_all(
    metadata: MetadataStore, kind: type[R], where: Mapping[str, str], repository: str | None = "", after: str = ""
) -> Iterator[R]:
    """Yield all results of a query, sorted, without `content`, with one page in memory at a time.

    With `after`, they are those after an id, of one repository.

    Raises Corrupt if a page does not advance, as with a damaged index: the loop would not end.
    """
    query = Query(kind, where, repository=repository, after=after, limit=PAGE_SIZE)
    order = str if where else kind.order
    last: Key[R] | None = None
    while page := metadata.find(query):
        if repository is None:
            check_cursors_advance(last, [record.key for record in page])
        else:
            check_advance(order(last.id) if last else after, [order(record.id) for record in page])
        yield from page
        if len(page) < query.limit:
            return
        last, query = page[-1].key, query.after_record(page[-1])


def check_advance(after: str, page: Sequence[str]) -> None:
    """Raise Corrupt unless a page of a sorted listing begins after `after`, and does not end before it begins."""
    if page[0] <= after or page[-1] < page[0]:
        raise Corrupt(f"a listing does not advance after {after or 'its beginning'}: an index is damaged")


def check_cursors_advance(after: object, page: Sequence[object]) -> None:
    """Raise Corrupt if the cursor `after` is repeated as the first or the last item of the page after it.

    More cannot be checked, since the order of the cursors is private to the store.
    """
    if after is not None and after in (page[0], page[-1]):
        raise Corrupt(f"a listing does not advance after {after}: an index is damaged")

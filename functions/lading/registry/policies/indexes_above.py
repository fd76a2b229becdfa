"""IndexesAbove: the live indexes that contain a manifest, with their trust, those first that are likely to vouch.

    indexes, page by page ─▶ trust that is current: those with signatures
                          └▶ stale or none: verified at the end, a few for each decision: later ones find the rest

Who may push can push indexes of any image: however many there are, the one that is signed is found. Its push of the
signature verified it, so that it is among the first. Of more than MAX_INDEXES, each decision searches so many, and the
next one in the process those after them: until then the image is refused.
"""

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from itertools import islice
from typing import Final

from lading.registry.pagination import find_all
from lading.registry.trust.trust_contents import is_current
from lading_storage.protocols import MetadataStore
from lading_storage.records.core import Key, Manifest
from lading_storage.records.trust import Trust

MAX_INDEXES: Final = 1_000
"""Indexes of one manifest that are searched for one decision."""

MAX_POSITIONS: Final = 1_000
"""Manifests of which it is known where the next search begins."""

MAX_VERIFIED: Final = 20
"""Of these, those whose signatures are verified for one decision."""

PAGE_SIZE: Final = 100

Above = tuple[Manifest, Trust | None]


class IndexesAbove:
    """Indexes of one registry."""

    def __init__(self, metadata: MetadataStore, unwritten: Callable[[Key[Trust]], Trust | None]) -> None:
        """Read from `metadata`. `unwritten` returns trust that was verified and is not in it, as of a standby."""
        self._metadata = metadata
        self._unwritten = unwritten
        self._positions: dict[tuple[str, str], str] = {}

    def of(self, repository: str, digest: str, fingerprints: Iterable[str], now: datetime) -> Iterator[Above]:
        """Yield the live indexes that contain a manifest, without content, and their trust.

        Args:
            repository: of the manifest, and of the indexes.
            digest: of the manifest.
            fingerprints: of all keys, certificates and roots that count.
            now: the time.

        Raises:
            StorageError: the store failed.
        """
        unverified: list[Above] = []
        searched, position = 0, self._positions.pop((repository, digest), "")
        found_all = find_all(self._metadata, Manifest, {"children": digest}, repository, position)
        indexes = islice(found_all, MAX_INDEXES)
        while page := list(islice(indexes, PAGE_SIZE)):
            searched, position = searched + len(page), page[-1].id
            keys = [Key(Trust, each.digest, repository) for each in page]
            found = self._metadata.read(keys)
            for index, key in zip(page, keys, strict=True):
                trust = found[key]
                if not is_current(trust, fingerprints, now):
                    trust = self._unwritten(key) or trust
                if trust is None or not is_current(trust, fingerprints, now):
                    unverified.append((index, trust))
                elif trust.signatures:
                    yield index, trust
        if searched == MAX_INDEXES:
            self._go_on((repository, digest), position)
        unverified.sort(key=_hope)
        yield from unverified[:MAX_VERIFIED]

    def _go_on(self, image: tuple[str, str], position: str) -> None:
        """Let the next search for an image begin after an index."""
        if len(self._positions) >= MAX_POSITIONS:
            self._positions = {}
        self._positions[image] = position


def _hope(index: Above) -> int:
    """Return the order in which indexes are verified.

    First those with signatures that counted before: after a change of keys, all trust is stale. Where there is trust of
    another, there was a signature of anybody, or an earlier decision verified it.
    """
    trust = index[1]
    return 2 if trust is None else 0 if trust.signatures else 1

"""Which blobs several repositories link, in an amount of memory that does not grow with the registry."""

import sqlite3
from collections.abc import Iterable, Mapping
from typing import Final

BATCH_SIZE: Final = 500
"""Digests in one query: SQLite takes 999 values even where it is old."""

CACHE_SIZE: Final = 8 * 1024
"""KiB of pages that SQLite keeps in memory; the rest is in a temporary file, which is gone with the process."""


class SharedBlobs:
    """Counts, for each blob, whether one repository links it or more.

    A digest is known by the first 8 of its bytes: of ten million blobs, two collide in one of 370,000 registries.
    """

    def __init__(self) -> None:
        """Begin with nothing, in a temporary database."""
        self._database = sqlite3.connect("", isolation_level=None)
        self._database.execute(f"PRAGMA cache_size = -{CACHE_SIZE}")
        self._database.execute("PRAGMA synchronous = OFF")
        self._database.execute("PRAGMA journal_mode = OFF")
        self._database.execute("CREATE TABLE blobs (id INTEGER PRIMARY KEY, shared INTEGER NOT NULL DEFAULT 0)")
        self._database.execute("BEGIN")

    def add(self, sizes: Mapping[str, int]) -> int:
        """Count the blobs of one more repository; returns the bytes of those that were not seen before."""
        known = self._known(sizes, "SELECT id FROM blobs WHERE id IN")
        self._database.executemany("UPDATE blobs SET shared = 1 WHERE id = ?", [(_id(digest),) for digest in known])
        fresh = [digest for digest in sizes if digest not in known]
        self._database.executemany("INSERT OR IGNORE INTO blobs (id) VALUES (?)", [(_id(digest),) for digest in fresh])
        return sum(sizes[digest] for digest in fresh)

    def shared_among(self, digests: Iterable[str]) -> set[str]:
        """Return those of `digests` that more than one of the repositories link."""
        return self._known(digests, "SELECT id FROM blobs WHERE shared AND id IN")

    def close(self) -> None:
        """Give up the temporary database."""
        self._database.close()

    def _known(self, digests: Iterable[str], query: str) -> set[str]:
        """Return those of `digests` that a query finds."""
        ids = {_id(digest): digest for digest in digests}
        found: set[str] = set()
        asked = list(ids)
        for start in range(0, len(asked), BATCH_SIZE):
            some = asked[start : start + BATCH_SIZE]
            rows = self._database.execute(f"{query} ({','.join('?' * len(some))})", some)  # a query of our own
            found.update(ids[id] for (id,) in rows)
        return found


def _id(digest: str) -> int:
    """Return the first 8 bytes of a digest as a number that SQLite can hold."""
    return int(digest.partition(":")[2][:16], 16) - 2**63

"""Set of the blobs that several repositories link, in constant memory."""

import sqlite3
from collections.abc import Iterable, Mapping
from typing import Final

BATCH_SIZE: Final = 500
"""Digests in one query. Old releases of SQLite allow 999 values in a query."""

CACHE_SIZE: Final = 8 * 1024
"""KiB of pages that SQLite caches in memory; the rest is in a temporary file that is removed with the process."""


class SharedBlobs:
    """For each blob, whether one repository links it or several.

    A digest is identified by its first 8 bytes: with ten million blobs, two collide in one of 370,000 registries.
    """

    def __init__(self) -> None:
        """Create an empty temporary database."""
        self._database = sqlite3.connect("", isolation_level=None)
        self._database.execute(f"PRAGMA cache_size = -{CACHE_SIZE}")
        self._database.execute("PRAGMA synchronous = OFF")
        self._database.execute("PRAGMA journal_mode = OFF")
        self._database.execute("CREATE TABLE blobs (id INTEGER PRIMARY KEY, shared INTEGER NOT NULL DEFAULT 0)")
        self._database.execute("BEGIN")

    def add(self, sizes: Mapping[str, int]) -> int:
        """Add the blobs of one more repository.

        Args:
            sizes: the size in bytes of each blob that the repository links, by digest.

        Returns:
            The bytes of those blobs that no repository before links.
        """
        known = self._known(sizes, "SELECT id FROM blobs WHERE id IN")
        self._database.executemany("UPDATE blobs SET shared = 1 WHERE id = ?", [(_id(digest),) for digest in known])
        new = [digest for digest in sizes if digest not in known]
        self._database.executemany("INSERT OR IGNORE INTO blobs (id) VALUES (?)", [(_id(digest),) for digest in new])
        return sum(sizes[digest] for digest in new)

    def shared_among(self, digests: Iterable[str]) -> set[str]:
        """Return the subset of `digests` that more than one repository links."""
        return self._known(digests, "SELECT id FROM blobs WHERE shared AND id IN")

    def close(self) -> None:
        """Remove the temporary database."""
        self._database.close()

    def _known(self, digests: Iterable[str], query: str) -> set[str]:
        """Return the subset of `digests` that `query` matches, one batch of ids at a time."""
        digest_by_id = {_id(digest): digest for digest in digests}
        matched: set[str] = set()
        ids = list(digest_by_id)
        for start in range(0, len(ids), BATCH_SIZE):
            batch = ids[start : start + BATCH_SIZE]
            rows = self._database.execute(f"{query} ({','.join('?' * len(batch))})", batch)  # no text from outside
            matched.update(digest_by_id[id] for (id,) in rows)
        return matched


def _id(digest: str) -> int:
    """Return the first 8 bytes of a digest as a signed 64-bit integer, as SQLite stores them."""
    return int(digest.partition(":")[2][:16], 16) - 2**63

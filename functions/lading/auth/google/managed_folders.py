"""The managed folders of the policy bucket to query for a repository: those that are not known to be missing.

Permissions are inherited from the bucket down, so to omit a folder can only grant less.
"""

import threading
import time
from collections.abc import Callable, Sequence
from typing import Final

from cachetools import TTLCache

MISSING_TTL: Final = 60.0
"""Seconds for which a missing folder is not queried. A new folder takes effect within that time."""

EXISTING_TTL: Final = 600.0
"""Seconds after a successful query during which another caller's 404 does not mark the folder as missing."""

MAX_CACHED: Final = 10_000
MAX_DEPTH: Final = 15
"""Nesting depth of managed folders: the limit of Cloud Storage. Further segments of a name cause no queries."""


class ManagedFolders:
    """The folders of a bucket. Thread-safe."""

    def __init__(self, named: Sequence[str], clock: Callable[[], float] = time.monotonic) -> None:
        """Use the folders `named`, without trailing slashes. If there are none, any prefix may be a folder."""
        self.named = tuple(f"{folder}/" for folder in named)
        self._named = frozenset(self.named)
        self._lock = threading.Lock()
        self._missing: TTLCache[str, None] = TTLCache(MAX_CACHED, MISSING_TTL, clock)
        self._existing: TTLCache[str, None] = TTLCache(MAX_CACHED, EXISTING_TTL, clock)

    def candidates(self, repository: str) -> list[str]:
        """Return the folders that may have policies for the repository, the longest first, then "" for the bucket."""
        segments = repository.split("/")[:MAX_DEPTH]
        prefixes = ["/".join(segments[:count]) + "/" for count in range(len(segments), 0, -1)]
        return [*(each for each in prefixes if not self._named or each in self._named), ""]

    def is_missing(self, folder: str) -> bool:
        """Return whether Google reported within MISSING_TTL that the folder does not exist."""
        with self._lock:
            return folder in self._missing

    def mark_existing(self, folder: str) -> None:
        """Record that the folder exists."""
        with self._lock:
            self._existing[folder] = None
            self._missing.pop(folder, None)

    def mark_missing(self, folder: str) -> None:
        """Record a 404 for the folder, unless it is configured, or was found recently.

        Only for a 404: a 403 may concern the caller, and no caller may hide a folder from others. Google does not
        document whether callers without permissions get 404, too; therefore configured folders are never marked.
        """
        with self._lock:
            if folder not in self._named and folder not in self._existing:
                self._missing[folder] = None

"""Which managed folders of the policy bucket to ask about a repository: those that exist, as far as is known.

Rights are additive from the bucket down, so a folder that is left out can only make the answer grant less.
"""

import threading
import time
from collections.abc import Callable, Sequence
from typing import Final

from cachetools import TTLCache

MISSING_TTL: Final = 60.0
"""Seconds for which a folder that does not exist is not asked about: a new one counts after that time at the latest."""

EXISTING_TTL: Final = 600.0
"""Seconds for which one caller's 404 about a folder that has answered another does not hide it."""

MAX_CACHED: Final = 10_000
MAX_DEPTH: Final = 15
"""Managed folders in one another: Cloud Storage takes no more, so a repository's longer name asks no more."""


class ManagedFolders:
    """The folders of a bucket. Any thread may use it."""

    def __init__(self, named: Sequence[str], clock: Callable[[], float] = time.monotonic) -> None:
        """Know `named`, without slashes at their ends; where there are none, any prefix may be a folder."""
        self.named = tuple(f"{folder}/" for folder in named)
        self._named = frozenset(self.named)
        self._lock = threading.Lock()
        self._missing: TTLCache[str, None] = TTLCache(MAX_CACHED, MISSING_TTL, clock)
        self._existing: TTLCache[str, None] = TTLCache(MAX_CACHED, EXISTING_TTL, clock)

    def candidates(self, repository: str) -> list[str]:
        """Return the folders whose policies the repository may be under, the longest first, and "" for the bucket."""
        segments = repository.split("/")[:MAX_DEPTH]
        prefixes = ["/".join(segments[:count]) + "/" for count in range(len(segments), 0, -1)]
        return [*(each for each in prefixes if not self._named or each in self._named), ""]

    def is_missing(self, folder: str) -> bool:
        """Return whether Google said within MISSING_TTL that there is no such folder."""
        with self._lock:
            return folder in self._missing

    def mark_existing(self, folder: str) -> None:
        """Remember that the folder exists."""
        with self._lock:
            self._existing[folder] = None
            self._missing.pop(folder, None)

    def mark_missing(self, folder: str) -> None:
        """Remember that there is no such folder, unless it is named, or was found lately.

        Only a 404 says so. A 403 may be about the caller, and no caller may hide a folder from the others. Should
        Google say 404 to callers without rights, too, which it does not document, that holds for named folders alone.
        """
        with self._lock:
            if folder not in self._named and folder not in self._existing:
                self._missing[folder] = None

"""Readiness: whether both stores answer, asked once a second at most, however often clients ask for it."""

import contextlib
import logging
import threading
import time
from collections.abc import Callable
from typing import Final

from lading_storage.errors import ObjectNotFound, StorageError
from lading_storage.protocols import BlobStore, MetadataStore
from lading_storage.records.core import Key, Repository

TTL: Final = 1.0
"""Seconds for which an outcome is told again."""

ANSWER_TIMEOUT: Final = 5.0
"""Seconds after which a store that has not answered counts as failing. Its drivers wait for minutes."""

NO_OBJECT: Final = "no-object"
"""The name of an object that is not there: that the store says so is the cheapest request of Cloud Storage."""

log = logging.getLogger("lading")


class Readiness:
    """The stores, as a probe sees them. Any thread may use it."""

    def __init__(
        self, blobs: BlobStore, metadata: MetadataStore, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        """Ask nothing yet."""
        self._blobs = blobs
        self._metadata = metadata
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._asked = -TTL
        self._failing: str | None = None
        self._asking, self._asking_since = "", 0.0

    def failing(self) -> str:
        """Return the name of a store that does not answer, "" where both do.

        One thread asks; the others are told the outcome before, or, where there is none yet, wait for it. Where the
        thread that asks has waited for ANSWER_TIMEOUT, they are told what it waits for.
        """
        if self._lock.acquire(timeout=ANSWER_TIMEOUT if self._failing is None else 0):
            try:
                if self._monotonic() - self._asked >= TTL:
                    self._failing = self._ask()
                    self._asked = self._monotonic()
            finally:
                self._asking = ""
                self._lock.release()
        elif self._failing is None or self._monotonic() - self._asking_since >= ANSWER_TIMEOUT:
            return self._asking or self._failing or ""
        return self._failing or ""

    def _ask(self) -> str:
        self._asking_since = self._monotonic()
        for store, ask in (("metadata", self._ask_metadata), ("blobs", self._ask_blobs)):
            self._asking = store
            try:
                ask()
            except StorageError as error:
                log.warning("not ready: %s", error)
                return store
        return ""

    def _ask_metadata(self) -> None:
        self._metadata.read([Key(Repository, "-")])

    def _ask_blobs(self) -> None:
        with contextlib.suppress(ObjectNotFound):
            self._blobs.open(NO_OBJECT, 0, 1)

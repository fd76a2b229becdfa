"""Readiness probe: whether both stores respond, checked at most once per second for any number of requests."""

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
"""Seconds for which an outcome is cached."""

RESPONSE_TIMEOUT: Final = 5.0
"""Seconds after which a store that has not responded counts as failing. The drivers' own timeouts take minutes."""

NO_OBJECT: Final = "no-object"
"""Name of an object that does not exist: a 404 is the cheapest response of Cloud Storage."""

log = logging.getLogger("lading")


class Readiness:
    """Readiness of the stores. Thread-safe."""

    def __init__(
        self, blobs: BlobStore, metadata: MetadataStore, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        """Check these stores, from the first call of `failing` on; `monotonic` returns seconds."""
        self._blobs = blobs
        self._metadata = metadata
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._checked = -TTL
        self._failing: str | None = None
        self._checking, self._checking_since = "", 0.0

    def failing(self) -> str:
        """Return the name of a store that does not respond, or "" if both do.

        One thread checks the stores. The others return the previous outcome, or wait for the first one. Once the
        checking thread has waited for RESPONSE_TIMEOUT, they return the store that it waits for.
        """
        if self._lock.acquire(timeout=RESPONSE_TIMEOUT if self._failing is None else 0):
            try:
                if self._monotonic() - self._checked >= TTL:
                    self._failing = self._check()
                    self._checked = self._monotonic()
            finally:
                self._checking = ""
                self._lock.release()
        elif self._failing is None or self._monotonic() - self._checking_since >= RESPONSE_TIMEOUT:
            return self._checking or self._failing or ""
        return self._failing or ""

    def _check(self) -> str:
        self._checking_since = self._monotonic()
        for store, check in (("metadata", self._check_metadata), ("blobs", self._check_blobs)):
            self._checking = store
            try:
                check()
            except StorageError as error:
                log.warning("not ready: %s", error)
                return store
        return ""

    def _check_metadata(self) -> None:
        self._metadata.read([Key(Repository, "-")])

    def _check_blobs(self) -> None:
        with contextlib.suppress(ObjectNotFound):
            self._blobs.open(NO_OBJECT, 0, 1)

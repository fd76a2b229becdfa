"""Renew an upload session while a request's bytes arrive, so that collection does not end it meanwhile."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Final

from lading.registry.change_context import Clock
from lading_storage.errors import Conflict
from lading_storage.protocols import MetadataStore, Replace
from lading_storage.records.core import Upload

RENEW_INTERVAL: Final = timedelta(minutes=5)
"""Shorter than any useful --grace, and long enough that only few requests renew their session at all."""


class Renewal:
    """Renewal of one session; `upload` is the session at its latest version."""

    def __init__(self, metadata: MetadataStore, clock: Clock, upload: Upload) -> None:
        """Renew `upload` in `metadata`."""
        self.upload = upload
        self._metadata = metadata
        self._clock = clock

    def pass_through(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """Yield `chunks` unchanged. Raises Conflict if another request changed the session."""
        for chunk in chunks:
            if self._clock() - self.upload.touched >= RENEW_INTERVAL:
                self._renew()
            yield chunk

    def _renew(self) -> None:
        renewed = replace(self.upload, touched=self._clock())
        self._metadata.commit([Replace(renewed)])
        current = self._metadata.read([renewed.key])[renewed.key]
        if current is None or current.cancelled or current.published or current.parts != renewed.parts:
            raise Conflict(f"{renewed.key} was changed by another request")
        self.upload = current

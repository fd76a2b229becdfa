"""Objects written under recorded upload sessions, so that collection finds what a killed restore leaves."""

import secrets
from dataclasses import replace
from typing import Final

from lading.jobs.backup.records import get
from lading.registry.change_context import Clock
from lading.registry.retry import retry_on_conflict
from lading_storage.protocols import Create, MetadataStore, Replace
from lading_storage.records.core import Key, Upload

OBJECTS_PER_SESSION: Final = 100
"""Objects of one session: collection lists them all, and a session of a day would expire beside its restore."""


class ObjectSessions:
    """Names for new objects. Where the process ends, the session expires like any other, and its objects go."""

    def __init__(self, metadata: MetadataStore, clock: Clock) -> None:
        """Record sessions in `metadata`."""
        self._metadata = metadata
        self._clock = clock
        self._id = ""
        self._count = 0

    def name(self) -> str:
        """Return the name of a new object, which a recorded session leads to."""
        if not self._id or self._count == OBJECTS_PER_SESSION:
            self.close()
            self._id, time = secrets.token_hex(16), self._clock()
            self._metadata.commit([Create(Upload(id=self._id, target="", created=time, touched=time))])
        self._count += 1
        return f"{self._id}/{self._count}"

    def close(self) -> None:
        """End the session: collection removes the objects that no blob's record names, and the session."""
        if self._id:
            retry_on_conflict(self._end)
        self._id, self._count = "", 0

    def _end(self) -> None:
        session = get(self._metadata, Key(Upload, self._id))
        if session is not None and not session.cancelled:
            self._metadata.commit([Replace(replace(session, cancelled=True, touched=self._clock()))])

"""Names of restored objects under recorded upload sessions, so that collection removes what a killed restore leaves."""

import secrets
from dataclasses import replace
from typing import Final

from lading.jobs.backup.records import get
from lading.registry.change_context import Clock
from lading.registry.retry import retry_on_conflict
from lading_storage.protocols import Create, MetadataStore, Replace
from lading_storage.records.core import Key, Upload

OBJECTS_PER_SESSION: Final = 100
"""Objects of one session. Collection lists all of them, and a session that lasts a day would expire during its
restore."""


class ObjectSessions:
    """Names for new objects. If the process ends early, the session expires like any other, with its objects."""

    def __init__(self, metadata: MetadataStore, clock: Clock) -> None:
        """Record sessions in `metadata`."""
        self._metadata = metadata
        self._clock = clock
        self._id = ""
        self._count = 0

    def name(self) -> str:
        """Return the name of a new object in a recorded session; start a new session if needed."""
        if not self._id or self._count == OBJECTS_PER_SESSION:
            self.close()
            self._id, time = secrets.token_hex(16), self._clock()
            self._metadata.commit([Create(Upload(id=self._id, target="", created=time, touched=time))])
        self._count += 1
        return f"{self._id}/{self._count}"

    def close(self) -> None:
        """End the session. Collection removes it, and those of its objects that no blob's record names."""
        if self._id:
            retry_on_conflict(self._end)
        self._id, self._count = "", 0

    def _end(self) -> None:
        session = get(self._metadata, Key(Upload, self._id))
        if session is not None and not session.cancelled:
            self._metadata.commit([Replace(replace(session, cancelled=True, touched=self._clock()))])

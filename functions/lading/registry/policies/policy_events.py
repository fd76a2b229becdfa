"""PolicyEvents: events of decisions, written beside the requests, never before a response.

    decision ──add──▶ queue ──▶ a thread that lives while there is something to write ──▶ outbox

In each process there is at most one event an hour for each policy, image, caller and outcome, so that a node that tries
again and again makes one. An event may be lost: with the process, or where the store fails. The decision, and its line
in the audit log, never depend on it.
"""

import logging
import threading
from typing import Final, NamedTuple

from cachetools import TTLCache

from lading.policies.denial import printable
from lading.policies.evidence import AUDITED, EXEMPTED, Decision
from lading.registry.change_context import ChangeContext, Clock
from lading.registry.events.event_types import POLICY_DENIED, POLICY_EXEMPTED
from lading.registry.events.outbox import observation
from lading_storage.errors import Conflict, StorageError
from lading_storage.protocols import Create, MetadataStore
from lading_storage.records.core import Manifest

MIN_INTERVAL: Final = 3600.0
"""Seconds between two events of the same decision."""

MAX_RECENT: Final = 20_000
"""Decisions whose last event is remembered."""

MAX_QUEUED: Final = 1_000
"""Events that wait; further ones are dropped."""

MAX_REASON: Final = 300
MAX_ACTOR: Final = 320
"""Characters of an event's reason, and of its caller."""

AUDIT: Final = "audit"
"""The action of an event of what a policy would refuse if it did not only audit."""

log = logging.getLogger("lading")


class _Observed(NamedTuple):
    manifest: Manifest
    decision: Decision
    context: ChangeContext


class PolicyEvents:
    """Writer of events of decisions. Thread-safe."""

    def __init__(self, metadata: MetadataStore | None, clock: Clock) -> None:
        """Write to `metadata`; nothing where it is None."""
        self._metadata = metadata
        self._clock = clock
        self._recent: TTLCache[tuple[str, ...], bool] = TTLCache(
            MAX_RECENT, MIN_INTERVAL, timer=lambda: clock().timestamp()
        )
        self._lock = threading.Lock()
        self._queue: list[_Observed] = []
        self._writer: threading.Thread | None = None

    def add(self, manifest: Manifest, decision: Decision, context: ChangeContext) -> None:
        """Queue the event of a decision, unless there was one within the hour. Never waits, never raises."""
        key = (manifest.repository, manifest.digest, decision.policy, decision.outcome, context.actor)
        with self._lock:
            if self._metadata is None or key in self._recent or len(self._queue) >= MAX_QUEUED:
                return
            self._recent[key] = True
            self._queue.append(_Observed(manifest, decision, context))
            if self._writer is None:
                self._start()

    def close(self) -> None:
        """Wait until what is queued is written."""
        with self._lock:
            writer = self._writer
        if writer is not None:
            writer.join()

    def _start(self) -> None:
        writer = threading.Thread(target=self._write, name="policy-events", daemon=True)
        try:
            writer.start()
        except RuntimeError:
            return  # there can be no further thread now; the next event tries again
        self._writer = writer

    def _write(self) -> None:
        assert self._metadata is not None
        while (observed := self._next()) is not None:
            try:
                self._metadata.commit([self._event(observed)])
            except Conflict:
                continue  # the same event was written within the second
            except Exception as error:
                is_defect = not isinstance(error, StorageError)
                log.warning("an event of a policy is not written: %s", error, exc_info=is_defect)

    def _next(self) -> _Observed | None:
        with self._lock:
            if self._queue:
                return self._queue.pop(0)
            self._writer = None
            return None

    def _event(self, observed: _Observed) -> Create:
        manifest, decision, context = observed
        event_type = POLICY_EXEMPTED if decision.outcome == EXEMPTED else POLICY_DENIED
        if decision.outcome == AUDITED:
            context = context._replace(action=AUDIT)
        reason = decision.exemption or "; ".join(decision.reasons)
        return observation(
            event_type,
            manifest,
            self._clock(),
            context._replace(actor=context.actor[:MAX_ACTOR]),
            {"policy": decision.policy, "reason": printable(reason)[:MAX_REASON]},
        )

"""Collecting garbage: what nobody can reach any more goes, and nothing else, while the registry serves on.

    sessions   nobody went on with it for --grace          ─▶ ended
    policies   the clean-up policies delete it             ─▶ deleted, and can be restored
    deleted_…  its time to be restored is over             ─▶ forgotten; what it named is loose
    links      loose for --grace, and no manifest names it ─▶ condemned: pushes and mounts see it no more
    condemned  for an hour, and still no manifest names it ─▶ removed; its blob is loose
    blobs      loose, and no repository links it           ─▶ its record becomes an ended session, with its object
    objects    a session that ended an hour ago            ─▶ its objects go, but for a blob's; then the session

Nothing is locked, and nobody waits. Each step reads a record, looks for what names it second, and writes at the version
that was read: whoever came in between touched the record, so the step fails, and is taken again the next time. A client
that was told that a blob is there has an hour at least to push the manifest that names it.

What may be garbage says so itself (registry.links), so a collection costs as much as there is garbage, however large
the registry. It goes on where the last slice stopped; two at once are of no use, and do no harm.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any

from functions.jobs.reaping import DELETED, Reaper, Waits
from functions.jobs.slices import PAGE, SLICE, Phase, Report, Slices, behind, scanned, walked
from functions.registry.acts import Clock, now
from functions.registry.registry import Registry
from storage.protocols import MetadataStore
from storage.records import CONDEMNED, LOOSE, Blob, Key, Link, Repository, Upload

CleanUp = Callable[[str, Callable[[], bool]], tuple[Mapping[str, int], bool]]
"""Applies the clean-up policies to one repository until it is late; answers what it counted, and whether it is done."""


class Collector:
    """Collects the garbage of one registry."""

    def __init__(self, registry: Registry, waits: Waits, clean_up: CleanUp | None = None, clock: Clock = now) -> None:
        """Collect in the stores of `registry`."""
        self._metadata: MetadataStore = registry.metadata
        self._clean_up = clean_up
        self._slices = Slices("collect", registry.metadata, clock)
        self._reaper = Reaper(registry, waits, clock, self._slices.report.counts, self._slices.is_late)

    def run(self, limit: timedelta = SLICE, progress: Callable[[Report], None] = lambda report: None) -> Report | None:
        """A slice: see Slices.run."""
        return self._slices.run(self._phases(), limit, progress)

    def _phases(self) -> list[Phase]:
        reaper, metadata = self._reaper, self._metadata
        sessions, repositories = scanned(metadata, Upload), scanned(metadata, Repository)
        return [
            Phase("sessions", sessions, reaper.expire),
            Phase("policies", repositories, self._apply_policies),
            *(Phase(kind.KIND, walked(metadata, kind), reaper.forget) for kind in DELETED),
            Phase("repositories", repositories, reaper.settle),
            Phase("links", lambda after: self._links(LOOSE, after), reaper.condemn),
            Phase("condemned", lambda after: self._links(CONDEMNED, after), reaper.unlink),
            Phase("blobs", self._blobs, reaper.drop),
            Phase("objects", sessions, reaper.sweep),
        ]

    def _apply_policies(self, repository: Repository) -> str | None:
        if self._clean_up is None:
            return "repositories without policies"
        counts, done = self._clean_up(repository.id, self._slices.is_late)
        self._slices.report.counts.update(counts)
        return "repositories looked at by policies" if done else None

    def _links(self, state: str, after: Key[Any] | None) -> Sequence[Link]:
        where = {"state": state}
        return self._metadata.find(Link, where, repository=None, after=behind(Link, after), limit=PAGE)

    def _blobs(self, after: Key[Any] | None) -> Sequence[Blob]:
        return self._metadata.find(Blob, {"state": LOOSE}, after=behind(Blob, after), limit=PAGE)

"""Scrub: verify that the stored bytes are those that were pushed, and that all references are intact.

    blobs      the size, CRC-32C and digest of each object match its record     marked as damaged, or unmarked
    links      each names the object of its blob                                repaired: updated from the blob
    manifests  the content matches its digest, and all that it names exists
    tags       each names a manifest that exists
    objects    each belongs to a blob or to an upload session                   repaired: given to an ended session
    strays     there are no other files among the objects

Problems are reported, a line each. A blob whose bytes are missing or damaged is marked, so that clients push it again
(lading.jobs.gc.damage_marks); the mark is removed when the bytes are good again. Only repairs that cannot lose data are
made. An object that no record names is given to an ended session, for collection to check again an hour later. But if
no record names any object, wrong or lost metadata is more likely than garbage alone, so nothing is given away. Damaged
bytes are never changed: a push of the right ones replaces them, and soft delete in Cloud Storage or a backup may
restore them.
"""

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Final

import google_crc32c

from lading.jobs.gc.damage_marks import DamageMarks, has_damage_hint
from lading.jobs.job_report import JobReport
from lading.jobs.phases import PAGE_SIZE, Phase, as_queue_pages, scan_pages
from lading.jobs.repository_scan import RepositoryScan
from lading.jobs.runner import TIME_SLICE, ResumableJob
from lading.jobs.throttle import Throttle
from lading.registry.change_context import Clock, now
from lading.registry.content.dependencies import dependencies_of, required_dependencies_of
from lading.registry.owner_mark import is_mark
from lading.registry.registry import Registry
from lading.registry.retry import try_to_commit
from lading_storage.digests import Hasher, algorithm_of, digest_of
from lading_storage.errors import Corrupt, ObjectNotFound
from lading_storage.protocols import Create, Found, Replace
from lading_storage.query import Query
from lading_storage.records.core import Blob, Key, Link, Manifest, Record, Tag, Upload

MAX_PAGE_BYTES: Final = 8 * 1024 * 1024
MAX_PAGE_KEYS: Final = 1_000
"""Limits of a page of manifests in memory: bytes of content, and records that the manifests need."""

MAX_STRAYS: Final = 100
"""Stray files that are reported at most."""


METADATA_SUSPECT: Final = (
    "no record names this object, nor any other; it is kept, since --metadata may name the wrong store, or the store"
    " was lost and is empty: `lading restore` restores it from a backup"
)
"""Finding for an object if no record names any, and all would be deleted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedRecord(Record):
    """A listed record, with the reads that its page shares.

    Attributes:
        record: as a listing returns it, without content.
        found: the records of the page, with content.
        needs: the records that they need, without content. They are read first, so that whatever a record in `found`
            needs existed before it was read.
    """

    KIND = "listed"

    record: Any
    found: Found
    needs: Found


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedObject(Record):
    """An object of the blob store as a record for a job's phase; its id is its name.

    Attributes:
        found: the upload sessions that the objects of the page are named after.
    """

    KIND = "objects"

    found: Found


@dataclass(frozen=True, slots=True, kw_only=True)
class StrayObject(Record):
    """A file among the objects that is not an object."""

    KIND = "strays"


class Scrubber:
    """The scrub of one registry."""

    def __init__(self, registry: Registry, repair: bool, clock: Clock = now, throttle: Throttle | None = None) -> None:
        """Scrub the stores of `registry`.

        Args:
            registry: the registry.
            repair: whether to make the repairs that cannot lose data.
            clock: returns the current time.
            throttle: limits the rate; None for no limit.
        """
        self._metadata = registry.metadata
        self._objects = registry.objects
        self._repair = repair
        self._has_blobs = True
        self._clock = clock
        self._marks = DamageMarks(registry.metadata)
        self._job = ResumableJob("scrub", registry.metadata, clock)
        self._job.throttle = throttle or Throttle()
        self._manifests = RepositoryScan(registry.metadata, Manifest)
        self._tags = RepositoryScan(registry.metadata, Tag)
        self._links = RepositoryScan(registry.metadata, Link)

    def run(
        self, limit: timedelta = TIME_SLICE, progress: Callable[[JobReport], None] = lambda report: None
    ) -> JobReport | None:
        """Run a slice: see ResumableJob.run."""
        phases = [
            Phase("blobs", scan_pages(self._metadata, Blob), self._check_blob),
            # In this order: each reads the damage hints that the phases before it set.
            Phase("links", as_queue_pages(self._page_of_links), self._check_link),
            Phase("manifests", as_queue_pages(self._page_of_manifests), self._check_manifest),
            Phase("tags", as_queue_pages(self._page_of_tags), self._check_tag),
            Phase("objects", as_queue_pages(self._page_of_objects), self._check_object),
            Phase("strays", as_queue_pages(self._page_of_strays), self._check_stray),
        ]
        return self._job.run(phases, limit, progress)

    def _check_blob(self, blob: Blob) -> str:
        damage = self._damage(blob)
        if not damage and not blob.damaged:
            return "blobs good"
        if not self._marks.set(blob, damage):
            current = self._metadata.read([blob.key])[blob.key]
            return "blobs gone meanwhile" if current is None else self._check_blob(current)
        if damage == "missing":
            return self._report("blobs whose object is missing", f"{blob.id}: there is no object {blob.object}")
        if damage:
            return self._report(
                "blobs with other bytes", f"{blob.id}: the object {blob.object} does not match the digest"
            )
        return "blobs good again"

    def _damage(self, blob: Blob) -> str:
        """Verify the object of a blob; return the value for Blob.damaged: "missing", "damaged" or ""."""
        hasher, size, crc32c = Hasher(algorithm_of(blob.id)), 0, 0
        try:
            # Ask for one byte more than expected, to detect a longer object. The expected end raises Corrupt.
            with contextlib.suppress(Corrupt):
                for chunk in self._objects.open(blob.object, 0, blob.size + 1):
                    hasher.update(chunk)
                    size += len(chunk)
                    crc32c = google_crc32c.extend(crc32c, chunk)
                    self._job.throttle.read(len(chunk))
        except ObjectNotFound:
            return "missing"
        if (size, crc32c, hasher.digest) != (blob.size, blob.crc32c, blob.id):
            return "damaged"
        self._job.report.counts["bytes read"] += size
        return ""

    def _page_of_manifests(self, after: Key[Any] | None) -> Sequence[ListedRecord]:
        page: list[Manifest] = []
        size = keys = 0
        for manifest in self._manifests.page(after):
            size, keys = size + manifest.size, keys + len(manifest.blobs) + len(manifest.children)
            if page and (size > MAX_PAGE_BYTES or keys > MAX_PAGE_KEYS):
                break
            page.append(manifest)
        needs = [key for manifest in page for key in dependencies_of(manifest)]
        return self._read_with_needs(page, needs)

    def _check_manifest(self, listed: ListedRecord) -> str:
        manifest, needs = listed.found[listed.record.key], listed.needs
        keys = required_dependencies_of(listed.record)
        if manifest is not None and any(needs[key] is None for key in keys):
            # It may have been deleted and pushed again between the two reads; a single read is a snapshot.
            needs = self._metadata.read([manifest.key, *dependencies_of(listed.record)], content=False)
            manifest = manifest if needs[manifest.key] else None
        if manifest is None:
            return "manifests gone meanwhile"
        where = f"{manifest.repository}@{manifest.id}"
        missing = [key.id for key in keys if needs[key] is None]
        if missing:
            return self._report("manifests that lack something", f"{where}: missing {', '.join(missing)}")
        content = manifest.content
        if content is not None and digest_of(content, algorithm_of(manifest.id)) != manifest.id:
            return self._report("manifests with other bytes", f"{where}: the content of its record does not match")
        hints = has_damage_hint(manifest, needs)
        if hints != manifest.damaged and self._marks.update_manifest_hint(manifest.key):
            return "manifests whose hint was wrong"
        return "manifests that need a marked blob" if hints else "manifests good"

    def _page_of_tags(self, after: Key[Any] | None) -> Sequence[ListedRecord]:
        page = self._tags.page(after)
        return self._read_with_needs(page, [Key(Manifest, tag.digest, tag.repository) for tag in page])

    def _check_tag(self, listed: ListedRecord) -> str:
        tag, key = listed.record, Key(Manifest, listed.record.digest, listed.record.repository)
        where = f"{tag.repository}:{tag.id}"
        current, manifest = listed.found[tag.key], listed.needs[key]
        if manifest is None:
            snapshot = self._metadata.read([tag.key, key], content=False)
            current, manifest = snapshot[tag.key], snapshot[key]
        if current is None or current.digest != tag.digest:
            return "tags moved meanwhile"
        if manifest is None:
            return self._report("tags of nothing", f"{where}: there is no manifest {tag.digest}")
        if current.content is not None and digest_of(current.content, algorithm_of(tag.digest)) != tag.digest:
            return self._report("tags with other bytes", f"{where}: the content of its record does not match")
        if current.damaged != manifest.damaged and self._marks.update_tag_hint(tag.key):
            return "tags whose hint was wrong"
        return "tags that need a marked blob" if manifest.damaged else "tags good"

    def _page_of_links(self, after: Key[Any] | None) -> Sequence[ListedRecord]:
        page = self._links.page(after)
        found = self._metadata.read(list({Key(Blob, link.id): True for link in page}))
        return [_listed(link, Found({}), found) for link in page]

    def _check_link(self, listed: ListedRecord) -> str:
        link: Link = listed.record
        blob = listed.needs[Key(Blob, link.id)]
        if blob is not None and link.damaged != bool(blob.damaged) and self._marks.update_link_hint(link):
            return "links whose hint was wrong"
        if blob is not None and blob.object == link.object:
            return "links good"
        current = self._metadata.read([link.key])[link.key]
        if current is None or current.version != link.version:
            return "links changed meanwhile"
        where = f"{link.repository}@{link.id}"
        if blob is None:
            return self._report("links without a blob", f"{where}: its blob has no record")
        if self._repair and try_to_commit(self._metadata, Replace(replace(link, object=blob.object, size=blob.size))):
            return "links repaired"
        return self._report("links to another object", f"{where}: names {link.object}, its blob names {blob.object}")

    def _page_of_objects(self, after: Key[Any] | None) -> Sequence[ListedObject]:
        self._has_blobs = bool(self._metadata.find(Query(Blob, limit=1)))
        names = self._objects.names("", after=after.id if after else "", limit=PAGE_SIZE)
        found = self._metadata.read(list({_session_of(name): True for name in names}))
        return [ListedObject(id=name, found=found) for name in names]

    def _check_object(self, stored: ListedObject) -> str:
        if is_mark(stored.id):
            return "marks of registries"
        key = _session_of(stored.id)
        if stored.found[key] is not None:
            return "objects of sessions"
        if self._metadata.find(Query(Blob, {"object": stored.id}, limit=1)):
            return "objects of blobs"
        time = self._clock(stored.found.read_at)
        ended = Upload(id=key.id, target="", cancelled=True, created=time, touched=time)
        if self._repair and not self._has_blobs:
            return self._report("objects of nobody", f"{stored.id}: {METADATA_SUSPECT}")
        if self._repair and try_to_commit(self._metadata, Create(ended)):
            return "objects handed to collection"
        return self._report("objects of nobody", f"{stored.id}: no record names this object")

    def _page_of_strays(self, after: Key[Any] | None) -> Sequence[StrayObject]:
        return [] if after else [StrayObject(id=name) for name in self._objects.strays(limit=MAX_STRAYS)]

    def _check_stray(self, stray: StrayObject) -> str:
        return self._report("strays", f"{stray.id}: not an object, and not written by Lading; remove it if unused")

    def _read_with_needs(self, page: Sequence[Record], needs: Sequence[Key[Any]]) -> list[ListedRecord]:
        """Read what the records of a page need, then the records with their content; see ListedRecord."""
        dependencies = self._metadata.read(list(dict.fromkeys(needs)), content=False)
        found = self._metadata.read([record.key for record in page])
        return [_listed(record, found, dependencies) for record in page]

    def _report(self, outcome: str, finding: str) -> str:
        self._job.report.findings.append(finding)
        return outcome


def _listed(record: Record, found: Found, needs: Found) -> ListedRecord:
    return ListedRecord(id=record.id, repository=record.repository, record=record, found=found, needs=needs)


def _session_of(name: str) -> Key[Upload]:
    return Key(Upload, name.partition("/")[0])

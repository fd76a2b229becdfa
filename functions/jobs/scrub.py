"""Scrubbing: whether what is kept is what was pushed, and all is there that should be.

    blobs      each object is read again: its size, CRC-32C and digest are those of its record
    manifests  the bytes have their digest, and all that they name is there; so does each tag
    links      each leads to its blob's object                               repaired: the link follows the blob
    objects    each belongs to a blob or to a session                        repaired: an ended session takes it away

What is wrong is reported, a line each. Repaired is only what cannot lose anything: an object that no record names is
handed to collection, which looks again an hour later. Damaged bytes are never touched: Cloud Storage's own soft delete
brings them back, or, once they are removed, a backup or a push of the same.
"""

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import google_crc32c

from functions.jobs.slices import PAGE, SLICE, Phase, Report, Slices, scanned, unqueued, walked
from functions.registry.acts import Clock, now
from functions.registry.needs import needs_of
from functions.registry.registry import Registry
from storage.digests import Hasher, algorithm_of, digest_of
from storage.errors import Conflict, Corrupt, Missing
from storage.protocols import Create, Replace
from storage.records import Blob, Key, Link, Manifest, Record, Tag, Upload


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored(Record):
    """An object of the blob store, as the slices of a job see it: its id is its name."""

    KIND = "objects"


class Scrubber:
    """Scrubs one registry."""

    def __init__(self, registry: Registry, repair: bool, clock: Clock = now) -> None:
        """Scrub the stores of `registry`; `repair` what is safe to repair."""
        self._registry = registry
        self._metadata = registry.metadata
        self._objects = registry.objects
        self._repair = repair
        self._clock = clock
        self._slices = Slices("scrub", registry.metadata, clock)

    def run(self, limit: timedelta = SLICE, progress: Callable[[Report], None] = lambda report: None) -> Report | None:
        """A slice: see Slices.run."""
        phases = [
            Phase("blobs", scanned(self._metadata, Blob), self._check_blob),
            Phase("manifests", walked(self._metadata, Manifest), self._check_manifest),
            Phase("tags", walked(self._metadata, Tag), self._check_tag),
            Phase("links", walked(self._metadata, Link), self._check_link),
            Phase("objects", unqueued(self._page_of_objects), self._check_object),
        ]
        return self._slices.run(phases, limit, progress)

    def _check_blob(self, blob: Blob) -> str:
        hasher, size, crc32c = Hasher(algorithm_of(blob.id)), 0, 0
        try:
            # One byte more than there should be, so that a longer object shows; where there is none, that is all.
            with contextlib.suppress(Corrupt):
                for piece in self._objects.open(blob.object, 0, blob.size + 1):
                    hasher.update(piece)
                    size += len(piece)
                    crc32c = google_crc32c.extend(crc32c, piece)
        except Missing:
            if self._metadata.read([blob.key])[blob.key] is None:
                return "blobs gone meanwhile"
            return self._wrong("blobs whose object is missing", f"{blob.id}: there is no object {blob.object}")
        if (size, crc32c, hasher.digest) != (blob.size, blob.crc32c, blob.id):
            return self._wrong("blobs with other bytes", f"{blob.id}: {blob.object} holds other bytes than were pushed")
        self._slices.report.counts["bytes read"] += size
        return "blobs good"

    def _check_manifest(self, listed: Manifest) -> str:
        keys = needs_of(listed)
        found = self._metadata.read([listed.key, *keys])
        manifest = found[listed.key]
        if manifest is None:
            return "manifests gone meanwhile"
        where = f"{manifest.repository}@{manifest.id}"
        missing = [key.id for key in keys if found[key] is None]
        if missing:
            return self._wrong("manifests that lack something", f"{where}: lacks {', '.join(missing)}")
        content = manifest.content
        if content is not None and digest_of(content, algorithm_of(manifest.id)) != manifest.id:
            return self._wrong("manifests with other bytes", f"{where}: its record holds other bytes than were pushed")
        return "manifests good"

    def _check_tag(self, tag: Tag) -> str:
        key = Key(Manifest, tag.digest, tag.repository)
        found = self._metadata.read([tag.key, key])
        current = found[tag.key]
        if current is None or current.digest != tag.digest:
            return "tags moved meanwhile"
        if found[key] is None:
            return self._wrong("tags of nothing", f"{tag.repository}:{tag.id}: there is no manifest {tag.digest}")
        if current.content is not None and digest_of(current.content, algorithm_of(tag.digest)) != tag.digest:
            return self._wrong("tags with other bytes", f"{tag.repository}:{tag.id}: its record holds other bytes")
        return "tags good"

    def _check_link(self, link: Link) -> str:
        key = Key(Blob, link.id)
        blob = self._metadata.read([key])[key]
        if blob is not None and blob.object == link.object:
            return "links good"
        current = self._metadata.read([link.key])[link.key]
        if current is None or current.version != link.version:
            return "links changed meanwhile"
        where = f"{link.repository}@{link.id}"
        if blob is None:
            return self._wrong("links without a blob", f"{where}: no record says which object holds it")
        if self._repair and self._commit(Replace(replace(link, object=blob.object, size=blob.size))):
            return "links repaired"
        return self._wrong("links to another object", f"{where}: leads to {link.object}, its blob is {blob.object}")

    def _check_object(self, stored: Stored) -> str:
        key = Key(Upload, stored.id.partition("/")[0])
        if self._metadata.read([key])[key] is not None:
            return "objects of sessions"
        if self._metadata.find(Blob, {"object": stored.id}, limit=1):
            return "objects of blobs"
        time = self._clock()
        ended = Upload(id=key.id, target="", cancelled=True, created=time, touched=time)
        if self._repair and self._commit(Create(ended)):
            return "objects handed to collection"
        return self._wrong("objects of nobody", f"{stored.id}: no record names this object")

    def _wrong(self, outcome: str, finding: str) -> str:
        self._slices.report.findings.append(finding)
        return outcome

    def _commit(self, write: Create | Replace) -> bool:
        try:
            self._metadata.commit([write])
        except Conflict:
            return False
        return True

    def _page_of_objects(self, after: Key[Any] | None) -> Sequence[Stored]:
        return [Stored(id=name) for name in self._objects.names("", after=after.id if after else "", limit=PAGE)]

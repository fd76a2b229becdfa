"""Upload sessions: from the first byte to the published blob.

    start ──▶ open ──append*──▶ open ──finish──▶ published
                                  └────cancel──▶ cancelled

The body of each request becomes one object, `<session>/<n>`, which clients cannot see. Publishing is one commit that
creates the blob's record and the repository's link, and ends the session. No bytes are copied or renamed, except that
several parts are first joined into one object. If the blob exists, but its object is missing, truncated, or marked by
scrub, a complete copy replaces the object under the same name before that commit. Everything that leads to the object
then leads to correct bytes, in all repositories. A kill in between loses nothing: the parts remain for a retry.

There is no lock; the session's version provides mutual exclusion. Of two requests that append at one offset, one
commits, and the other learns where the upload ends. A process that dies leaves the session as it was, immediately
usable, and an object that only the session's prefix leads to. A session that has ended stays on record, so that
collection finds the objects that it left.
"""

import contextlib
import itertools
import re
import secrets
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Final, NamedTuple

from lading.registry.change_context import Clock, now
from lading.registry.content import blob_links
from lading.registry.content.session_renewal import Renewal
from lading.registry.content.upload_hash import UploadMeter, digest_of_upload, part_objects, resume_hash
from lading.registry.errors import DIGEST_INVALID, RANGE_INVALID, UPLOAD_INVALID, UPLOAD_UNKNOWN, RegistryError
from lading.registry.retry import retry_on_conflict
from lading_storage.digests import algorithm_of, digest_of
from lading_storage.errors import Conflict, Corrupt, StorageError
from lading_storage.protocols import BlobStore, Create, Found, MetadataStore, Replace, object_exists
from lading_storage.query import Query
from lading_storage.records.core import Blob, Key, Link, Upload

CHUNK_MIN_LENGTH: Final = 1024 * 1024
"""Bytes; announced to clients that push in chunks (OCI-Chunk-Min-Length). Smaller chunks are accepted as well."""

MAX_PARTS: Final = 10_000
"""Parts of a session, whose record lists them: 10 GiB in chunks of CHUNK_MIN_LENGTH."""

_ID: Final = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class Body:
    """Body of a request.

    chunks  its bytes, readable once; an exception cancels the request
    size    its length in bytes, or None if the client did not state it
    start   the offset in the blob at which it begins, or None if the client did not state it
    resume  the offset at which the session ended when the client received its Location, or None for any. Without
            `start`, a body that is not empty begins there, so that a retried request is not appended twice
    """

    chunks: Iterable[bytes]
    size: int | None = None
    start: int | None = None
    resume: int | None = None

    def belongs_at(self, offset: int) -> bool:
        """Return whether the body begins at `offset`; the client's `start` takes precedence over its Location."""
        stated = self.resume if self.start is None else self.start
        return stated is None or stated == offset


class Uploads:
    """Upload sessions. A session belongs to one repository and one principal.

    The principal is "" only in a registry that allows anonymous pushes: every authenticated client has a name.
    """

    def __init__(self, blobs: BlobStore, metadata: MetadataStore, clock: Clock = now) -> None:
        """Store bytes in `blobs` and sessions in `metadata`."""
        self._blobs = blobs
        self._metadata = metadata
        self._clock = clock

    def start(self, repository: str, principal: str = "", algorithm: str = "sha256") -> Upload:
        """Start a session (end-4a). Its id is 128 random bits: a principal that knows it may continue the session."""
        now = self._clock()
        upload = Upload(
            id=secrets.token_hex(16),
            target=repository,
            principal=principal,
            algorithm=algorithm,
            digest=digest_of(b"", algorithm),
            created=now,
            touched=now,
        )
        self._metadata.commit([Create(upload)])
        return upload

    def get(self, repository: str, id: str, principal: str = "") -> Upload:
        """Return an open session (end-13). Raises UPLOAD_UNKNOWN for any other, and for another principal's session."""
        upload = self._read(repository, id, principal)
        if upload.published:
            raise RegistryError(UPLOAD_UNKNOWN)
        return upload

    def append(self, repository: str, id: str, body: Body, principal: str = "") -> Upload:
        """Append `body` to an open session (end-5), and return the updated session.

        Raises UPLOAD_UNKNOWN; RANGE_INVALID if `body` does not begin where the session ends, or another request
        appended first. The session then stays open, unchanged.
        """
        upload = self.get(repository, id, principal)
        grown = self._receive(upload, body)
        if grown is not upload:
            self._save(upload, grown)
        return grown

    def finish(self, repository: str, id: str, digest: str, body: Body, principal: str = "") -> Link:
        """Append `body`, publish the session's bytes as the blob `digest`, and return its link (end-6). Idempotent.

        Raises as `append` does; DIGEST_INVALID if the bytes do not match, which also ends the session and deletes them.
        """
        keys = _keys(repository, id, digest)
        found = self._metadata.read(keys)
        upload = _owned(found[keys[0]], repository, principal)
        if upload.published:
            return self._published(upload, digest)
        if not upload.offset:
            upload = replace(upload, algorithm=algorithm_of(digest), digest=digest_of(b"", algorithm_of(digest)))
        grown = self._receive(upload, body)
        try:
            if digest_of_upload(self._blobs, grown, algorithm_of(digest)) != digest:
                self._end(grown)
                raise RegistryError(DIGEST_INVALID, {"digest": digest})
            # While a body was received, the records that were read may have changed.
            return self._publish(grown, digest, [found] if grown is upload else [])
        except RegistryError:
            # Another request may have continued the session, or ended it: only the last part belongs to this request.
            self._delete_objects(name for name in part_objects(grown)[len(upload.parts) :] if not self._is_blob(name))
            raise

    def cancel(self, repository: str, id: str, principal: str = "") -> None:
        """End a session, and delete its bytes (end-14). Raises UPLOAD_UNKNOWN."""
        retry_on_conflict(lambda: self._discard(self.get(repository, id, principal)))

    def _read(self, repository: str, id: str, principal: str) -> Upload:
        key = _key(id)
        return _owned(self._metadata.read([key])[key], repository, principal)

    def _receive(self, upload: Upload, body: Body) -> Upload:
        """Store `body` as one more part, and return the session with it, which is not yet on record."""
        if body.start is not None and body.start != upload.offset:
            raise _out_of_order(upload)
        chunks = iter(body.chunks)
        first = next(chunks, b"")
        if not first:
            return upload
        if not body.belongs_at(upload.offset):
            raise _out_of_order(upload)
        if len(upload.parts) == MAX_PARTS:
            raise RegistryError(UPLOAD_INVALID, {"reason": f"more than {MAX_PARTS} chunks; send larger ones"})
        part = f"{len(upload.parts)}-{secrets.token_hex(4)}"
        meter = UploadMeter(resume_hash(self._blobs, upload), upload.crc32c)
        renewal = Renewal(self._metadata, self._clock, upload)
        try:
            metered = meter.pass_through(renewal.pass_through(itertools.chain([first], chunks)))
            stored = self._blobs.append(f"{upload.id}/{part}", metered, body.size)
        except Conflict:
            raise _out_of_order(self.get(upload.target, upload.id, upload.principal)) from None
        return replace(
            renewal.upload,
            offset=upload.offset + stored.size,
            parts=(*upload.parts, part),
            sizes=(*upload.sizes, stored.size),
            digest=meter.hasher.digest,
            resume=meter.hasher.state,
            crc32c=meter.crc32c,
            touched=self._clock(),
        )

    def _save(self, upload: Upload, grown: Upload) -> None:
        """Record the part that `_receive` stored. Raises RANGE_INVALID if another request changed the session."""
        try:
            self._metadata.commit([Replace(grown)])
        except Conflict:
            current = self._metadata.read([upload.key])[upload.key]
            # A driver that received no response retries, and conflicts with its own first write.
            if current is not None and grown.parts[-1] in current.parts:
                return
            self._delete_objects(part_objects(grown)[len(upload.parts) :])
            raise _out_of_order(self.get(upload.target, upload.id, upload.principal)) from None

    def _publish(self, upload: Upload, digest: str, found: Sequence[Found]) -> Link:
        """Make the session's bytes the blob `digest`, or delete them if the blob exists.

        `found` has the records of the session, blob and link for the first attempt, or is empty; every later attempt
        reads them again.
        """
        keys = _keys(upload.target, upload.id, digest)
        content = _Content(
            cache(lambda: self._joined_object(upload)), cache(lambda name: self._repair_object(name, upload))
        )
        reads = itertools.chain(found, iter(lambda: self._metadata.read(keys), None))
        link = retry_on_conflict(lambda: self._try_to_publish(upload, digest, content, next(reads)))
        # A joined object is none of the parts; if the blob existed already, no part is its object.
        self._delete_objects(name for name in part_objects(upload) if name != link.object)
        return link

    def _try_to_publish(self, upload: Upload, digest: str, content: "_Content", found: Found) -> Link:
        key, blob_key, link_key = _keys(upload.target, upload.id, digest)
        session, blob, link = found[key], found[blob_key], found[link_key]
        if session is None or session.version != upload.version:
            return self._after_lost_race(upload, digest)
        now, repaired = self._clock(found.read_at), False
        if blob is None:
            blob = Blob(
                id=digest, object=content.joined_object(), size=upload.offset, crc32c=upload.crc32c, created=now
            )
        elif blob.damaged or not object_exists(self._blobs, blob.object, blob.size):
            # A blob that is acknowledged must be readable, in all repositories that link it.
            content.repair(blob.object)
            blob, repaired = replace(blob, damaged=""), True
        link, writes = blob_links.upsert(link, blob, upload.target, now, repaired=repaired)
        self._metadata.commit([Replace(replace(upload, published=digest, touched=now)), *writes])
        return link

    def _after_lost_race(self, upload: Upload, digest: str) -> Link:
        """Return the link that another request made, if it published the same digest; otherwise raise its error."""
        current = self._read(upload.target, upload.id, upload.principal)
        if not current.published:
            raise _out_of_order(current)
        return self._published(current, digest)

    def _published(self, upload: Upload, digest: str) -> Link:
        """Return the link that a session published. Raises UPLOAD_UNKNOWN for another digest, or a deleted link."""
        key = Key(Link, digest, upload.target)
        link = self._metadata.read([key])[key]
        if upload.published != digest or link is None:
            raise RegistryError(UPLOAD_UNKNOWN)
        return link

    def _joined_object(self, upload: Upload) -> str:
        """Return the name of one object with all of the session's bytes, created if necessary."""
        return part_objects(upload)[0] if len(upload.parts) == 1 else self._copy(upload)

    def _copy(self, upload: Upload) -> str:
        """Create an object with the session's bytes, beside its parts, and return its name."""
        name = f"{upload.id}/whole-{secrets.token_hex(4)}"
        if not upload.parts:
            self._blobs.append(name, (), 0)
            return name
        joined = self._blobs.join(name, part_objects(upload))
        if joined.size != upload.offset or joined.crc32c not in (None, upload.crc32c):
            self._delete_objects([name])
            raise Corrupt(f"the object joined from the parts of upload {upload.id} has other bytes than they have")
        return name

    def _repair_object(self, name: str, upload: Upload) -> None:
        """Replace the object `name` by one with the session's bytes; collection cleans up after a kill in between."""
        copy = self._copy(upload)
        try:
            self._blobs.replace(name, copy)
        except StorageError:
            self._delete_objects([copy])
            raise

    def _end(self, upload: Upload) -> None:
        """End a session without a blob, unless another request changed it."""
        with contextlib.suppress(Conflict):
            self._discard(upload)

    def _discard(self, upload: Upload) -> None:
        """End a session without a blob. Raises Conflict if another request changed it."""
        self._metadata.commit([Replace(replace(upload, cancelled=True, touched=self._clock()))])
        self._delete_objects(part_objects(upload))

    def _is_blob(self, name: str) -> bool:
        """Return whether an object belongs to a blob."""
        return bool(self._metadata.find(Query(Blob, {"object": name}, limit=1)))

    def _delete_objects(self, names: Iterable[str]) -> None:
        """Delete objects that no record references. If the store fails, collection deletes them later."""
        for name in names:
            with contextlib.suppress(StorageError):
                self._blobs.delete(name)


class _Content(NamedTuple):
    """Operations on a session's bytes that publishing runs at most once each, over all of its attempts.

    joined_object  returns the name of one object with all bytes, created if necessary
    repair         replaces an object, existing or not, by one with these bytes
    """

    joined_object: Callable[[], str]
    repair: Callable[[str], None]


def _key(id: str) -> Key[Upload]:
    """Return the key of a session. Raises UPLOAD_UNKNOWN if the id is malformed."""
    if not _ID.fullmatch(id):
        raise RegistryError(UPLOAD_UNKNOWN)
    return Key(Upload, id)


def _keys(repository: str, id: str, digest: str) -> tuple[Key[Upload], Key[Blob], Key[Link]]:
    """Return the keys of all records that decide a publication."""
    return _key(id), Key(Blob, digest), Key(Link, digest, repository)


def _owned(upload: Upload | None, repository: str, principal: str) -> Upload:
    """Return a session. Raises UPLOAD_UNKNOWN unless it exists and is of this repository and this principal."""
    if upload is None or upload.cancelled or (upload.target, upload.principal) != (repository, principal):
        raise RegistryError(UPLOAD_UNKNOWN)
    return upload


def _out_of_order(upload: Upload) -> RegistryError:
    """Return the error that says where the upload ends, so that the client can continue from there."""
    return RegistryError(RANGE_INVALID, {"offset": upload.offset}, upload=upload)

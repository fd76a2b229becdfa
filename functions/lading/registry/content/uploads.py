"""Upload sessions: from the first byte to the published blob.

    start ──▶ open ──append*──▶ open ──finish──▶ published
                                  └────cancel──▶ cancelled

Each request's body becomes one object `<session>/<n>` that nobody can see. Publishing is one commit that creates the
blob's record and the repository's link and closes the session: no byte is copied or renamed, except that several parts
are joined into one object first. Where the blob is there already but its object is missing, cut, or marked by scrub,
a whole copy replaces the object under its name, before that commit: whatever leads to the object leads to good bytes
then, in all repositories, and whoever is killed in between has lost nothing: the parts are left for the next try.

There is no lock. The session's version is the exclusiveness: of two requests that append at one offset, one commits
and the other is told where the upload ends. A process that dies leaves the session as it was before, usable at once,
and an object that only the session's prefix leads to. A session that has ended stays on record, so that collection can
find what it left.
"""

import contextlib
import itertools
import re
import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Final, NamedTuple

import google_crc32c

from lading.registry.change_context import Clock, now
from lading.registry.content import blob_links
from lading.registry.errors import DIGEST_INVALID, RANGE_INVALID, UPLOAD_INVALID, UPLOAD_UNKNOWN, RegistryError
from lading.registry.lifecycle.session_renewal import Renewal
from lading.registry.retry import retry_on_conflict
from lading_storage.digests import Hasher, algorithm_of, digest_of
from lading_storage.errors import Conflict, Corrupt, StorageError
from lading_storage.protocols import BlobStore, Create, Found, MetadataStore, Replace, object_exists
from lading_storage.records.core import Blob, Key, Link, Upload

CHUNK_MIN_LENGTH: Final = 1024 * 1024
"""Bytes; what clients that send chunks are asked for (OCI-Chunk-Min-Length). Smaller ones are taken all the same."""

MAX_PARTS: Final = 10_000
"""Of a session: its record lists them. 10 GiB in the smallest chunks that are asked for."""

_ID: Final = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class Body:
    """A request's body.

    chunks  its bytes, to be read once; raising stops everything
    size    how many they are, or None where the client did not say
    start   the offset in the blob at which they belong, or None where the client did not say
    resume  the offset at which the session ended when the client was told its Location, or None for any. Without
            `start`, a body that is not empty belongs there: one that is sent again is not appended twice
    """

    chunks: Iterable[bytes]
    size: int | None = None
    start: int | None = None
    resume: int | None = None

    def belongs_at(self, offset: int) -> bool:
        """Return whether the bytes belong at `offset`; the client's own word counts before its Location."""
        stated = self.resume if self.start is None else self.start
        return stated is None or stated == offset


class Uploads:
    """All upload sessions. A session belongs to its repository and to its principal.

    The principal is "" where the registry is open to all, and then only there: every caller that logs in has a name.
    """

    def __init__(self, blobs: BlobStore, metadata: MetadataStore, clock: Clock = now) -> None:
        """Keep bytes in `blobs` and sessions in `metadata`."""
        self._blobs = blobs
        self._metadata = metadata
        self._clock = clock

    def start(self, repository: str, principal: str = "", algorithm: str = "sha256") -> Upload:
        """Begin a session (end-4a). Its id is 128 random bits: whoever knows it may go on."""
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
        """An open session (end-13). Raises UPLOAD_UNKNOWN for any other, and for one that belongs to somebody else."""
        upload = self._read(repository, id, principal)
        if upload.published:
            raise RegistryError(UPLOAD_UNKNOWN)
        return upload

    def append(self, repository: str, id: str, body: Body, principal: str = "") -> Upload:
        """Add `body` to an open session (end-5); answers the session as it is then.

        Raises UPLOAD_UNKNOWN, and RANGE_INVALID where `body` begins elsewhere than the session ends, or where another
        request was faster. The session goes on as it was.
        """
        upload = self.get(repository, id, principal)
        grown = self._receive(upload, body)
        if grown is not upload:
            self._save(upload, grown)
        return grown

    def finish(self, repository: str, id: str, digest: str, body: Body, principal: str = "") -> Link:
        """Add `body`, and publish the whole as the blob `digest` (end-6). Doing so again answers the same.

        Raises as `append` does, and DIGEST_INVALID where the bytes are others: then the session and its bytes are gone.
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
            if self._digest(grown, algorithm_of(digest)) != digest:
                self._end(grown)
                raise RegistryError(DIGEST_INVALID, {"digest": digest})
            # While a body came, what was found may have become something else.
            return self._publish(grown, digest, [found] if grown is upload else [])
        except RegistryError:
            # The session may be another request's by now, or over and its objects swept: what came last is ours alone.
            self._delete_objects(name for name in _objects(grown)[len(upload.parts) :] if not self._is_blob(name))
            raise

    def cancel(self, repository: str, id: str, principal: str = "") -> None:
        """End a session and forget its bytes (end-14). Raises UPLOAD_UNKNOWN."""
        retry_on_conflict(lambda: self._discard(self.get(repository, id, principal)))

    def _read(self, repository: str, id: str, principal: str) -> Upload:
        key = _key(id)
        return _owned(self._metadata.read([key])[key], repository, principal)

    def _receive(self, upload: Upload, body: Body) -> Upload:
        """The session with `body` stored as one more part; the store knows of it, the session's record not yet."""
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
        meter = _Meter(self._hasher(upload), upload.crc32c)
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

    def _hasher(self, upload: Upload) -> Hasher:
        """A hash that has seen the session's bytes so far: resumed where that is possible, else they are read again."""
        if upload.resume:
            with contextlib.suppress(ValueError):
                return Hasher(upload.algorithm, upload.resume)
        return self._rehash(upload, upload.algorithm)

    def _rehash(self, upload: Upload, algorithm: str) -> Hasher:
        hasher = Hasher(algorithm)
        for name, size in zip(_objects(upload), upload.sizes, strict=True):
            for chunk in self._blobs.open(name, 0, size):
                hasher.update(chunk)
        return hasher

    def _digest(self, upload: Upload, algorithm: str) -> str:
        """The digest of the session's bytes: known, unless the session began with another algorithm."""
        return upload.digest if algorithm == upload.algorithm else self._rehash(upload, algorithm).digest

    def _save(self, upload: Upload, grown: Upload) -> None:
        """Record what `_receive` stored. Raises RANGE_INVALID where another request changed the session meanwhile."""
        try:
            self._metadata.commit([Replace(grown)])
        except Conflict:
            current = self._metadata.read([upload.key])[upload.key]
            # A driver that got no answer tries again, and finds what it has written itself.
            if current is not None and grown.parts[-1] in current.parts:
                return
            self._delete_objects(_objects(grown)[len(upload.parts) :])
            raise _out_of_order(self.get(upload.target, upload.id, upload.principal)) from None

    def _publish(self, upload: Upload, digest: str, found: Sequence[Found]) -> Link:
        """Make the session's bytes the blob `digest`, or drop them where the blob is there already.

        `found` is what was read just now of session, blob and link, if it was: each later attempt reads them again.
        """
        keys = _keys(upload.target, upload.id, digest)
        content = _Content(
            cache(lambda: self._joined_object(upload)), cache(lambda name: self._repair_object(name, upload))
        )
        reads = itertools.chain(found, iter(lambda: self._metadata.read(keys), None))
        link = retry_on_conflict(lambda: self._try_to_publish(upload, digest, content, next(reads)))
        # The joined object is another one than all parts; where the blob was there already, no part is its object.
        self._delete_objects(name for name in _objects(upload) if name != link.object)
        return link

    def _try_to_publish(self, upload: Upload, digest: str, content: "_Content", found: Found) -> Link:
        key, blob_key, link_key = _keys(upload.target, upload.id, digest)
        session, blob, link = found[key], found[blob_key], found[link_key]
        if session is None or session.version != upload.version:
            return self._after_lost_race(upload, digest)
        now, healed = self._clock(found.read_at), False
        if blob is None:
            blob = Blob(
                id=digest, object=content.joined_object(), size=upload.offset, crc32c=upload.crc32c, created=now
            )
        elif blob.damaged or not object_exists(self._blobs, blob.object, blob.size):
            # Acknowledged must be what can be pulled, in all repositories that link it.
            content.repair(blob.object)
            blob, healed = replace(blob, damaged=""), True
        link, writes = blob_links.upsert(link, blob, upload.target, now, repaired=healed)
        self._metadata.commit([Replace(replace(upload, published=digest, touched=now)), *writes])
        return link

    def _after_lost_race(self, upload: Upload, digest: str) -> Link:
        """Another request changed the session. Where that published the same digest, all is well."""
        current = self._read(upload.target, upload.id, upload.principal)
        if not current.published:
            raise _out_of_order(current)
        return self._published(current, digest)

    def _published(self, upload: Upload, digest: str) -> Link:
        """The link that a session has made. Raises UPLOAD_UNKNOWN where it was of another digest, or is gone."""
        key = Key(Link, digest, upload.target)
        link = self._metadata.read([key])[key]
        if upload.published != digest or link is None:
            raise RegistryError(UPLOAD_UNKNOWN)
        return link

    def _joined_object(self, upload: Upload) -> str:
        """One object of the session's bytes."""
        return _objects(upload)[0] if len(upload.parts) == 1 else self._copy(upload)

    def _copy(self, upload: Upload) -> str:
        """A new object of the session's bytes, beside its parts."""
        name = f"{upload.id}/whole-{secrets.token_hex(4)}"
        if not upload.parts:
            self._blobs.append(name, (), 0)
            return name
        joined = self._blobs.join(name, _objects(upload))
        if joined.size != upload.offset or joined.crc32c not in (None, upload.crc32c):
            self._delete_objects([name])
            raise Corrupt(f"the store joined the parts of upload {upload.id} to other bytes")
        return name

    def _repair_object(self, name: str, upload: Upload) -> None:
        """Make the session's bytes those of the object `name`; of a kill on the way, its session's end tells."""
        copy = self._copy(upload)
        try:
            self._blobs.replace(name, copy)
        except StorageError:
            self._delete_objects([copy])
            raise

    def _end(self, upload: Upload) -> None:
        """End a session without a blob, unless it is another request's by now."""
        with contextlib.suppress(Conflict):
            self._discard(upload)

    def _discard(self, upload: Upload) -> None:
        """End a session without a blob. Raises Conflict where another request changed it."""
        self._metadata.commit([Replace(replace(upload, cancelled=True, touched=self._clock()))])
        self._delete_objects(_objects(upload))

    def _is_blob(self, name: str) -> bool:
        """Whether an object is a blob's."""
        return bool(self._metadata.find(Blob, {"object": name}, limit=1))

    def _delete_objects(self, names: Iterable[str]) -> None:
        """Delete objects that nobody names. A store that fails now leaves them to collection."""
        for name in names:
            with contextlib.suppress(StorageError):
                self._blobs.delete(name)


class _Content(NamedTuple):
    """What publishing does with a session's bytes, each at most once, however often it is tried.

    whole     makes them one object, or finds that they are; returns its name
    put_back  makes them the bytes of an object that is there, or was
    """

    joined_object: Callable[[], str]
    repair: Callable[[str], None]


class _Meter:
    """Measures bytes on their way: their digest and their CRC-32C, beginning with what came before."""

    def __init__(self, hasher: Hasher, crc32c: int) -> None:
        self.hasher = hasher
        self.crc32c = crc32c

    def pass_through(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        for chunk in chunks:
            self.hasher.update(chunk)
            self.crc32c = google_crc32c.extend(self.crc32c, chunk)
            yield chunk


def _key(id: str) -> Key[Upload]:
    """The key of a session. Raises UPLOAD_UNKNOWN where no session can have that id."""
    if not _ID.fullmatch(id):
        raise RegistryError(UPLOAD_UNKNOWN)
    return Key(Upload, id)


def _keys(repository: str, id: str, digest: str) -> tuple[Key[Upload], Key[Blob], Key[Link]]:
    """The keys of all that publishing looks at."""
    return _key(id), Key(Blob, digest), Key(Link, digest, repository)


def _owned(upload: Upload | None, repository: str, principal: str) -> Upload:
    """A session that was found, where it is this repository's and this principal's. Raises UPLOAD_UNKNOWN."""
    if upload is None or upload.cancelled or (upload.target, upload.principal) != (repository, principal):
        raise RegistryError(UPLOAD_UNKNOWN)
    return upload


def _objects(upload: Upload) -> list[str]:
    """The names of the objects that hold a session's parts, in order."""
    return [f"{upload.id}/{part}" for part in upload.parts]


def _out_of_order(upload: Upload) -> RegistryError:
    """The error that says where the upload ends, so that the client can go on from there."""
    return RegistryError(RANGE_INVALID, {"offset": upload.offset}, upload=upload)

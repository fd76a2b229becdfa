"""Digest and checksum of an upload session's bytes, across the requests that append to it."""

import contextlib
from collections.abc import Iterable, Iterator

import google_crc32c

from lading_storage.digests import Hasher
from lading_storage.protocols import BlobStore
from lading_storage.records.core import Upload


class UploadMeter:
    """Digest and CRC-32C of bytes that pass through, continued from those of the bytes before."""

    def __init__(self, hasher: Hasher, crc32c: int) -> None:
        """Continue `hasher` and `crc32c`."""
        self.hasher = hasher
        self.crc32c = crc32c

    def pass_through(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """Yield `chunks` unchanged."""
        for chunk in chunks:
            self.hasher.update(chunk)
            self.crc32c = google_crc32c.extend(self.crc32c, chunk)
            yield chunk


def resume_hash(blobs: BlobStore, upload: Upload) -> Hasher:
    """Return a hash of the session's bytes so far: resumed if possible, otherwise by reading them again."""
    if upload.resume:
        with contextlib.suppress(ValueError):
            return Hasher(upload.algorithm, upload.resume)
    return _rehash(blobs, upload, upload.algorithm)


def digest_of_upload(blobs: BlobStore, upload: Upload, algorithm: str) -> str:
    """Return the digest of the session's bytes: on record, unless the session began with another algorithm."""
    return upload.digest if algorithm == upload.algorithm else _rehash(blobs, upload, algorithm).digest


def part_objects(upload: Upload) -> list[str]:
    """Return the names of the objects that hold a session's parts, in order."""
    return [f"{upload.id}/{part}" for part in upload.parts]


def _rehash(blobs: BlobStore, upload: Upload, algorithm: str) -> Hasher:
    hasher = Hasher(algorithm)
    for name, size in zip(part_objects(upload), upload.sizes, strict=True):
        for chunk in blobs.open(name, 0, size):
            hasher.update(chunk)
    return hasher

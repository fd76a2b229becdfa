"""Owner marks: objects of a blob store that say which registry it belongs to.

    registry/<identity of the registry>

A second registry on the same store, by a mistyped --blobs or after its metadata was lost, does not know the objects of
the first: a scrub would hand them to collection. So a job that deletes objects first lists the marks, one call:

    the own mark alone           the job runs
    another one                  it is refused; a registry whose blobs are here as well adds its own mark, so that the
                                 jobs of both are refused
    none (an older release)      the own mark is written, if the metadata knows each object of a sample; a job that
                                 deletes only objects of its own sessions runs without it, if it knows some

The command that creates a store marks it, and a server of a folder does not start on the store of another registry:
until its own first collection, a scrub of the other one would give what is pushed here to collection. No request reads
a mark.
"""

from typing import Final

from lading.registry.change_context import Clock, now
from lading.registry.identity import identity_of
from lading_storage.errors import StorageError
from lading_storage.protocols import BlobStore, MetadataStore
from lading_storage.query import Query
from lading_storage.records.core import Blob, Key, Upload

FOLDER: Final = "registry"
"""The first segment of a mark's name. No upload has this id."""

MAX_MARKS: Final = 100
MAX_SAMPLE: Final = 200
"""Objects of a store without a mark that must be known. Each costs a query, once."""

MAX_BLOBS: Final = 20
"""Blobs whose objects are looked for in a store with the mark of another registry."""

REMEDY: Final = (
    "check --blobs and --metadata; if no other registry uses this blob store, mark it as this one's with"
    " `lading gc --claim`"
)


class ForeignBlobs(StorageError):
    """The blob store belongs to another registry, or may; the message says so, and the next step."""


def is_mark(name: str) -> bool:
    """Return whether an object is a mark."""
    return name.startswith(_name(""))


def marks(blobs: BlobStore) -> list[str]:
    """Return the identities of the registries that have marked the store."""
    return [name.removeprefix(_name("")) for name in blobs.names(_name(""), limit=MAX_MARKS)]


def mark_new_store(blobs: BlobStore, metadata: MetadataStore) -> None:
    """Mark the store as that of this registry if it is empty."""
    if not blobs.names("", limit=1):
        _write(blobs, identity_of(metadata))


def mark_served_store(blobs: BlobStore, metadata: MetadataStore) -> None:
    """Mark the store if it is empty, or marked as another registry's though blobs of this one are in it.

    Raises:
        ForeignBlobs: the store is marked as another registry's, and none of this one's blobs are in it.
    """
    mark_new_store(blobs, metadata)
    own, found = identity_of(metadata), marks(blobs)
    if found and own not in found:
        if not _has_own_blobs(blobs, metadata):
            raise ForeignBlobs(
                f"the blob store belongs to another registry ({', '.join(found)}; this one is {own}), and no blob of"
                f" this one is in it; {REMEDY}"
            )
        _write(blobs, own)


def claim(blobs: BlobStore, metadata: MetadataStore) -> None:
    """Mark the store as that of this registry alone, on the word of its operator."""
    own, found = identity_of(metadata), marks(blobs)
    if own not in found:
        _write(blobs, own)
    for other in found:
        if other != own:
            blobs.delete(_name(other))


def require_own(blobs: BlobStore, metadata: MetadataStore, *, all_known: bool = True, clock: Clock = now) -> None:
    """Return if this registry may delete objects; mark a store without a mark, if the metadata knows its objects.

    Args:
        blobs: the blob store.
        metadata: the metadata of the registry.
        all_known: whether a store without a mark must have no object that the metadata does not know. A job that
            deletes only objects of the metadata's own sessions may run if it knows some.
        clock: returns the current time.

    Raises:
        ForeignBlobs: the store is marked as another registry's, or has objects that the metadata does not know.
    """
    own, found = identity_of(metadata, clock), marks(blobs)
    if found == [own]:
        return
    if found:
        if own not in found and _has_own_blobs(blobs, metadata):
            # The jobs of the other registry must not delete these.
            _write(blobs, own)
        raise ForeignBlobs(f"{foreign_text(own, found)}; {REMEDY}")
    known, unknown = _sample(blobs, metadata)
    if not unknown:
        _write(blobs, own)
    elif all_known or not known:
        raise ForeignBlobs(
            f"the blob store has no mark of its registry, and no record of this one names its object {unknown}, so no"
            f" objects are deleted; {REMEDY}"
        )


def foreign_text(own: str, found: list[str]) -> str:
    """Return the problem with a store whose marks are not `own` alone."""
    others = ", ".join(each for each in found if each != own)
    return f"the blob store belongs to another registry ({others}; this one is {own}), so no objects are deleted"


def _sample(blobs: BlobStore, metadata: MetadataStore) -> tuple[str, str]:
    """Return an object that the metadata knows, and one that it does not, of the first MAX_SAMPLE; "" for none."""
    names = blobs.names("", limit=MAX_SAMPLE)
    sessions = metadata.read(list({_session_of(name): True for name in names}))
    known = unknown = ""
    for name in names:
        if sessions[_session_of(name)] or metadata.find(Query(Blob, {"object": name}, limit=1)):
            known = name
        else:
            unknown = name
        if known and unknown:
            break
    return known, unknown


def _has_own_blobs(blobs: BlobStore, metadata: MetadataStore) -> bool:
    """Return whether the object of one of the first blobs is in the store."""
    return any(blobs.names(blob.object, limit=1) for blob in metadata.find(Query(Blob, limit=MAX_BLOBS)))


def _write(blobs: BlobStore, identity: str) -> None:
    try:
        blobs.append(_name(identity), [f"This blob store belongs to the registry {identity}.\n".encode()])
    except StorageError:
        # Another process of this registry may just have written it.
        if identity not in marks(blobs):
            raise


def _name(identity: str) -> str:
    return f"{FOLDER}/{identity}"


def _session_of(name: str) -> Key[Upload]:
    return Key(Upload, name.partition("/")[0])

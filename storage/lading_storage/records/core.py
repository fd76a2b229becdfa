"""The values that the metadata store keeps. Each names its kind, its place and what it can be found by.

    repositories/{name}
        manifests/{digest}          the bytes of a manifest, and what it references
        tags/{tag}                  which manifest a tag names, with what a pull needs of it
        links/{digest}              "this blob is visible in this repository"
        deleted_manifests/{digest}, deleted_tags/{tag}, deleted_links/{digest}
                                    what was deleted and can still be restored  (lading_storage.records.deleted)
        histories/{tag}, moves/{…}  how often a tag was moved, and each move    (lading_storage.records.deleted)
        pulls/{digest}              when a manifest was last pulled             (lading_storage.records.jobs)
    blobs/{digest}                  which object of the blob store holds a blob
    uploads/{id}                    an upload session
    robots/{name}                   a credential of the registry's own
    running/{name}, jobs/{name}     what runs somewhere; jobs and their leases  (lading_storage.records.jobs)
    identities/registry             which registry this is                      (lading_storage.records.jobs)

A record is never changed in place: a changed copy (`dataclasses.replace`) is written over it, and `version`, which
the store alone sets, says which state of the record the copy was made from.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from typing import Any, ClassVar, Final, Generic, NamedTuple, TypeVar

R = TypeVar("R", bound="Record")


class Key(NamedTuple, Generic[R]):
    """Where one record is: its kind, its id, and the repository that it is in ("" for none)."""

    kind: type[R]
    id: str
    repository: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What all records share.

    id          unique within its kind and repository
    repository  the repository it is in, or ""
    version     which state of the record this is; opaque, set by the store, no part of equality
    """

    KIND: ClassVar[str]
    INDEXED_FIELDS: ClassVar[tuple[str, ...]] = ()
    """The fields that MetadataStore.find may ask for; a tuple field matches by any of its items."""
    QUEUES: ClassVar[tuple[str, ...]] = ()
    """The queues that records of this kind can wait in: the first words of `due`."""
    IN_REPOSITORY: ClassVar[bool] = False
    """Whether records of this kind are in a repository."""
    NOT_IN_BACKUP: ClassVar[str] = ""
    """Why records of this kind are no part of a backup; "" where they are, as those of a new kind are."""

    id: str
    repository: str = ""
    version: str = field(default="", compare=False)

    @property
    def key(self) -> "Key[Any]":
        """The key that reads this record."""
        return Key(type(self), self.id, self.repository)

    @property
    def due(self) -> str:
        """The entry of this record in a queue of a background job, made by `queued`; "" while it waits in none.

        Derived from the fields at each write, and indexed by the stores (MetadataStore.due): a job reads what may be
        due, and nothing else.
        """
        return ""

    @classmethod
    def order(cls, id: str) -> str:
        """The text by which a listing of this kind is sorted: unique for each id."""
        return id


UNVERIFIED: Final = "loose"
MARKED: Final = "condemned"
HIDDEN: Final = "hidden"
HIDDEN_UNVERIFIED: Final = "forgotten"

OPEN: Final = "open"
ENDED: Final = "ended"
DELETED: Final = "deleted"
REVIEW: Final = "review"
"""Queues of records that are in no state of that name: upload sessions, tombstones, clean-up policies."""


def due_entry(queue: str, since: datetime) -> str:
    """Return the entry of a record that waits in `queue` since a time: entries of one queue sort by time."""
    return f"{queue} {since.astimezone(UTC).isoformat(timespec='microseconds')}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Repository(Record):
    """A repository that has, or had, a manifest; its id is its name.

    deleted  when it was deleted with all that was in it, or None; the next push makes it live
    review   when a verdict of the clean-up policies can change next, or None: not before something is pushed
    looked   whether clean-up has looked at it since it was changed: then the next change sets `review`, due or not
    kept     from when the time since it was deleted counts, where something in it can still be restored, or None
    """

    KIND: ClassVar[str] = "repositories"
    QUEUES: ClassVar[tuple[str, ...]] = (DELETED, REVIEW)

    created: datetime
    deleted: datetime | None = None
    review: datetime | None = None
    looked: bool = False
    kept: datetime | None = None

    @property
    def due(self) -> str:
        """See Record.due."""
        if self.deleted:
            return due_entry(DELETED, self.kept or self.deleted)
        return due_entry(REVIEW, self.review) if self.review else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Blob(Record):
    """Which object holds the blob whose digest is the id. One per digest, however many repositories link it.

    state    "", or LOOSE since a link of it was removed: perhaps it was the last one
    damaged  what scrub found wrong with the object, in a word: "missing" or "damaged"; "" where it found nothing.
             Neither collection nor a manifest that names the blob resets it: only the right bytes do
    """

    KIND: ClassVar[str] = "blobs"
    INDEXED_FIELDS: ClassVar[tuple[str, ...]] = ("object",)
    QUEUES: ClassVar[tuple[str, ...]] = (UNVERIFIED,)

    object: str
    size: int
    crc32c: int
    created: datetime
    state: str = ""
    damaged: str = ""

    @property
    def due(self) -> str:
        """See Record.due."""
        return due_entry(self.state, self.created) if self.state else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Link(Record):
    """The blob whose digest is the id is visible in this repository. Repeats what a pull needs of the blob.

    state    "" where a live manifest names it; LOOSE where perhaps none does; CONDEMNED where collection found none.
             What only deleted manifests name is a DeletedLink (lading_storage.records.deleted), which is HIDDEN or
             FORGOTTEN
    since    when it came into this state
    damaged  whether scrub marked the blob: a hint to read the blob's record, which alone says whether it still is
    """

    KIND: ClassVar[str] = "links"
    IN_REPOSITORY: ClassVar[bool] = True
    INDEXED_FIELDS: ClassVar[tuple[str, ...]] = ("id",)
    QUEUES: ClassVar[tuple[str, ...]] = (UNVERIFIED, MARKED)

    object: str
    size: int
    created: datetime
    state: str = ""
    since: datetime | None = None
    damaged: bool = False

    @property
    def due(self) -> str:
        """See Record.due."""
        return due_entry(self.state, self.since or self.created) if self.state else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest(Record):
    """A manifest; its id is its digest.

    size           bytes
    content        the manifest, byte for byte, or None where it is kept in `object` (and in every listing)
    object         the object that holds a manifest too large for the metadata store, or ""
    artifact_type  by which the referrers API finds it, in lower case: its own, else an image's config's media type
    subject        the digest of the manifest that this one refers to, or ""
    attachment     what lets a tag attach it to another manifest: the tag `sha256-…` that the push which created it gave
                   it; else the suffix of such tags (".sig") that fits its layers; else "tag" where that push gave it
                   another tag ("tag-and-digest" where a later one gave none), and "none" where it gave none
                   (registry.referring).
                   "" where an earlier release wrote it: then its content alone says
    blobs          the digests of all blobs that must be linked in the repository
    children       the digests of all manifests that must be in the repository
    may_lack       those of them that need not be: a rule allowed it when the manifest was pushed
    restored       when it was undeleted, or pushed again, the last time, or None
    damaged        whether scrub found that a blob is marked which it, or a manifest below it, needs: a hint to read
                   these blobs' records, which alone say whether one still is
    """

    KIND: ClassVar[str] = "manifests"
    IN_REPOSITORY: ClassVar[bool] = True
    INDEXED_FIELDS: ClassVar[tuple[str, ...]] = ("subject", "artifact_type", "blobs", "children")

    media_type: str
    size: int
    content: bytes | None = None
    object: str = ""
    artifact_type: str = ""
    subject: str = ""
    attachment: str = ""
    blobs: tuple[str, ...] = ()
    children: tuple[str, ...] = ()
    may_lack: tuple[str, ...] = ()
    created: datetime
    restored: datetime | None = None
    damaged: bool = False

    @property
    def digest(self) -> str:
        """The digest of the manifest's bytes."""
        return self.id


@dataclass(frozen=True, slots=True, kw_only=True)
class Tag(Record):
    """Which manifest a tag names; repeats what a pull needs of it, so that a pull by tag is one read.

    content  the manifest's bytes where they are few, else None
    damaged  as the manifest's: a hint to read the manifest's record
    """

    KIND: ClassVar[str] = "tags"
    IN_REPOSITORY: ClassVar[bool] = True
    INDEXED_FIELDS: ClassVar[tuple[str, ...]] = ("digest",)

    digest: str
    media_type: str
    size: int
    content: bytes | None = None
    moved: datetime
    damaged: bool = False

    @classmethod
    def order(cls, id: str) -> str:
        """Case-insensitive, as the distribution-spec wants tags listed; the tag itself decides between equals."""
        return f"{id.lower()} {id}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload(Record):
    """An upload session.

    target     the repository that it uploads into
    principal  who began it, where the credentials named somebody, else ""
    offset     bytes received
    parts      the objects that hold them, in order: `<id>/<part>`
    sizes      the bytes of each
    algorithm  of the running hash
    digest     of the bytes received so far
    resume     with what the hash goes on (lading_storage.digests), or ""
    crc32c     of the bytes received so far
    published  the digest that the session ended with, or ""
    cancelled  the session ended without a blob
    """

    KIND: ClassVar[str] = "uploads"
    QUEUES: ClassVar[tuple[str, ...]] = (OPEN, ENDED)
    NOT_IN_BACKUP: ClassVar[str] = "a session goes on where its bytes are"

    target: str
    principal: str = ""
    offset: int = 0
    parts: tuple[str, ...] = ()
    sizes: tuple[int, ...] = ()
    algorithm: str = "sha256"
    digest: str = ""
    resume: str = ""
    crc32c: int = 0
    published: str = ""
    cancelled: bool = False
    created: datetime
    touched: datetime

    @property
    def due(self) -> str:
        """See Record.due."""
        return due_entry(ENDED if self.published or self.cancelled else OPEN, self.touched)


@dataclass(frozen=True, slots=True, kw_only=True)
class Robot(Record):
    """A credential of the registry's own, for a program; its id is its name.

    mac           the HMAC of its secret, in hex
    former_mac    of the secret before a rotation, good until `former_until`, or ""
    repositories  patterns of the repositories that it may use
    actions       what it may do there: pull, push
    owner         who answers for it
    expires       when it ends, or None
    """

    KIND: ClassVar[str] = "robots"

    mac: str
    former_mac: str = ""
    former_until: datetime | None = None
    repositories: tuple[str, ...]
    actions: tuple[str, ...]
    owner: str = ""
    created: datetime
    expires: datetime | None = None


def values_of(record: Record) -> dict[str, Any]:
    """The record's own fields by name, without those that say where it is; tuples as lists."""
    values = {}
    for each in dataclasses.fields(record):
        if each.name not in ("id", "repository", "version"):
            value = getattr(record, each.name)
            values[each.name] = list(value) if isinstance(value, tuple) else value
    return values


def record_of(key: Key[R], values: Mapping[str, Any], version: str) -> R:
    """The record that `values_of` gave `values` for; fields that only a newer release knows are left out."""
    known = _names(key.kind)  # type: ignore[arg-type]  # a class can be hashed
    plain = {
        name: tuple(value) if isinstance(value, list) else value for name, value in values.items() if name in known
    }
    return key.kind(id=key.id, repository=key.repository, version=version, **plain)


@cache
def _names(kind: type[Record]) -> frozenset[str]:
    """The names of a kind's fields; asking dataclasses costs as much as the rest of a small read."""
    return frozenset(each.name for each in dataclasses.fields(kind))


def converted(record: Record, kind: type[R], **others: Any) -> R:
    """A record of another kind, at the same place, with the same fields as far as it has them, and `others`."""
    own = {each.name for each in dataclasses.fields(record)} - {"version", *others}
    shared = {each.name: getattr(record, each.name) for each in dataclasses.fields(kind) if each.name in own}
    return kind(**shared, **others)

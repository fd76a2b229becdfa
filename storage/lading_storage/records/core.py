"""Record types of the metadata store. Each class declares its kind, its location and the fields it is found by.

    repositories/{name}
        manifests/{digest}          the bytes of a manifest, and what it references
        tags/{tag}                  which manifest a tag names, with what a pull needs of it
        links/{digest}              a blob is visible in this repository
        deleted_manifests/{digest}, deleted_tags/{tag}, deleted_links/{digest}
                                    tombstones, which can be restored            (lading_storage.records.deleted)
        histories/{tag}, moves/{…}  number of changes of a tag, and each change  (lading_storage.records.deleted)
        pulls/{digest}              when a manifest was last pulled              (lading_storage.records.jobs)
    blobs/{digest}                  which object of the blob store holds a blob
    uploads/{id}                    an upload session
    robots/{name}                   a robot account of the registry
    running/{name}, jobs/{name}     in-use reports; jobs and their leases        (lading_storage.records.jobs)
    identities/registry             the identity of this registry                (lading_storage.records.jobs)

A record is immutable: a changed copy (`dataclasses.replace`) overwrites it. Only the store sets `version`, which
identifies the state of the record that the copy was made from.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from typing import Any, ClassVar, Final, Generic, NamedTuple, TypeVar

R = TypeVar("R", bound="Record")


class Key(NamedTuple, Generic[R]):
    """Key of a record: its kind, its id, and its repository ("" for none)."""

    kind: type[R]
    id: str
    repository: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """Base class of all records.

    Attributes:
        id: unique within its kind and repository.
        repository: the repository that contains the record, or "".
        version: identifies the state of the record. Opaque, set by the store, and ignored by comparisons.
    """

    KIND: ClassVar[str]
    INDEXED_FIELDS: ClassVar[tuple[str, ...]] = ()
    """The fields that MetadataStore.find can search. A tuple field matches by any of its items."""
    QUEUES: ClassVar[tuple[str, ...]] = ()
    """The queues that can contain records of this kind: the first words of `due`."""
    IN_REPOSITORY: ClassVar[bool] = False
    """Whether records of this kind belong to a repository."""
    NOT_IN_BACKUP: ClassVar[str] = ""
    """Why backups omit records of this kind; "" if they include them, which is the default for a new kind."""

    id: str
    repository: str = ""
    version: str = field(default="", compare=False)

    @property
    def key(self) -> "Key[Any]":
        """Key of this record."""
        return Key(type(self), self.id, self.repository)

    @property
    def due(self) -> str:
        """Entry of this record in the queue of a background job, made by `due_entry`; "" if it is in no queue.

        Derived from the fields at each write and indexed by the stores (MetadataStore.due), so that a job reads only
        the records that may be due.
        """
        return ""

    @classmethod
    def order(cls, id: str) -> str:
        """Return the sort key of listings of this kind, unique for each id."""
        return id


UNVERIFIED: Final = "loose"
MARKED: Final = "condemned"
HIDDEN: Final = "hidden"
HIDDEN_UNVERIFIED: Final = "forgotten"

OPEN: Final = "open"
ENDED: Final = "ended"
DELETED: Final = "deleted"
REVIEW: Final = "review"
"""Queues whose names are not states of their records: of upload sessions, tombstones and clean-up policy reviews."""


def due_entry(queue: str, since: datetime) -> str:
    """Return the entry of a record that has been in `queue` since a time. Entries of one queue sort by time."""
    return f"{queue} {since.astimezone(UTC).isoformat(timespec='microseconds')}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Repository(Record):
    """Repository that has, or had, a manifest. The id is its name.

    Attributes:
        deleted: when it was deleted with all its content, or None. The next push makes it live again.
        review: when a decision of the clean-up policies can change next, or None: not before the next push.
        looked: whether clean-up has evaluated it since its last change; then the next change sets `review`, due or not.
        kept: when the retention period started, if some of its deleted content can still be restored, or None.
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
        """Queue entry, see Record.due."""
        if self.deleted:
            return due_entry(DELETED, self.kept or self.deleted)
        return due_entry(REVIEW, self.review) if self.review else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Blob(Record):
    """Blob, with the object that holds its bytes. The id is its digest, and all repositories share one record.

    Attributes:
        state: "", or UNVERIFIED after one of its links was removed, which may have been the last one.
        damaged: the damage to the object that scrub found, "missing" or "damaged"; "" if none. Only an upload of the
            right bytes resets it, neither garbage collection nor a push of a manifest that references the blob.
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
        """Queue entry, see Record.due."""
        return due_entry(self.state, self.created) if self.state else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Link(Record):
    """Link, which makes a blob visible in a repository and repeats what a pull needs of it. The id is the digest.

    Attributes:
        state: "" if a live manifest references the blob; UNVERIFIED if possibly none does; MARKED if garbage collection
            found none. A blob that only deleted manifests reference has a DeletedLink instead
            (lading_storage.records.deleted), which is HIDDEN or HIDDEN_UNVERIFIED.
        since: when the link entered this state.
        damaged: whether scrub marked the blob as damaged. A hint to read the blob's record, which is authoritative.
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
        """Queue entry, see Record.due."""
        return due_entry(self.state, self.since or self.created) if self.state else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest(Record):
    """Manifest. The id is its digest.

    Attributes:
        content: the bytes of the manifest, or None if they are in `object` (and in every listing).
        object: the object that holds a manifest too large for the metadata store, or "".
        artifact_type: the type by which the referrers API filters, in lower case: the manifest's own, else the media
            type of an image's config.
        subject: the digest of the manifest that this one refers to, or "".
        attachment: how a tag can attach the manifest to another one (registry.content.referrer_tags). If the push that
            created it named a tag `sha256-…`, that tag. Else, if its layers match the suffix of such tags (".sig"),
            that suffix. Else "tag" if that push named another tag, "tag-and-digest" if a later push named none, and
            "none" if that push named none. "" if an earlier release wrote the record: then only the content tells.
        blobs: the digests of all blobs that must be linked in the repository.
        children: the digests of all manifests that must be in the repository.
        may_lack: the items of `blobs` and `children` that may be missing, because a rule allowed it at the push.
        restored: when it was last restored, or pushed again after its deletion, or None.
        damaged: whether scrub marked a blob that this manifest, or one below it, needs. A hint, see Link.damaged.
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
        """Digest of the manifest's bytes."""
        return self.id


@dataclass(frozen=True, slots=True, kw_only=True)
class Tag(Record):
    """Tag. It duplicates the fields of its manifest that a pull needs, so that a pull by tag is one read.

    Attributes:
        content: the manifest's bytes if they are few, else None.
        damaged: whether the manifest is marked as damaged. A hint to read the manifest's record.
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
        """Return a case-insensitive sort key, as the distribution-spec requires; the tag itself breaks ties."""
        return f"{id.lower()} {id}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload(Record):
    """Upload session.

    Attributes:
        target: the repository to upload into.
        principal: the authenticated caller that started the session, or "".
        offset: bytes received.
        parts: the objects that hold these bytes, in order: `<id>/<part>`.
        sizes: the bytes of each part.
        algorithm: the algorithm of the running hash.
        digest: the digest of the bytes received so far.
        resume: the state from which the hash is resumed (lading_storage.digests), or "".
        crc32c: the checksum of the bytes received so far.
        published: the digest of the blob that the session ended with, or "".
    """

    KIND: ClassVar[str] = "uploads"
    QUEUES: ClassVar[tuple[str, ...]] = (OPEN, ENDED)
    NOT_IN_BACKUP: ClassVar[str] = "an upload session can only continue where its bytes are stored"

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
        """Queue entry, see Record.due."""
        return due_entry(ENDED if self.published or self.cancelled else OPEN, self.touched)


@dataclass(frozen=True, slots=True, kw_only=True)
class Robot(Record):
    """Robot account: a credential of the registry for a program. The id is its name.

    Attributes:
        mac: the HMAC of its secret, in hex.
        former_mac: the HMAC of the secret before the last rotation, valid until `former_until`, or "".
        repositories: patterns of the repositories that it may access.
        actions: the actions that it may perform there: pull, push.
        owner: the person or team responsible for it.
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
    """Return the record's values by each name, without its key and version. Tuples become lists."""
    values = {}
    for each in dataclasses.fields(record):
        if each.name not in ("id", "repository", "version"):
            value = getattr(record, each.name)
            values[each.name] = list(value) if isinstance(value, tuple) else value
    return values


def record_of(key: Key[R], values: Mapping[str, Any], version: str) -> R:
    """Return the record with `values`, as `values_of` returned them. Fields of a newer release are ignored."""
    known = _field_names(key.kind)  # type: ignore[arg-type]  # a class can be hashed
    own = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items() if name in known}
    return key.kind(id=key.id, repository=key.repository, version=version, **own)


@cache
def _field_names(kind: type[Record]) -> frozenset[str]:
    """Return the names of a kind's fields. Cached: dataclasses.fields costs as much as the rest of a small read."""
    return frozenset(each.name for each in dataclasses.fields(kind))


def converted(record: Record, kind: type[R], **others: Any) -> R:
    """Return a record of another kind with the same key, the fields that both kinds have, and `others`."""
    own = {each.name for each in dataclasses.fields(record)} - {"version", *others}
    shared = {each.name: getattr(record, each.name) for each in dataclasses.fields(kind) if each.name in own}
    return kind(**shared, **others)

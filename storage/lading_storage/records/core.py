"""Record types of the metadata store. Each class declares its kind, its location and the fields it is found by.

    repositories/{name}
        manifests/{digest}          the bytes of a manifest, and what it references
        tags/{tag}                  which manifest a tag names, with what a pull needs of it
        links/{digest}              a blob is visible in this repository
        deleted_manifests/{digest}, deleted_tags/{tag}, deleted_links/{digest}
                                    tombstones, which can be restored            (lading_storage.records.deleted)
        histories/{tag}, moves/{…}  number of changes of a tag, and each change  (lading_storage.records.deleted)
        pulls/{digest}              when a manifest was last pulled              (lading_storage.records.jobs)
        facts/{digest}              what a scan found in an image                (lading_storage.records.scans)
        trust/{digest}              which signatures of a manifest are valid     (lading_storage.records.trust)
    blobs/{digest}                  which object of the blob store holds a blob
    uploads/{id}                    an upload session
    robots/{name}                   a robot account of the registry              (lading_storage.records.robots)
    running/{name}, jobs/{name}     in-use reports; jobs and their leases        (lading_storage.records.jobs)
    identities/registry             the identity of this registry                (lading_storage.records.jobs)
    rules/registry, namespaces/{…}  rules of the registry and of namespaces      (lading_storage.records.rules)
    events/{…}, webhooks/{id}, …    the outbox of events, and webhooks           (lading_storage.records.events)
    layer_scans/{digest}, …         packages and vulnerabilities of images       (lading_storage.records.scans)

A record is immutable: a changed copy (`dataclasses.replace`) overwrites it. Only the store sets `version`, which
identifies the state of the record that the copy was made from.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime
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

    A kind is a subclass in one of the modules of `records.kinds`. Its class declares all that the stores need of it:
    the fields, by annotations of str, int, bool, datetime, tuples of str or int, and, as `content`, bytes; the rest by
    the class variables below.

    Attributes:
        id: unique within its kind and repository.
        repository: the repository that contains the record, or "".
        version: identifies the state of the record. Opaque, set by the store, and ignored by comparisons.
    """

    KIND: ClassVar[str]
    """Name of the kind."""
    NUMBER: ClassVar[int]
    """Number of the kind in a store that abbreviates its name. Unique; a number that was used never changes."""
    IN_REPOSITORY: ClassVar[bool] = False
    """Whether records of this kind belong to a repository."""
    INDEXED_FIELDS: ClassVar[tuple[str, ...]] = ()
    """The fields that a Query can search. A tuple field matches by any of its items. A change needs a migration."""
    CROSS_REPOSITORY_FIELDS: ClassVar[tuple[str, ...]] = ()
    """Those of INDEXED_FIELDS that are searched across all repositories, instead of within one."""
    FILTER_FIELDS: ClassVar[tuple[str, ...]] = ()
    """Those of INDEXED_FIELDS that only filter what a search by another one selects."""
    FIXED_FIELDS: ClassVar[tuple[str, ...]] = ()
    """Those of INDEXED_FIELDS that never change, so that a Replace leaves their index entries as they are."""
    QUEUES: ClassVar[tuple[str, ...]] = ()
    """The queues that can contain records of this kind: the first words of `due`."""
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

    @property
    def omitted_content_size(self) -> int:
        """Bytes of the stored `content` that this copy of the record lacks, because a listing returned it; else 0."""
        return 0

    @classmethod
    def order(cls, id: str) -> str:
        """Return the sort key of listings of this kind, unique for each id."""
        return id


MAX_TAG_CONTENT: Final = 64 * 1024
"""Bytes of a manifest up to which its tags copy it, so that a pull by tag is one read; nearly all are smaller."""

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
    NUMBER: ClassVar[int] = 1
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
    NUMBER: ClassVar[int] = 2
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
    NUMBER: ClassVar[int] = 3
    IN_REPOSITORY: ClassVar[bool] = True
    INDEXED_FIELDS: ClassVar[tuple[str, ...]] = ("id",)
    CROSS_REPOSITORY_FIELDS: ClassVar[tuple[str, ...]] = ("id",)
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
        stamp: the timestamp by which its last event is ordered (registry.events.outbox), or None: `created`. They
            differ if the last event is a restore, or if the manifest was deleted before by a clock that was ahead.
    """

    KIND: ClassVar[str] = "manifests"
    NUMBER: ClassVar[int] = 4
    IN_REPOSITORY: ClassVar[bool] = True
    INDEXED_FIELDS: ClassVar[tuple[str, ...]] = ("subject", "artifact_type", "blobs", "children")
    FILTER_FIELDS: ClassVar[tuple[str, ...]] = ("artifact_type",)
    FIXED_FIELDS: ClassVar[tuple[str, ...]] = ("blobs", "children")

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
    stamp: datetime | None = None

    @property
    def digest(self) -> str:
        """Digest of the manifest's bytes."""
        return self.id

    @property
    def omitted_content_size(self) -> int:
        """See Record.omitted_content_size."""
        return self.size if self.content is None and not self.object else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Tag(Record):
    """Tag. It duplicates the fields of its manifest that a pull needs, so that a pull by tag is one read.

    Attributes:
        content: the manifest's bytes if they are few, else None.
        damaged: whether the manifest is marked as damaged. A hint to read the manifest's record.
    """

    KIND: ClassVar[str] = "tags"
    NUMBER: ClassVar[int] = 5
    IN_REPOSITORY: ClassVar[bool] = True
    INDEXED_FIELDS: ClassVar[tuple[str, ...]] = ("digest",)

    digest: str
    media_type: str
    size: int
    content: bytes | None = None
    moved: datetime
    damaged: bool = False

    @property
    def omitted_content_size(self) -> int:
        """See Record.omitted_content_size."""
        return self.size if self.content is None and self.size <= MAX_TAG_CONTENT else 0

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
    NUMBER: ClassVar[int] = 6
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

"""Putting and getting manifests, by tag or digest, and the referrers that refer to them.

The rule that keeps every manifest whole: whatever a commit relies on, it touches in the same commit, and whatever a
commit removes, it first reads, then looks for what names it, then removes at the version read. So of any two that
collide the second fails, and looks again.
"""

import contextlib
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import accumulate
from typing import Any, Final, TypeVar

from lading.registry.change_context import PUSH, ChangeContext
from lading.registry.content.damage import damaged_among, is_damaged, is_intact
from lading.registry.content.dependencies import dependencies_of, hidden_dependencies_of, object_of, reference_writes
from lading.registry.content.large_manifests import (
    drop_tombstone_writes,
    touch_unverified,
    unhide_links,
    unverify_links_for_purge,
    without_blobs_of,
)
from lading.registry.content.manifest_format import MAX_MEDIA_TYPE_LENGTH, normalize_media_type, parse_manifest
from lading.registry.content.missing_content import MissingContent
from lading.registry.content.preconditions import UNCONDITIONAL, Precondition
from lading.registry.content.referrer_tags import attachment_after, attachment_of
from lading.registry.content.uploads import Body, Uploads
from lading.registry.errors import DIGEST_INVALID, MANIFEST_INVALID, MANIFEST_TOO_LARGE, MANIFEST_UNKNOWN, RegistryError
from lading.registry.names import check_not_reserved, is_digest_reference, parse_as_of
from lading.registry.pagination import Page
from lading.registry.repositories import revive_writes
from lading.registry.retry import retry_on_conflict
from lading.registry.tags.tags import Tags
from lading_storage.digests import algorithm_of, digest_of
from lading_storage.errors import Corrupt, ObjectNotFound, TooLarge
from lading_storage.protocols import MAX_CONTENT_SIZE, BlobStore, Create, Found, MetadataStore, Replace, Touch, Write
from lading_storage.records.core import Key, Manifest, Repository, Tag
from lading_storage.records.deleted import DeletedManifest

M = TypeVar("M", bound=Manifest | Tag)

MAX_MANIFEST: Final = 4 * 1024 * 1024
"""Bytes; the distribution-spec asks for at least as many."""

HIDDEN_BLOB_TTL: Final = timedelta(hours=1)
"""How long a put may name a blob that was deleted with its manifests: the client had seen it before."""

MIN_REWRITE_INTERVAL: Final = timedelta(minutes=1)
"""Within this time of a put, another one of the same manifest is not written down."""

MAX_REFERRERS: Final = 1_000
MAX_REFERRERS_SIZE: Final = 4 * 1024 * 1024
"""A page of referrers is made of at most so many manifests, with at most so many bytes unless it is one alone."""


@dataclass(frozen=True, slots=True)
class Put:
    """A manifest that a client puts.

    content       its bytes
    content_type  as the client sent it, or ""
    digest        by which the client puts it, or "" where it is put by tag
    tags          that are to name it, first of all the one by which the client puts it
    condition     on what the digest or tag by which the client puts it names before
    """

    content: bytes
    content_type: str
    digest: str = ""
    tags: Sequence[str] = ()
    condition: Precondition = UNCONDITIONAL


@dataclass(frozen=True, slots=True)
class Referrer:
    """A manifest that refers to another one, as the referrers API describes it (end-12)."""

    manifest: Manifest
    artifact_type: str
    annotations: Mapping[str, str]


class Manifests:
    """The manifests of all repositories."""

    def __init__(
        self,
        blobs: BlobStore,
        metadata: MetadataStore,
        uploads: Uploads,
        tags: Tags,
        missing: MissingContent,
    ) -> None:
        """Keep manifests in `metadata`, and in `blobs`, through `uploads`, what is too large for it.

        The clock is that of `tags`; `missing` says which manifests may lack what.
        """
        self._blobs = blobs
        self._metadata = metadata
        self._uploads = uploads
        self._tags = tags
        self._clock = tags.clock
        self._missing = missing

    def find(
        self, repository: str, reference: str, *, intact: bool = False, only_present: bool = False
    ) -> Manifest | Tag:
        """What a tag or digest names: digest, media type and size, in one read; two for a tag as of a time.

        One more where the manifest is kept as an object: a client that finds one whose bytes are lost would not push
        it again. With `intact` it is not found either while a blob is marked that it, or a manifest below it, needs,
        which takes some more reads where a scrub has left a hint of that. With `only_present`, a tag that is not there
        now is not found as of a time either, which takes one more read. Raises MANIFEST_UNKNOWN.
        """
        kind: type[Manifest | Tag] = Manifest if is_digest_reference(reference, MANIFEST_UNKNOWN) else Tag
        key = Key(kind, reference, repository)
        found = self._metadata.read([key])[key]
        if found is not None:
            return self._require_intact(found, intact)
        if (past := parse_as_of(reference)) and (not only_present or self._tags.is_present(repository, past[0])):
            return self._find_as_of(repository, *past, intact=intact)
        raise RegistryError(MANIFEST_UNKNOWN, {"reference": reference})

    def content(self, found: Manifest | Tag) -> bytes:
        """The bytes of what `find` found, at once. Raises MANIFEST_UNKNOWN where it has gone since."""
        content = self.stream(found)
        return content if isinstance(content, bytes) else b"".join(content)

    def stream(self, found: Manifest | Tag) -> bytes | Iterator[bytes]:
        """The bytes of what `find` found; where they are large, in pieces.

        Raises MANIFEST_UNKNOWN where it has gone since.
        """
        if found.content is not None:
            return found.content
        if isinstance(found, Tag):
            return self.stream(self.find(found.repository, found.digest))
        return self._blobs.open(found.object, 0, found.size)

    def put(self, repository: str, put: Put, context: ChangeContext = PUSH) -> Manifest:
        """Keep a manifest, and let tags name it (end-7); all or nothing.

        Raises PRECONDITION_FAILED, MANIFEST_TOO_LARGE, DIGEST_INVALID, MANIFEST_INVALID, TAG_RESERVED, TAG_IMMUTABLE,
        and MANIFEST_BLOB_UNKNOWN with each digest that is not there, and the rule by which it need not be.
        """
        for tag in put.tags:
            check_not_reserved(tag)
        if len(put.content) > MAX_MANIFEST:
            raise RegistryError(MANIFEST_TOO_LARGE, {"limit": MAX_MANIFEST})
        digest = digest_of(put.content, algorithm_of(put.digest) if put.digest else "sha256")
        if put.digest and digest != put.digest:
            raise RegistryError(DIGEST_INVALID, {"digest": put.digest, "content": digest})
        document = parse_manifest(put.content, put.content_type)
        manifest = Manifest(
            id=digest,
            repository=repository,
            media_type=document.media_type,
            size=len(put.content),
            content=put.content,
            artifact_type=normalize_media_type(document.artifact_type),
            subject=document.subject,
            attachment=attachment_of(document.cosign_suffix, put.tags),
            blobs=document.blobs,
            children=document.children,
            may_lack=self._missing.may_lack(repository, document),
            created=self._clock(),
        )
        with self._missing.name_missing_rule(repository, document):
            return self._put(manifest, put, context)

    def referrers(self, repository: str, subject: str, artifact_type: str, after: str) -> Page[Referrer]:
        """Some manifests behind the digest `after` that refer to `subject` (end-12): as many as a page should hold.

        `artifact_type` leaves out all others, unless it is "". A subject that is not there has none.
        """
        if len(artifact_type) > MAX_MEDIA_TYPE_LENGTH:
            return Page([])
        behind = Key(Manifest, after, repository) if after else None
        listed = self._list_referrers(repository, subject, artifact_type, behind)
        sizes = accumulate(manifest.size for manifest in listed[:MAX_REFERRERS])
        count = max(1, sum(size <= MAX_REFERRERS_SIZE for size in sizes))
        found = self._metadata.read([manifest.key for manifest in listed[:count]])
        whole = [manifest for each in listed[:count] if (manifest := found[each.key]) is not None]
        return Page(
            [self._describe(manifest) for manifest in whole],
            listed[count - 1].id if len(listed) > count else "",
        )

    def _find_as_of(self, repository: str, tag: str, moment: datetime, *, intact: bool) -> Manifest:
        """What a tag named at a moment. Raises MANIFEST_UNKNOWN, saying where it is gone."""
        key = Key(Manifest, self._tags.digest_at(repository, tag, moment), repository)
        manifest = self._metadata.read([key])[key]
        if manifest is None:
            # Its digest is for the history, which asks for the right to push where the tag is gone.
            reason = "the manifest of that time has been deleted"
            raise RegistryError(MANIFEST_UNKNOWN, {"tag": tag, "reason": reason})
        return self._require_intact(manifest, intact)

    def _require_intact(self, found: M, intact: bool) -> M:
        """`found`. Raises MANIFEST_UNKNOWN where its bytes are damaged, or, with `intact`, those of what it needs."""
        if intact and not is_intact(self._metadata, found):
            reason = "the bytes of a blob that it needs are missing or damaged; push it again"
            raise RegistryError(MANIFEST_UNKNOWN, {"digest": found.digest, "reason": reason})
        if is_damaged(self._metadata, found):
            reason = "its bytes are missing or damaged; push it again"
            raise RegistryError(MANIFEST_UNKNOWN, {"digest": found.digest, "reason": reason})
        return found

    def _list_referrers(
        self, repository: str, subject: str, artifact_type: str, after: Key[Manifest] | None
    ) -> list[Manifest]:
        """List what refers to `subject`: one more than a page holds.

        Types are on record in lower case. An earlier release kept them as they were pushed, so one that is asked for in
        other letters is looked for as well.
        """
        found: list[Manifest] = []
        for kind in dict.fromkeys((normalize_media_type(artifact_type), artifact_type)):
            where = {"subject": subject} | ({"artifact_type": kind} if kind else {})
            found += self._metadata.find(Manifest, where, repository=repository, after=after, limit=MAX_REFERRERS + 1)
        return sorted(found, key=lambda manifest: manifest.id)[: MAX_REFERRERS + 1]

    def _describe(self, manifest: Manifest) -> Referrer:
        """Describe a referrer by its content, or, where that cannot be read, by its record."""
        content = manifest.content
        # One that is lost, or that an earlier release took, must not hide the others.
        with contextlib.suppress(ObjectNotFound, Corrupt, RegistryError):
            content = self.content(manifest) if content is None else content
            if digest_of(content, algorithm_of(manifest.id)) == manifest.id:
                document = parse_manifest(content, manifest.media_type)
                return Referrer(manifest, document.artifact_type, document.annotations)
        return Referrer(manifest, manifest.artifact_type, {})

    def _put(self, manifest: Manifest, put: Put, context: ChangeContext) -> Manifest:
        if manifest.size > MAX_CONTENT_SIZE:
            manifest = self._store_as_blob(manifest, put, context)
        try:
            return retry_on_conflict(lambda: self._try_to_put(manifest, put, context))
        except TooLarge:
            return self._put_large(manifest, put, context)

    def _store_as_blob(self, manifest: Manifest, put: Put, act: ChangeContext) -> Manifest:
        """Keep the bytes as a blob of the repository that the manifest itself names, like any other that it needs.

        Raises as `put` where the manifest would be refused, before any of it is kept.
        """
        self._decide(manifest, put, act)
        upload = self._uploads.start(manifest.repository, act.actor, algorithm_of(manifest.digest))
        body = Body([manifest.content or b""], manifest.size)
        link = self._uploads.finish(manifest.repository, upload.id, manifest.digest, body, act.actor)
        return replace(manifest, content=None, object=link.object, blobs=(*manifest.blobs, manifest.digest))

    def _put_large(self, manifest: Manifest, put: Put, context: ChangeContext) -> Manifest:
        """Put a manifest that needs more than fits into one commit. Raises as `put`."""
        unhide_links(self._metadata, manifest, self._clock, HIDDEN_BLOB_TTL)
        try:
            done = retry_on_conflict(lambda: self._try_to_put(manifest, put, context, touched=True))
            retry_on_conflict(lambda: self._drop_tombstone(manifest))
            return done
        except TooLarge as error:
            reason = "with all that it names it does not fit into one commit of the metadata store"
            raise RegistryError(MANIFEST_TOO_LARGE, {"digest": manifest.digest, "reason": reason}) from error

    def _drop_tombstone(self, manifest: Manifest) -> None:
        """Forget that a live manifest was deleted; until then it is as where an undelete was interrupted."""
        dead = Key(DeletedManifest, manifest.digest, manifest.repository)
        found = self._metadata.read([manifest.key, dead], content=False)
        if (tombstone := found[dead]) is not None and found[manifest.key] is not None:
            unverify_links_for_purge(self._metadata, without_blobs_of(tombstone, manifest), self._clock)
            dropped = drop_tombstone_writes(self._metadata, tombstone, manifest, self._clock, rewrite=False)
            self._metadata.commit([Touch(manifest.key), *dropped])

    def _try_to_put(self, manifest: Manifest, put: Put, context: ChangeContext, *, touched: bool = False) -> Manifest:
        manifest, writes = self._decide(manifest, put, context, touched)
        self._metadata.commit(writes)
        return manifest

    def _decide(
        self, manifest: Manifest, put: Put, act: ChangeContext, touched: bool = False
    ) -> tuple[Manifest, list[Write]]:
        """Return the manifest as it is kept, and the writes of a put by what is there now. Raises as `put`."""
        repository = manifest.repository
        tags = list(dict.fromkeys(put.tags))
        found = self._read_dependencies(manifest, [key for tag in tags for key in self._tags.keys(repository, tag)])
        named_before = found[manifest.key if put.digest or not tags else Key(Tag, tags[0], repository)]
        put.condition.check(named_before.digest if named_before else "")
        tombstone = found[Key(DeletedManifest, manifest.digest, repository)]
        _refuse_another_type(manifest, found[manifest.key], tombstone)
        time, damaged = self._clock(found.read_at), self._damaged(found, manifest)
        manifest = replace(manifest, object=object_of(found, manifest), created=min(manifest.created, time))
        needed = reference_writes(found, manifest, time, HIDDEN_BLOB_TTL, damaged)
        writes = [*(touch_unverified(found, needed) if touched else needed), *revive_writes(found, repository, time)]
        writes.append(_write_of(manifest, found[manifest.key], time))
        if tombstone is not None and not touched:
            writes += drop_tombstone_writes(self._metadata, tombstone, manifest, self._clock)
        tagged = replace(manifest, content=put.content)
        for tag in tags:
            writes += self._tags.move(found, tag, tagged, act)
        return manifest, writes

    def _damaged(self, found: Found, manifest: Manifest) -> Set[str]:
        return damaged_among(self._metadata, found, dependencies_of(manifest))

    def _read_dependencies(self, manifest: Manifest, others: Sequence[Key[Any]] = ()) -> Found:
        """Read what a put of a manifest looks at: in one more read where something may be hidden."""
        tombstone = Key(DeletedManifest, manifest.digest, manifest.repository)
        needed = dependencies_of(manifest)
        keys = [Key(Repository, manifest.repository), manifest.key, tombstone, *needed, *others]
        found = self._metadata.read(keys, content=False)
        if found[tombstone] is None and all(found[key] is not None for key in needed):
            return found
        # All of it again, so that it is of one moment: a link is moved when it is hidden or shown.
        return self._metadata.read([*keys, *hidden_dependencies_of(manifest)], content=False)


def _refuse_another_type(manifest: Manifest, there: Manifest | None, tombstone: DeletedManifest | None) -> None:
    """Raises MANIFEST_INVALID where the same bytes are there, or can be restored, as another media type.

    Bytes without a `mediaType` are what the client says that they are, and one record cannot need what both need: a
    layer of the one would be collected while a tag names the other, or while what was deleted can be restored.
    """
    if there is not None and there.media_type != manifest.media_type:
        reason = (
            f"these bytes are there as {there.media_type};"
            f" delete {manifest.digest} with `lading delete --for-good` first to push them as another"
        )
        raise RegistryError(MANIFEST_INVALID, {"mediaType": manifest.media_type, "reason": reason})
    if there is None and tombstone is not None and tombstone.media_type != manifest.media_type:
        reason = (
            f"these bytes were deleted as {tombstone.media_type} and can be restored as that;"
            f" restore {manifest.digest} and delete it with `lading delete --for-good` to push them as another"
        )
        raise RegistryError(MANIFEST_INVALID, {"mediaType": manifest.media_type, "reason": reason})


def _write_of(manifest: Manifest, there: Manifest | None, now: datetime) -> Write:
    """Return the write of a manifest that is put, all of whose needs are good.

    One that is there is only touched where it was put within the minute, since writing it at its version makes those
    who put it at once lose races. Else it is put on record that it was pushed again, so that it is no orphan of what
    was deleted before; a hint that a need is damaged goes.
    """
    if there is None:
        return Create(manifest)
    is_recent = now - (there.restored or there.created) < MIN_REWRITE_INTERVAL
    attachment = attachment_after(there.attachment, manifest.attachment)
    if is_recent and not there.damaged and attachment == there.attachment:
        return Touch(manifest.key)
    restored = there.restored if is_recent else now
    kept = replace(manifest, created=there.created, restored=restored, attachment=attachment)
    return Replace(replace(kept, version=there.version))

"""Put and get manifests, by tag or digest.

The rule that keeps every manifest complete: a commit touches every record that it relies on. A commit that removes a
record reads it first, then queries for references to it, then removes it at the version that it read. So of any two
commits that collide, the second conflicts and is decided again.
"""

from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

from lading.leader import step_down
from lading.registry.change_context import PUSH, ChangeContext
from lading.registry.content.damage import damaged_among
from lading.registry.content.dependencies import dependencies_of, hidden_dependencies_of, object_of, reference_writes
from lading.registry.content.image_facts import facts_key, new_facts_writes
from lading.registry.content.large_manifests import (
    drop_tombstone_writes,
    touch_unverified,
    unhide_links,
    unverify_links_for_purge,
    without_blobs_of,
)
from lading.registry.content.manifest_format import ParsedManifest, normalize_media_type, parse_manifest
from lading.registry.content.manifest_lookup import ManifestLookup
from lading.registry.content.referrer_tags import attachment_after, attachment_of
from lading.registry.content.referrers import Referrer, Referrers
from lading.registry.content.uploads import Body, Uploads
from lading.registry.errors import DIGEST_INVALID, MANIFEST_INVALID, MANIFEST_TOO_LARGE, RegistryError
from lading.registry.events.event_types import IMAGE_PUSHED
from lading.registry.events.outbox import image_event, next_image_time
from lading.registry.names import check_not_reserved
from lading.registry.pagination import Page
from lading.registry.preconditions import UNCONDITIONAL, Precondition
from lading.registry.repositories import revive_writes
from lading.registry.retry import retry_on_conflict
from lading.registry.rules.effective import guarded_once
from lading.registry.tags.tags import Tags
from lading.registry.trust_records import stale_writes, trust_keys
from lading_storage.digests import algorithm_of, digest_of
from lading_storage.errors import TooLarge
from lading_storage.protocols import MAX_CONTENT_SIZE, BlobStore, Create, Found, MetadataStore, Replace, Touch, Write
from lading_storage.records.core import Key, Manifest, Repository, Tag
from lading_storage.records.deleted import DeletedManifest

MAX_MANIFEST: Final = 4 * 1024 * 1024
"""Bytes; the minimum that the distribution-spec recommends."""

HIDDEN_BLOB_TTL: Final = timedelta(hours=1)
"""How long a put may reference a blob that was deleted with its manifests: the client may have checked it before."""

MIN_REWRITE_INTERVAL: Final = timedelta(minutes=1)
"""Within this time of a put, another put of the same manifest does not rewrite its record."""


@dataclass(frozen=True, slots=True)
class Put:
    """Request to put a manifest.

    content       its bytes
    content_type  as the client sent it, or ""
    digest        the digest in the request, or "" if it is put by tag
    tags          the tags that are to point to it, beginning with the tag in the request
    condition     precondition on what the digest or tag in the request points to before
    """

    content: bytes
    content_type: str
    digest: str = ""
    tags: Sequence[str] = ()
    condition: Precondition = UNCONDITIONAL


@dataclass(frozen=True, slots=True)
class _Push:
    """A put whose content was parsed."""

    request: Put
    document: ParsedManifest
    context: ChangeContext


class Manifests:
    """Manifests of all repositories."""

    def __init__(
        self,
        blobs: BlobStore,
        metadata: MetadataStore,
        uploads: Uploads,
        tags: Tags,
        scans_images: bool = False,
    ) -> None:
        """Store manifests in `metadata`, and those too large for it in `blobs`, by way of `uploads`.

        The clock and the rules are those of `tags`. With `scans_images`, a put of an image creates its facts.
        """
        self._scans_images = scans_images
        self._blobs = blobs
        self._metadata = metadata
        self._uploads = uploads
        self._tags = tags
        self._clock = tags.clock
        self._referrers = Referrers(blobs, metadata)
        self.lookup = ManifestLookup(metadata, tags)

    def find(
        self, repository: str, reference: str, *, intact: bool = False, only_present: bool = False
    ) -> Manifest | Tag:
        """Return what a tag or digest points to. See ManifestLookup.find, without companions."""
        return self.lookup.find(repository, reference, intact=intact, only_present=only_present).manifest

    def content(self, found: Manifest | Tag) -> bytes:
        """Return the bytes of a result of `find`, at once. Raises MANIFEST_UNKNOWN if it has been deleted since."""
        content = self.stream(found)
        return content if isinstance(content, bytes) else b"".join(content)

    def stream(self, found: Manifest | Tag) -> bytes | Iterator[bytes]:
        """Return the bytes of a result of `find`, in chunks if they are stored as an object.

        Raises MANIFEST_UNKNOWN if it has been deleted since.
        """
        if found.content is not None:
            return found.content
        # The content is in another record, or in an object of the blob store, so it must not delay other requests.
        step_down()
        if isinstance(found, Tag):
            return self.stream(self.find(found.repository, found.digest))
        return self._blobs.open(found.object, 0, found.size)

    def put(self, repository: str, put: Put, context: ChangeContext = PUSH) -> Manifest:
        """Store a manifest, and point tags to it, atomically (end-7).

        Raises:
            RegistryError: PRECONDITION_FAILED, MANIFEST_TOO_LARGE, DIGEST_INVALID, MANIFEST_INVALID, TAG_RESERVED,
                TAG_IMMUTABLE; MANIFEST_BLOB_UNKNOWN with each missing digest, and the rule that would allow it.
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
            created=self._clock(),
        )
        return self._put(manifest, _Push(put, document, context))

    def referrers(self, repository: str, subject: str, artifact_type: str, after: str) -> Page[Referrer]:
        """Return a page of the manifests that refer to `subject` (end-12). See Referrers.list_page."""
        return self._referrers.list_page(repository, subject, artifact_type, after)

    def _put(self, manifest: Manifest, push: _Push) -> Manifest:
        if manifest.size > MAX_CONTENT_SIZE:
            manifest = self._store_as_blob(manifest, push)
        try:
            return retry_on_conflict(lambda: self._try_to_put(manifest, push))
        except TooLarge:
            return self._put_large(manifest, push)

    def _store_as_blob(self, manifest: Manifest, push: _Push) -> Manifest:
        """Store the bytes as a blob of the repository, which the manifest references like any other that it needs.

        Raises as `put`, before anything is stored.
        """
        self._decide(manifest, push)
        context = push.context
        upload = self._uploads.start(manifest.repository, context.actor, algorithm_of(manifest.digest))
        body = Body([manifest.content or b""], manifest.size)
        link = self._uploads.finish(manifest.repository, upload.id, manifest.digest, body, context.actor)
        return replace(manifest, content=None, object=link.object, blobs=(*manifest.blobs, manifest.digest))

    def _put_large(self, manifest: Manifest, push: _Push) -> Manifest:
        """Put a manifest whose references do not fit into one commit. Raises as `put`."""
        unhide_links(self._metadata, manifest, self._clock, HIDDEN_BLOB_TTL)
        try:
            stored = retry_on_conflict(lambda: self._try_to_put(manifest, push, touched=True))
            retry_on_conflict(lambda: self._drop_tombstone(manifest))
            return stored
        except TooLarge as error:
            reason = "its references do not fit into one commit of the metadata store"
            raise RegistryError(MANIFEST_TOO_LARGE, {"digest": manifest.digest, "reason": reason}) from error

    def _drop_tombstone(self, manifest: Manifest) -> None:
        """Drop the tombstone of a live manifest; until then the state is that of an interrupted restore."""
        key = Key(DeletedManifest, manifest.digest, manifest.repository)
        found = self._metadata.read([manifest.key, key], content=False)
        if (tombstone := found[key]) is not None and found[manifest.key] is not None:
            unverify_links_for_purge(self._metadata, without_blobs_of(tombstone, manifest), self._clock)
            writes = drop_tombstone_writes(self._metadata, tombstone, manifest, self._clock, rewrite=False)
            self._metadata.commit([Touch(manifest.key), *writes])

    def _try_to_put(self, manifest: Manifest, push: _Push, *, touched: bool = False) -> Manifest:
        manifest, writes = self._decide(manifest, push, touched)
        self._metadata.commit(writes)
        return manifest

    def _decide(self, manifest: Manifest, push: _Push, touched: bool = False) -> tuple[Manifest, list[Write]]:
        """Return the manifest as it is stored, and the writes of a put, given the current records.

        With `touched`, unverified links are only touched (large_manifests). Raises as `put`.
        """
        repository, put = manifest.repository, push.request
        tags = list(dict.fromkeys(put.tags))
        facts = [facts_key(manifest)] if self._scans_images and push.document.is_runnable else []
        tag_keys = [key for tag in tags for key in self._tags.keys(repository, tag)]
        trust = trust_keys(repository, [manifest])
        found = self._read_dependencies(manifest, dict.fromkeys([*facts, *tag_keys, *trust]))
        current = found[manifest.key if put.digest or not tags else Key(Tag, tags[0], repository)]
        put.condition.check(current.digest if current else "")
        tombstone = found[Key(DeletedManifest, manifest.digest, repository)]
        _refuse_another_type(manifest, found[manifest.key], tombstone)
        time, damaged = self._clock(found.read_at), self._damaged(found, manifest)
        rules = self._tags.rules.of(found, repository)
        missing = rules.missing
        may_lack = missing.may_lack(repository, push.document)
        # Later than whatever the read found done, so that the events of this digest are in order.
        manifest = replace(manifest, object=object_of(found, manifest), created=time, may_lack=may_lack)
        if self._tags.gate is not None:
            self._tags.gate.check_put(rules, replace(manifest, content=put.content), found, push.context)
        with missing.name_missing_rule(repository, push.document):
            references = reference_writes(found, manifest, time, HIDDEN_BLOB_TTL, damaged)
        writes = touch_unverified(found, references) if touched else references
        writes += revive_writes(found, repository, time)
        writes += _writes_of(manifest, found[manifest.key], time, tombstone, push)
        writes += new_facts_writes(found, facts, time)
        if tombstone is not None and not touched:
            writes += drop_tombstone_writes(self._metadata, tombstone, manifest, self._clock)
        tagged = replace(manifest, content=put.content)
        for tag in tags:
            writes += self._tags.move(found, tag, tagged, push.context)
        # Also where it exists: its bytes may have been lost when its signatures were verified.
        writes += stale_writes(found, trust, time, writes)
        return manifest, guarded_once(writes)

    def _damaged(self, found: Found, manifest: Manifest) -> Set[str]:
        return damaged_among(self._metadata, found, dependencies_of(manifest))

    def _read_dependencies(self, manifest: Manifest, others: Iterable[Key[Any]] = ()) -> Found:
        """Read all records that decide a put of a manifest, with a second read if some may be hidden."""
        tombstone = Key(DeletedManifest, manifest.digest, manifest.repository)
        needed = dependencies_of(manifest)
        rules = self._tags.rules.keys(manifest.repository)
        keys = [Key(Repository, manifest.repository), *rules, manifest.key, tombstone, *needed, *others]
        found = self._metadata.read(keys, content=False)
        if found[tombstone] is None and all(found[key] is not None for key in needed):
            return found
        # All records again, as of one moment: a link becomes another record when it is hidden or unhidden.
        return self._metadata.read([*keys, *hidden_dependencies_of(manifest)], content=False)


def _refuse_another_type(manifest: Manifest, existing: Manifest | None, tombstone: DeletedManifest | None) -> None:
    """Raise MANIFEST_INVALID if the same bytes exist, or can be restored, as another media type.

    The client decides the type of bytes without a `mediaType`, and one record cannot have the dependencies of both
    types: a layer of the one would be collected while a tag points to the other, or while the other can be restored.
    """
    if existing is not None and existing.media_type != manifest.media_type:
        reason = (
            f"the same bytes exist as {existing.media_type}; to push them as another media type, first delete"
            f" {manifest.digest} with `lading delete --for-good`"
        )
        raise RegistryError(MANIFEST_INVALID, {"mediaType": manifest.media_type, "reason": reason})
    if existing is None and tombstone is not None and tombstone.media_type != manifest.media_type:
        reason = (
            f"the same bytes were deleted as {tombstone.media_type}, and can be restored; to push them as another media"
            f" type, first restore {manifest.digest}, and delete it with `lading delete --for-good`"
        )
        raise RegistryError(MANIFEST_INVALID, {"mediaType": manifest.media_type, "reason": reason})


def _writes_of(
    manifest: Manifest, existing: Manifest | None, now: datetime, tombstone: DeletedManifest | None, push: _Push
) -> list[Write]:
    """Return the writes of a manifest that is put, all of whose dependencies are intact, and of its event.

    An existing manifest that was put within the last minute is only touched: writing it at its version would make
    concurrent puts of it conflict. Otherwise the record says that it was pushed again, so that it is no orphan of what
    was deleted before, and a hint at damage is removed.
    """
    if existing is None:
        pushed, tagged = next_image_time(tombstone, manifest.created), bool(push.request.tags)
        event = image_event(IMAGE_PUSHED, manifest, pushed, push.context, tagged=tagged)
        return [Create(replace(manifest, stamp=pushed.stored_stamp)), event]
    is_recent = now - (existing.restored or existing.created) < MIN_REWRITE_INTERVAL
    attachment = attachment_after(existing.attachment, manifest.attachment)
    if is_recent and not existing.damaged and attachment == existing.attachment:
        return [Touch(manifest.key)]
    restored = existing.restored if is_recent else now
    kept = replace(manifest, created=existing.created, stamp=existing.stamp, version=existing.version)
    return [Replace(replace(kept, restored=restored, attachment=attachment))]

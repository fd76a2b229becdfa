"""Putting, getting and deleting manifests; the tags that name them, and the referrers that refer to them.

The rule that keeps every manifest whole: whatever a commit relies on, it touches in the same commit, and whatever a
commit removes, it first reads, then looks for what names it, then removes at the version read. So of any two that
collide the second fails, and looks again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import accumulate
from typing import Any, Final

from functions.registry.attempts import settle
from functions.registry.documents import MOST_MEDIA_TYPE, parse
from functions.registry.errors import (
    DIGEST_INVALID,
    MANIFEST_BLOB_UNKNOWN,
    MANIFEST_NAMED,
    MANIFEST_TOO_LARGE,
    MANIFEST_UNKNOWN,
    NAME_UNKNOWN,
    RegistryError,
)
from functions.registry.names import names_digest
from functions.registry.pages import Page
from functions.registry.uploads import Body, Uploads
from storage.digests import algorithm_of, digest_of
from storage.protocols import MOST_CONTENT, BlobStore, Create, Delete, Found, MetadataStore, Replace, Touch, Write
from storage.records import Key, Link, Manifest, Repository, Tag

MAX_MANIFEST: Final = 4 * 1024 * 1024
"""Bytes; the distribution-spec asks for at least as many."""

INLINE_IN_TAG: Final = 64 * 1024
"""Bytes of a manifest that its tags repeat, so that a pull by tag is one read; nearly all manifests are smaller."""

MOST_REFERRERS: Final = 1_000
REFERRERS_BYTES: Final = 4 * 1024 * 1024
"""A page of referrers is made of at most so many manifests, with at most so many bytes unless it is one alone."""

TAGS_AT_ONCE: Final = 400
"""Tags that one commit removes."""


@dataclass(frozen=True, slots=True)
class Put:
    """A manifest that a client puts.

    content       its bytes
    content_type  as the client sent it, or ""
    digest        by which the client puts it, or "" where it is put by tag
    tags          that are to name it
    """

    content: bytes
    content_type: str
    digest: str = ""
    tags: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Referrer:
    """A manifest that refers to another one, as the referrers API describes it (end-12)."""

    manifest: Manifest
    annotations: Mapping[str, str]


class Manifests:
    """The manifests and tags of all repositories."""

    def __init__(self, blobs: BlobStore, metadata: MetadataStore, uploads: Uploads) -> None:
        """Keep manifests in `metadata`, and in `blobs`, through `uploads`, what is too large for it."""
        self._blobs = blobs
        self._metadata = metadata
        self._uploads = uploads

    def find(self, repository: str, reference: str) -> Manifest | Tag:
        """What a tag or digest names: digest, media type and size, in one read. Raises MANIFEST_UNKNOWN."""
        kind: type[Manifest | Tag] = Manifest if names_digest(reference) else Tag
        key = Key(kind, reference, repository)
        found = self._metadata.read([key])[key]
        if found is None:
            raise RegistryError(MANIFEST_UNKNOWN, {"reference": reference})
        return found

    def content(self, found: Manifest | Tag) -> bytes:
        """The bytes of what `find` found. Raises MANIFEST_UNKNOWN where it has gone since."""
        if found.content is not None:
            return found.content
        if isinstance(found, Tag):
            manifest = self.find(found.repository, found.digest)
            return self.content(manifest)
        return b"".join(self._blobs.open(found.object, 0, found.size))

    def put(self, repository: str, put: Put, principal: str = "") -> Manifest:
        """Keep a manifest, and let tags name it (end-7); all or nothing.

        Raises MANIFEST_TOO_LARGE, DIGEST_INVALID, MANIFEST_INVALID, and MANIFEST_BLOB_UNKNOWN with each digest that is
        not in the repository.
        """
        if len(put.content) > MAX_MANIFEST:
            raise RegistryError(MANIFEST_TOO_LARGE, {"limit": MAX_MANIFEST})
        digest = digest_of(put.content, algorithm_of(put.digest) if put.digest else "sha256")
        if put.digest and digest != put.digest:
            raise RegistryError(DIGEST_INVALID, {"digest": put.digest, "content": digest})
        document = parse(put.content, put.content_type)
        manifest = Manifest(
            id=digest,
            repository=repository,
            media_type=document.media_type,
            size=len(put.content),
            content=put.content,
            artifact_type=document.artifact_type,
            subject=document.subject,
            blobs=document.blobs,
            children=document.children,
            created=datetime.now(UTC),
        )
        if manifest.size > MOST_CONTENT:
            manifest = self._spill(manifest, principal)
        settle(lambda: self._try_to_put(manifest, put))
        return manifest

    def delete(self, repository: str, digest: str) -> None:
        """Remove a manifest, and its tags with it (end-9). Raises MANIFEST_UNKNOWN, and MANIFEST_NAMED by an index."""
        settle(lambda: self._try_to_delete(repository, digest))

    def delete_tag(self, repository: str, tag: str) -> None:
        """Remove a tag; its manifest stays (end-9). Raises MANIFEST_UNKNOWN."""
        settle(lambda: self._try_to_delete_tag(repository, tag))

    def tags(self, repository: str, after: str, limit: int) -> Page[str]:
        """The first `limit` tags behind `after`, in lexical order (end-8). Raises NAME_UNKNOWN."""
        tags = [tag.id for tag in self._metadata.scan(Tag, repository, after=after, limit=limit + 1)]
        if not tags:
            self._require(repository)
        return Page(tags[:limit], tags[limit - 1] if 0 < limit < len(tags) else "")

    def referrers(self, repository: str, subject: str, artifact_type: str, after: str) -> Page[Referrer]:
        """Some manifests behind the digest `after` that refer to `subject` (end-12): as many as a page should hold.

        `artifact_type` leaves out all others, unless it is "". A subject that is not there has none.
        """
        if len(artifact_type) > MOST_MEDIA_TYPE:
            return Page([])
        where = {"subject": subject} | ({"artifact_type": artifact_type} if artifact_type else {})
        behind = Key(Manifest, after, repository) if after else None
        listed = self._metadata.find(Manifest, where, repository=repository, after=behind, limit=MOST_REFERRERS + 1)
        sizes = accumulate(manifest.size for manifest in listed[:MOST_REFERRERS])
        count = max(1, sum(size <= REFERRERS_BYTES for size in sizes))
        found = self._metadata.read([manifest.key for manifest in listed[:count]])
        whole = [manifest for each in listed[:count] if (manifest := found[each.key]) is not None]
        return Page(
            [Referrer(manifest, self._annotations(manifest)) for manifest in whole],
            listed[count - 1].id if len(listed) > count else "",
        )

    def _require(self, repository: str) -> None:
        key = Key(Repository, repository)
        if self._metadata.read([key])[key] is None:
            raise RegistryError(NAME_UNKNOWN, {"name": repository})

    def _annotations(self, manifest: Manifest) -> Mapping[str, str]:
        return parse(self.content(manifest), manifest.media_type).annotations

    def _spill(self, manifest: Manifest, principal: str) -> Manifest:
        """Keep the bytes as a blob of the repository that the manifest itself names, like any other that it needs."""
        _refuse_missing(needs_of(manifest), self._metadata.read(needs_of(manifest)))
        upload = self._uploads.start(manifest.repository, principal, algorithm_of(manifest.digest))
        body = Body([manifest.content or b""], manifest.size)
        link = self._uploads.finish(manifest.repository, upload.id, manifest.digest, body, principal)
        return replace(manifest, content=None, object=link.object, blobs=(*manifest.blobs, manifest.digest))

    def _try_to_put(self, manifest: Manifest, put: Put) -> None:
        repository = manifest.repository
        tag_keys = [Key(Tag, tag, repository) for tag in dict.fromkeys(put.tags)]
        needed = needs_of(manifest)
        repository_key = Key(Repository, repository)
        found = self._metadata.read([repository_key, manifest.key, *tag_keys, *needed])
        _refuse_missing(needed, found)
        writes: list[Write] = [Touch(key) for key in needed]
        if found[repository_key] is None:
            writes.append(Create(Repository(id=repository, created=manifest.created)))
        writes.append(Create(manifest) if found[manifest.key] is None else Touch(manifest.key))
        writes += [_move(found, key, manifest, put.content) for key in tag_keys]
        self._metadata.commit(writes)

    def _try_to_delete(self, repository: str, digest: str) -> None:
        while True:
            key = Key(Manifest, digest, repository)
            manifest = self._metadata.read([key])[key]
            if manifest is None:
                raise RegistryError(MANIFEST_UNKNOWN, {"reference": digest})
            indexes = self._metadata.find(Manifest, {"children": digest}, repository=repository, limit=10)
            if indexes:
                raise RegistryError(MANIFEST_NAMED, {"digest": digest, "indexes": [index.digest for index in indexes]})
            tags = self._metadata.find(Tag, {"digest": digest}, repository=repository, limit=TAGS_AT_ONCE)
            if len(tags) < TAGS_AT_ONCE:
                self._metadata.commit([Delete(manifest), *(Delete(tag) for tag in tags)])
                return
            self._metadata.commit([Delete(tag) for tag in tags])

    def _try_to_delete_tag(self, repository: str, name: str) -> None:
        key = Key(Tag, name, repository)
        tag = self._metadata.read([key])[key]
        if tag is None:
            raise RegistryError(MANIFEST_UNKNOWN, {"reference": name})
        self._metadata.commit([Delete(tag)])


def needs_of(manifest: Manifest) -> list[Key[Any]]:
    """The keys of all that must be in the repository for a manifest to be whole."""
    links = [Key(Link, digest, manifest.repository) for digest in manifest.blobs]
    return [*links, *(Key(Manifest, digest, manifest.repository) for digest in manifest.children)]


def _refuse_missing(needed: Sequence[Key[Any]], found: Found) -> None:
    """Raises MANIFEST_BLOB_UNKNOWN with the digest of each key that was not found."""
    missing = [key.id for key in needed if found[key] is None]
    if missing:
        raise RegistryError(MANIFEST_BLOB_UNKNOWN, [{"digest": digest} for digest in missing])


def _move(found: Found, key: Key[Tag], manifest: Manifest, content: bytes) -> Write:
    """The write that lets a tag name `manifest`, at the version that was read."""
    tag = Tag(
        id=key.id,
        repository=key.repository,
        digest=manifest.digest,
        media_type=manifest.media_type,
        size=manifest.size,
        content=content if len(content) <= INLINE_IN_TAG else None,
        moved=datetime.now(UTC),
    )
    now = found[key]
    return Create(tag) if now is None else Replace(replace(tag, version=now.version))

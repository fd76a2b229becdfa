"""Reading, mounting and deleting blobs. A blob is visible in a repository through its link there, and no other way."""

from collections.abc import Callable, Iterator

from lading.registry.change_context import Clock, now
from lading.registry.content import blob_links
from lading.registry.content.damage import is_damaged
from lading.registry.errors import BLOB_REFERENCED, BLOB_UNKNOWN, RegistryError
from lading.registry.retry import retry_on_conflict
from lading_storage.errors import ObjectNotFound, Unavailable
from lading_storage.protocols import BlobStore, Delete, MetadataStore, Touch, Write
from lading_storage.records.core import MARKED, Blob, Key, Link, Manifest
from lading_storage.records.deleted import DeletedLink, DeletedManifest

PullPredicate = Callable[[str], bool]
"""Whether the caller may pull from the repository of that name."""


class Blobs:
    """The blobs of all repositories."""

    def __init__(self, blobs: BlobStore, metadata: MetadataStore, clock: Clock = now) -> None:
        """Keep bytes in `blobs` and names in `metadata`."""
        self._blobs = blobs
        self._metadata = metadata
        self._clock = clock

    def get(self, repository: str, digest: str, *, for_reuse: bool = False) -> Link:
        """The link of a blob. Raises BLOB_UNKNOWN, also where its bytes are damaged.

        Whoever asks whether a blob need not be pushed wants one that is `for_reuse`: not condemned by collection.
        """
        link = self._link_of(repository, digest)
        if (for_reuse and link.state == MARKED) or is_damaged(self._metadata, link):
            raise RegistryError(BLOB_UNKNOWN, {"digest": digest})
        return link

    def _link_of(self, repository: str, digest: str) -> Link:
        key = Key(Link, digest, repository)
        link = self._metadata.read([key])[key]
        if link is None:
            raise RegistryError(BLOB_UNKNOWN, {"digest": digest})
        return link

    def signed_url(self, link: Link) -> str | None:
        """A URL from which anyone can read the blob for the next minutes, or None where the store has none."""
        # A store that signs may not hold an object for no bytes that is worth a redirect.
        return self._blobs.signed_url(link.object) if link.size else None

    def open(self, link: Link, start: int, stop: int) -> Iterator[bytes]:
        """The bytes of a blob from `start` up to, not including, `stop`. Whoever stops early closes the iterator.

        Raises BLOB_UNKNOWN where the blob has been collected since its link was read.
        """
        try:
            return self._blobs.open(link.object, start, stop)
        except ObjectNotFound:
            if self.get(link.repository, link.id).object != link.object:
                raise RegistryError(BLOB_UNKNOWN, {"digest": link.id}) from None
            raise

    def mount(self, repository: str, digest: str, source: str, may_pull: PullPredicate) -> Link | None:
        """Make a blob of another repository visible in this one; answers its link, or None where it cannot be done.

        `source` is the repository to take it from; "" means any that the caller may pull from. None says the same
        of a blob that does not exist and of one that the caller may not see (end-11).
        """
        origin = self._mount_source(digest, source, may_pull)
        if origin is None:
            return None
        try:
            return retry_on_conflict(lambda: self._link(repository, digest, origin))
        except Unavailable:
            return None

    def delete(self, repository: str, digest: str) -> None:
        """Make a blob invisible in a repository (end-10). Raises BLOB_UNKNOWN, and BLOB_REFERENCED by a manifest."""
        retry_on_conflict(lambda: self._delete(repository, digest))

    def _delete(self, repository: str, digest: str) -> None:
        # The link first, what names it second: a manifest put in between touches the link, and the commit fails.
        link = self._link_of(repository, digest)
        naming = self._metadata.find(Manifest, {"blobs": digest}, repository=repository, limit=10)
        if naming:
            raise RegistryError(
                BLOB_REFERENCED, {"digest": digest, "manifests": [manifest.digest for manifest in naming]}
            )
        if self._metadata.find(DeletedManifest, {"blobs": digest}, repository=repository, limit=1):
            key = Key(DeletedLink, digest, repository)
            self._metadata.commit(blob_links.hide(link, self._metadata.read([key])[key], self._clock()))
        else:
            self._metadata.commit([Delete(link), *self._unverified_blob_writes(link)])

    def _unverified_blob_writes(self, link: Link) -> list[Write]:
        """The writes of whoever removes a link that nothing wants: collection looks whether it was the blob's last."""
        key = Key(Blob, link.id)
        blob = self._metadata.read([key])[key]
        return [blob_links.unverify_blob(blob)] if blob else []

    def _mount_source(self, digest: str, source: str, may_pull: PullPredicate) -> Link | None:
        if source:
            key = Key(Link, digest, source)
            found = [self._metadata.read([key])[key]] if may_pull(source) else []
        else:
            found = [*self._metadata.find(Link, {"id": digest}, repository=None, limit=100)]
        # A condemned link is as good as none: the client pushes the blob, and so makes a fresh one.
        staying = (link for link in found if link is not None and link.state != MARKED)
        return next((link for link in staying if may_pull(link.repository)), None)

    def _link(self, repository: str, digest: str, origin: Link) -> Link | None:
        """Link a blob that `origin` links elsewhere; None where `origin` or the blob has gone. Raises Conflict."""
        blob_key, link_key = Key(Blob, digest), Key(Link, digest, repository)
        found = self._metadata.read([blob_key, link_key, origin.key])
        blob = found[blob_key]
        if blob is None or blob.damaged or found[origin.key] is None:
            return None
        link, writes = blob_links.mount(found[link_key], blob, repository, self._clock(found.read_at))
        if origin.key != link_key:
            writes.append(Touch(origin.key))
        self._metadata.commit(writes)
        if found[link_key] is not None or blob_links.matches_blob(link, self._metadata.read([blob_key])[blob_key]):
            return link
        return retry_on_conflict(lambda: self._repair_link(link_key))

    def _repair_link(self, key: Key[Link]) -> Link | None:
        """Let a link that was just mounted lead to its blob as it is now; returns it, or None where it is no use."""
        blob_key = Key(Blob, key.id)
        found = self._metadata.read([key, blob_key])
        link, blob = found[key], found[blob_key]
        if link is None:
            return None
        if blob is None:
            self._metadata.commit([Delete(link)])
            return None
        if not blob_links.matches_blob(link, blob):
            link, writes = blob_links.repair(link, blob)
            self._metadata.commit(writes)
        return None if link.damaged else link

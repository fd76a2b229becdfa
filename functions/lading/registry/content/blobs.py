"""Read, mount and delete blobs. A blob is visible in a repository only through a link in that repository."""

from collections.abc import Callable, Iterator

from lading.registry.change_context import Clock, now
from lading.registry.content import blob_links
from lading.registry.content.damage import is_damaged
from lading.registry.errors import BLOB_REFERENCED, BLOB_UNKNOWN, RegistryError
from lading.registry.preconditions import UNCONDITIONAL, Precondition
from lading.registry.retry import retry_on_conflict
from lading_storage.errors import ObjectNotFound, Unavailable
from lading_storage.protocols import BlobStore, Delete, MetadataStore, Touch, Write
from lading_storage.query import Query
from lading_storage.records.core import MARKED, Blob, Key, Link, Manifest
from lading_storage.records.deleted import DeletedLink, DeletedManifest

PullPredicate = Callable[[str], bool]
"""Returns whether the caller may pull from the repository of the given name."""


class Blobs:
    """Blobs of all repositories."""

    def __init__(self, blobs: BlobStore, metadata: MetadataStore, clock: Clock = now) -> None:
        """Store bytes in `blobs` and records in `metadata`."""
        self._blobs = blobs
        self._metadata = metadata
        self._clock = clock

    def get(self, repository: str, digest: str, *, for_reuse: bool = False) -> Link:
        """Return the link of a blob.

        Args:
            repository: where the blob is visible.
            digest: of the blob.
            for_reuse: whether the client wants to skip the push of this blob: then collection must not have marked it.

        Raises:
            RegistryError: BLOB_UNKNOWN, also if the blob's bytes are damaged.
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
        """Return a URL from which anyone can read the blob for some minutes, or None if the store has none."""
        # An empty blob is not worth a redirect.
        return self._blobs.signed_url(link.object) if link.size else None

    def open(self, link: Link, start: int, stop: int) -> Iterator[bytes]:
        """Return the bytes of a blob in the half-open range [start, stop). A caller that stops early must close it.

        Raises BLOB_UNKNOWN if the blob has been collected since its link was read.
        """
        try:
            return self._blobs.open(link.object, start, stop)
        except ObjectNotFound:
            if self.get(link.repository, link.id).object != link.object:
                raise RegistryError(BLOB_UNKNOWN, {"digest": link.id}) from None
            raise

    def mount(self, repository: str, digest: str, source: str, may_pull: PullPredicate) -> Link | None:
        """Make a blob of another repository visible in this one (end-11).

        Args:
            repository: where the blob becomes visible.
            digest: of the blob.
            source: the repository to mount from; "" for any that the caller may pull from.
            may_pull: whether the caller may pull from a repository.

        Returns:
            The new link, or None if the blob cannot be mounted. A blob that does not exist and one that the caller may
            not see are indistinguishable.
        """
        source_link = self._mount_source(digest, source, may_pull)
        if source_link is None:
            return None
        try:
            return retry_on_conflict(lambda: self._link(repository, digest, source_link))
        except Unavailable:
            return None

    def delete(self, repository: str, digest: str, condition: Precondition = UNCONDITIONAL) -> None:
        """Make a blob invisible in a repository (end-10).

        Raises BLOB_UNKNOWN, PRECONDITION_FAILED, and BLOB_REFERENCED if a manifest references it.
        """
        retry_on_conflict(lambda: self._delete(repository, digest, condition))

    def _delete(self, repository: str, digest: str, condition: Precondition) -> None:
        # Read the link first, its references second: a manifest put in between touches the link, so the commit fails.
        link = self._link_of(repository, digest)
        condition.check(link.id)
        references = self._metadata.find(Query(Manifest, {"blobs": digest}, repository=repository, limit=10))
        if references:
            raise RegistryError(
                BLOB_REFERENCED, {"digest": digest, "manifests": [manifest.digest for manifest in references]}
            )
        if self._metadata.find(Query(DeletedManifest, {"blobs": digest}, repository=repository, limit=1)):
            key = Key(DeletedLink, digest, repository)
            self._metadata.commit(blob_links.hide(link, self._metadata.read([key])[key], self._clock()))
        else:
            self._metadata.commit([Delete(link), *self._unverified_blob_writes(link)])

    def _unverified_blob_writes(self, link: Link) -> list[Write]:
        """Return the writes that let collection verify whether a removed link was the blob's last one."""
        key = Key(Blob, link.id)
        blob = self._metadata.read([key])[key]
        return [blob_links.unverify_blob(blob)] if blob else []

    def _mount_source(self, digest: str, source: str, may_pull: PullPredicate) -> Link | None:
        links: list[Link | None]
        if source:
            key = Key(Link, digest, source)
            links = [self._metadata.read([key])[key]] if may_pull(source) else []
        else:
            links = [*self._metadata.find(Query(Link, {"id": digest}, repository=None, limit=100))]
        # A link that is marked for the sweep does not count: the client pushes the blob, which makes a new link.
        unmarked = (link for link in links if link is not None and link.state != MARKED)
        return next((link for link in unmarked if may_pull(link.repository)), None)

    def _link(self, repository: str, digest: str, source: Link) -> Link | None:
        """Link a blob that `source` links in another repository.

        Returns None if `source` or the blob has been deleted. Raises Conflict.
        """
        blob_key, link_key = Key(Blob, digest), Key(Link, digest, repository)
        found = self._metadata.read([blob_key, link_key, source.key])
        blob = found[blob_key]
        if blob is None or blob.damaged or found[source.key] is None:
            return None
        link, writes = blob_links.mount(found[link_key], blob, repository, self._clock(found.read_at))
        if source.key != link_key:
            writes.append(Touch(source.key))
        self._metadata.commit(writes)
        if found[link_key] is not None or blob_links.matches_blob(link, self._metadata.read([blob_key])[blob_key]):
            return link
        return retry_on_conflict(lambda: self._repair_link(link_key))

    def _repair_link(self, key: Key[Link]) -> Link | None:
        """Repair a link that was just mounted to match its current blob; return it, or None if it is of no use."""
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

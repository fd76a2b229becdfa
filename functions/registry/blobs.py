"""Reading, mounting and deleting blobs. A blob is visible in a repository through its link there, and no other way."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime

from functions.registry.attempts import settle
from functions.registry.errors import BLOB_NAMED, BLOB_UNKNOWN, RegistryError
from storage.errors import Conflict
from storage.protocols import BlobStore, Create, Delete, MetadataStore, Touch, Write
from storage.records import Blob, Key, Link, Manifest

PullTest = Callable[[str], bool]
"""Whether the caller may pull from the repository of that name."""


class Blobs:
    """The blobs of all repositories."""

    def __init__(self, blobs: BlobStore, metadata: MetadataStore) -> None:
        """Keep bytes in `blobs` and names in `metadata`."""
        self._blobs = blobs
        self._metadata = metadata

    def get(self, repository: str, digest: str) -> Link:
        """The link of a blob. Raises BLOB_UNKNOWN."""
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
        """The bytes of a blob from `start` up to, not including, `stop`. Whoever stops early closes the iterator."""
        return self._blobs.open(link.object, start, stop)

    def mount(self, repository: str, digest: str, source: str, may_pull: PullTest) -> Link | None:
        """Make a blob of another repository visible in this one; answers its link, or None where it cannot be done.

        `source` is the repository to take it from; "" means any that the caller may pull from. None says the same
        of a blob that does not exist and of one that the caller may not see (end-11).
        """
        origin = self._origin(digest, source, may_pull)
        if origin is None:
            return None
        try:
            return link_blob(self._metadata, repository, digest, origin)
        except Conflict:
            return None

    def delete(self, repository: str, digest: str) -> None:
        """Make a blob invisible in a repository (end-10). Raises BLOB_UNKNOWN, and BLOB_NAMED by a manifest."""
        settle(lambda: self._delete(repository, digest))

    def _delete(self, repository: str, digest: str) -> None:
        # The link first, what names it second: a manifest put in between touches the link, and the commit fails.
        link = self.get(repository, digest)
        naming = self._metadata.find(Manifest, {"blobs": digest}, repository=repository, limit=10)
        if naming:
            raise RegistryError(BLOB_NAMED, {"digest": digest, "manifests": [manifest.digest for manifest in naming]})
        self._metadata.commit([Delete(link)])

    def _origin(self, digest: str, source: str, may_pull: PullTest) -> Link | None:
        if source:
            key = Key(Link, digest, source)
            return self._metadata.read([key])[key] if may_pull(source) else None
        links = self._metadata.find(Link, {"id": digest}, repository=None, limit=100)
        return next((link for link in links if may_pull(link.repository)), None)


def link_blob(metadata: MetadataStore, repository: str, digest: str, origin: Link) -> Link:
    """Link a blob that `origin` links elsewhere. Raises Conflict where `origin` or the blob has just gone."""
    blob_key, link_key = Key(Blob, digest), Key(Link, digest, repository)
    found = metadata.read([blob_key, link_key])
    blob, link = found[blob_key], found[link_key]
    if blob is None:
        raise Conflict(f"{digest} has no blob")
    writes: list[Write] = [Touch(blob_key)]
    if origin.key != link_key:
        writes.append(Touch(origin.key))
    new = Link(id=digest, repository=repository, object=blob.object, size=blob.size, created=datetime.now(UTC))
    writes.append(Touch(link_key) if link else Create(new))
    metadata.commit(writes)
    return link or new

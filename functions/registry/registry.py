"""Registry: all that the layers above see of the rules."""

from functions.registry.blobs import Blobs
from functions.registry.manifests import Manifests
from functions.registry.pages import Page
from functions.registry.uploads import Uploads
from storage.protocols import BlobStore, MetadataStore
from storage.records import Repository


class Registry:
    """A registry over one blob store and one metadata store. Holds no state of its own; any thread may use it."""

    def __init__(self, blobs: BlobStore, metadata: MetadataStore) -> None:
        """Use these two stores, which `close` closes."""
        self._stores = (blobs, metadata)
        self._metadata = metadata
        self.blobs = Blobs(blobs, metadata)
        self.uploads = Uploads(blobs, metadata)
        self.manifests = Manifests(blobs, metadata, self.uploads)

    def repositories(self, after: str, limit: int) -> Page[str]:
        """The first `limit` repositories behind `after`, in lexical order."""
        names = [each.id for each in self._metadata.scan(Repository, after=after, limit=limit + 1)]
        return Page(names[:limit], names[limit - 1] if 0 < limit < len(names) else "")

    def close(self) -> None:
        """Close the stores."""
        for store in self._stores:
            store.close()

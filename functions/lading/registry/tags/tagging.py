"""Tagging: a tag is set to a manifest that is in its repository already."""

from lading.registry.change_context import ChangeContext, Clock
from lading.registry.errors import MANIFEST_UNKNOWN, RegistryError
from lading.registry.names import check_not_reserved, check_tag
from lading.registry.repositories import review_writes
from lading.registry.retry import retry_on_conflict
from lading.registry.tags.tags import Tags
from lading_storage.protocols import MetadataStore, Touch
from lading_storage.records.core import Key, Manifest, Repository


class Tagging:
    """Sets tags, as a push of the same manifest by another tag does, but transfers nothing."""

    def __init__(self, metadata: MetadataStore, tags: Tags, clock: Clock) -> None:
        """Set tags in `metadata`."""
        self._metadata = metadata
        self._tags = tags
        self._clock = clock

    def tag(self, repository: str, digest: str, name: str, context: ChangeContext) -> None:
        """Set the tag `name` to the manifest `digest`, in one commit with its history.

        A tag that names this manifest already does not change, and gets no event.

        Raises:
            RegistryError: TAG_INVALID, TAG_RESERVED, TAG_IMMUTABLE; MANIFEST_UNKNOWN where there is no such manifest.
        """
        check_tag(name)
        check_not_reserved(name)
        retry_on_conflict(lambda: self._try(repository, digest, name, context))

    def _try(self, repository: str, digest: str, name: str, context: ChangeContext) -> None:
        key = Key(Manifest, digest, repository)
        own = [*self._tags.rules.keys(repository), *self._tags.keys(repository, name)]
        found = self._metadata.read([Key(Repository, repository), key, *own])
        manifest = found[key]
        if manifest is None:
            raise RegistryError(MANIFEST_UNKNOWN, {"digest": digest})
        writes = self._tags.move(found, name, manifest, context)
        # The touch fails where the manifest has been deleted since it was read.
        self._metadata.commit([Touch(key), *writes, *review_writes(found, repository, self._clock(found.read_at))])

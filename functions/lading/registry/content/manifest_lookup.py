"""Look up a manifest by tag, digest, or `TAG.asof-TIME`, and what is decided about with it, in one read."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, NamedTuple, TypeVar

from lading.registry.content.damage import is_damaged, is_intact
from lading.registry.errors import MANIFEST_UNKNOWN, RegistryError
from lading.registry.names import is_digest_reference, parse_as_of
from lading.registry.tags.tags import Tags
from lading_storage.protocols import Found, MetadataStore
from lading_storage.records.core import Key, Manifest, Tag

M = TypeVar("M", bound=Manifest | Tag)

Companions = Callable[[Key[Any]], Sequence[Key[Any]]]
"""Returns the keys to read in the read of a manifest or tag."""


def _no_companions(key: Key[Any]) -> Sequence[Key[Any]]:
    return ()


class Located(NamedTuple):
    """What a reference points to.

    Attributes:
        manifest: the manifest, or the tag with a copy of it.
        read: the result of the read that found it, with its companions.
    """

    manifest: Manifest | Tag
    read: Found


class ManifestLookup:
    """Lookup of manifests of all repositories."""

    def __init__(self, metadata: MetadataStore, tags: Tags) -> None:
        """Look up in `metadata`, and what tags pointed to at a time by `tags`."""
        self._metadata = metadata
        self._tags = tags

    def find(
        self,
        repository: str,
        reference: str,
        *,
        intact: bool = False,
        only_present: bool = False,
        companions: Companions = _no_companions,
    ) -> Located:
        """Return what a tag or digest points to: its digest, media type and size.

        This takes one read, two for a tag as of a time, and one more if the manifest is stored as an object: a client
        that finds a manifest whose bytes are lost would not push it again.

        Args:
            repository: where to search.
            reference: a tag, a digest, or `TAG.asof-TIME`.
            intact: whether all blobs that it, or a manifest below it, needs must be undamaged. This takes some more
                reads if a scrub has left a hint of damage.
            only_present: whether a tag as of a time must exist now as well. This takes one more read.
            companions: called with the key of each read, for what is read along.

        Raises:
            RegistryError: MANIFEST_UNKNOWN.
        """
        kind: type[Manifest | Tag] = Manifest if is_digest_reference(reference, MANIFEST_UNKNOWN) else Tag
        key = Key(kind, reference, repository)
        read = self._metadata.read([key, *companions(key)])
        if (found := read[key]) is not None:
            return Located(self._require_intact(found, intact), read)
        if (past := parse_as_of(reference)) and (not only_present or self._tags.is_present(repository, past[0])):
            return self._find_as_of(repository, *past, intact, companions)
        raise RegistryError(MANIFEST_UNKNOWN, {"reference": reference})

    def _find_as_of(self, repository: str, tag: str, moment: datetime, intact: bool, companions: Companions) -> Located:
        """Return the manifest to which a tag pointed at a time. Raises MANIFEST_UNKNOWN with the reason."""
        key = Key(Manifest, self._tags.digest_at(repository, tag, moment), repository)
        read = self._metadata.read([key, *companions(key)])
        manifest = read[key]
        if manifest is None:
            # The digest is left out: the history of a deleted tag needs the permission to push.
            reason = "the manifest of that time has been deleted"
            raise RegistryError(MANIFEST_UNKNOWN, {"tag": tag, "reason": reason})
        return Located(self._require_intact(manifest, intact), read)

    def _require_intact(self, found: M, intact: bool) -> M:
        """Return `found`.

        Raises MANIFEST_UNKNOWN if its bytes, or with `intact` those of what it needs, are damaged.
        """
        if intact and not is_intact(self._metadata, found):
            reason = "the bytes of a blob that it needs are missing or damaged; push it again"
            raise RegistryError(MANIFEST_UNKNOWN, {"digest": found.digest, "reason": reason})
        if is_damaged(self._metadata, found):
            reason = "its bytes are missing or damaged; push it again"
            raise RegistryError(MANIFEST_UNKNOWN, {"digest": found.digest, "reason": reason})
        return found

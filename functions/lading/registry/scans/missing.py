"""Images without facts: pushed before scanning was switched on, or by a release that did not scan.

No push creates facts for them, so a person requests their scans, once. What was requested has facts and is passed over,
so that a walk that was interrupted is repeated from the beginning. They wait in a queue of their own, after new pushes.
"""

from collections.abc import Sequence
from typing import Final

from lading.registry.batches import batches
from lading.registry.content.image_facts import facts_key, new_facts_writes
from lading.registry.content.manifest_format import IMAGES, parse_manifest
from lading.registry.errors import RegistryError
from lading.registry.pagination import Page, check_advance
from lading.registry.retry import retry_on_conflict
from lading.registry.scans.content import Content
from lading_storage.errors import Corrupt, ObjectNotFound
from lading_storage.protocols import Touch
from lading_storage.query import Query
from lading_storage.records.core import Manifest
from lading_storage.records.scans import BACKLOG

PAGE_SIZE: Final = 100
"""Manifests of a page: with two writes for each, one commit is within the limits of every store."""

SCANS_OFF: Final = (
    "images are not scanned here, so that a scan would wait forever: the setting `scan` is off, or its extra is"
    " missing: pip install 'lading-registry[scan]'"
)
"""Why a registry that does not scan takes no requests for scans."""


class MissingScans:
    """Requests for the scans of images without facts."""

    def __init__(self, content: Content) -> None:
        """Request the scans of images of `content`."""
        self._content = content
        self._metadata = content.metadata

    def request(self, repository: str, after: str = "") -> Page[str]:
        """Make the images without facts among the first PAGE_SIZE manifests after a digest due for a scan. Idempotent.

        It takes one query and one read; where facts are missing, reads of the contents, another read and one commit.

        Args:
            repository: its manifests are examined; there may be none.
            after: the digest after which the page begins.

        Returns:
            The digests of the images that are due now.

        Raises:
            Corrupt: an index is damaged.
        """
        listed = self._metadata.find(Query(Manifest, repository=repository, after=after, limit=PAGE_SIZE))
        if not listed:
            return Page(())
        check_advance(after, [each.id for each in listed])
        candidates = [each for each in listed if each.media_type in IMAGES and not each.subject]
        missing = self._without_facts(candidates)
        images = [image for batch in batches(missing, lambda each: each.size) for image in self._images(batch)]
        requested = retry_on_conflict(lambda: self._try_to_request(images)) if images else ()
        return Page(requested, listed[-1].id if len(listed) == PAGE_SIZE else "")

    def _without_facts(self, manifests: Sequence[Manifest]) -> list[Manifest]:
        if not manifests:
            return []
        found = self._metadata.read([facts_key(each) for each in manifests], content=False)
        return [each for each in manifests if found[facts_key(each)] is None]

    def _images(self, manifests: Sequence[Manifest]) -> list[Manifest]:
        """Return those of some manifests that are images, with their contents in memory meanwhile."""
        found = self._metadata.read([each.key for each in manifests])
        return [each for each in manifests if (manifest := found[each.key]) is not None and self._is_image(manifest)]

    def _is_image(self, manifest: Manifest) -> bool:
        """Return whether a push of a manifest would create facts; not where its bytes cannot be read."""
        try:
            content = self._content.manifests.content(manifest)
            return parse_manifest(content, manifest.media_type).is_runnable
        except (RegistryError, ObjectNotFound, Corrupt):
            return False

    def _try_to_request(self, images: Sequence[Manifest]) -> Sequence[str]:
        """Create the facts about those of some images that still exist and have none."""
        keys = {facts_key(each): each.key for each in images}
        found = self._metadata.read([*keys, *keys.values()], content=False)
        missing = [key for key, image in keys.items() if found[key] is None and found[image] is not None]
        if missing:
            facts = new_facts_writes(found, missing, self._content.clock(found.read_at), BACKLOG)
            # A concurrent deletion is a conflict: the facts of an image go with its tombstone.
            self._metadata.commit([*facts, *(Touch(keys[key]) for key in missing)])
        return [key.id for key in missing]

"""BreakGlass: exceptions of images that a principal opens, for a while, whom a policy names for that.

    open ──▶ an exception of each policy that names the principal, for each image of the reference ──▶ Trust
    close ─▶ those of the same policies end

An exception covers all who may pull the image: nodes have to pull it in an incident. The principal needs the right to
pull it, and nothing else but its name in the policy.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from lading.policies.evidence import OpenedException
from lading.registry.change_context import ChangeContext
from lading.registry.content.manifest_lookup import ManifestLookup
from lading.registry.errors import DENIED, MANIFEST_UNKNOWN, REQUEST_INVALID, RegistryError
from lading.registry.policies.images_below import MAX_IMAGES, ImagesBelow, TooManyImages
from lading_storage.protocols import MetadataStore
from lading_storage.records.core import Key, Manifest

if TYPE_CHECKING:
    from lading.policies.policy import Policy
    from lading.registry.trust.exceptions import Exceptions


@dataclass(frozen=True, slots=True)
class OpenedFor:
    """What exceptions were opened, or closed.

    policies  the names of the policies
    digests   of the images
    until     when those that were opened end
    """

    policies: tuple[str, ...]
    digests: tuple[str, ...]
    until: datetime | None = None


class BreakGlass:
    """Opens and closes exceptions of one registry."""

    def __init__(
        self,
        metadata: MetadataStore,
        lookup: ManifestLookup,
        images: ImagesBelow,
        exceptions: "Exceptions",
    ) -> None:
        """Keep exceptions as `exceptions` does."""
        self._metadata = metadata
        self._lookup = lookup
        self._images = images
        self._exceptions = exceptions

    def open(
        self,
        policies: "tuple[Policy, ...]",
        manifest: Manifest,
        end: datetime | timedelta,
        reason: str,
        context: ChangeContext,
    ) -> OpenedFor:
        """Open exceptions for an image, or for the images of an index.

        A retry ends in the same state, but that exceptions for a time end as much later.

        Args:
            policies: that name the repository.
            manifest: the image, or an index (`find`).
            end: when they end, or for how long they are.
            reason: why they are opened.
            context: of the change; its actor opens them.

        Raises:
            RegistryError: DENIED if no policy names the actor for that; MANIFEST_UNKNOWN; REQUEST_INVALID.
        """
        own = _own(policies, context.actor)
        images = self._images_of(manifest)
        until = self._exceptions.clock() + end if isinstance(end, timedelta) else end
        for each in images:
            for policy in own:
                opened = OpenedException(policy=policy.name, until=until, reason=reason, by=context.actor)
                self._exceptions.add(manifest.repository, each.digest, opened, context)
        return replace(_opened(own, images), until=until)

    def close(self, policies: "tuple[Policy, ...]", manifest: Manifest, context: ChangeContext) -> OpenedFor:
        """Close the exceptions of the same policies, of all principals. Raises as `open` does."""
        own = _own(policies, context.actor)
        images = self._images_of(manifest)
        for each in images:
            self._exceptions.remove(manifest.repository, each.digest, [policy.name for policy in own])
        return _opened(own, images)

    def find(self, repository: str, reference: str, *, only_present: bool = False) -> Manifest:
        """Return the manifest that a reference names; see ManifestLookup.find. Raises MANIFEST_UNKNOWN."""
        found = self._lookup.find(repository, reference, only_present=only_present).manifest
        key = Key(Manifest, found.digest, repository)
        manifest = self._metadata.read([key])[key]
        if manifest is None:
            raise RegistryError(MANIFEST_UNKNOWN, {"reference": reference})
        return manifest

    def _images_of(self, manifest: Manifest) -> list[Manifest]:
        try:
            return self._images.of(manifest)
        except TooManyImages:
            raise RegistryError(REQUEST_INVALID, {"reason": f"an index of more than {MAX_IMAGES} images"}) from None


def _own(policies: "tuple[Policy, ...]", principal: str) -> "tuple[Policy, ...]":
    """Return the policies that name a principal. Raises DENIED if there are none."""
    own = tuple(each for each in policies if principal and principal in each.break_glass)
    if not own:
        reason = "no policy of the repository names the caller in breakGlass"
        raise RegistryError(DENIED, {"reason": reason})
    return own


def _opened(policies: "tuple[Policy, ...]", images: list[Manifest]) -> OpenedFor:
    return OpenedFor(tuple(each.name for each in policies), tuple(each.digest for each in images))

"""Signatures among the referrers of a manifest, and under its tag `sha256-….sig`: what is to be verified.

Those that held signatures before are read, and the newest. Of these small layers come first, so that no large ones take
the place of signatures. What is left out, or cannot be read, is in the remarks. None of it is trusted.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from lading.registry.content.referrer_contents import ContentUnreadable, ReferrerContents, ReferrerLayer, Wanted
from lading.registry.fan_out import query_each
from lading.registry.trust_records import SIGNATURE_TYPES, signature_tag
from lading.signatures.signature import FORMATS, MAX_SIGNATURE, Candidate
from lading_storage.records.core import Manifest, Tag

MAX_MANIFESTS: Final = 50
"""Manifests that are read, besides the one under the tag and those that come first: the newest ones."""

MAX_LAYERS: Final = 50
"""Layers of one manifest that are read: the last ones."""

MAX_CANDIDATES: Final = 100
MAX_SIZE: Final = 4 * 1024 * 1024
"""Layers that are read in all, and their bytes."""

SMALL: Final = 64 * 1024
"""Bytes up to which a layer is read before larger ones: signatures have some KiB."""


@dataclass(frozen=True, slots=True)
class FoundCandidate:
    """What may be a signature.

    Attributes:
        candidate: what is to be verified.
        digest: of the manifest that holds it.
        at: when that was pushed, or the tag moved to it.
    """

    candidate: Candidate
    digest: str
    at: datetime


@dataclass(frozen=True, slots=True)
class FoundCandidates:
    """What may be signatures of a manifest.

    Attributes:
        candidates: the newest first.
        unread: why each of the others could not be read.
        omitted: the number of manifests and layers that were left out.
        may_return: whether something may be readable later.
    """

    candidates: Sequence[FoundCandidate]
    unread: Sequence[str] = ()
    omitted: int = 0
    may_return: bool = False


@dataclass(frozen=True, slots=True)
class _Place:
    """A layer, and the manifest that holds it."""

    layer: ReferrerLayer
    digest: str
    at: datetime


class SignatureReferrers:
    """What may be signatures of the manifests of one registry."""

    def __init__(self, contents: ReferrerContents) -> None:
        """Read `contents`."""
        self._contents = contents

    def read(self, repository: str, digest: str, first: Sequence[str] = ()) -> FoundCandidates:
        """Return what may be signatures of a manifest.

        This takes a query and a read, and a read and an object for each layer.

        Args:
            repository: where the manifest is.
            digest: of the manifest.
            first: the digests of manifests that are read before all others.
        """
        wanted = Wanted(SIGNATURE_TYPES, signature_tag(digest), MAX_MANIFESTS, first=first)
        manifests, omitted = self._contents.newest(repository, digest, wanted)
        places: list[_Place] = []
        failures: list[ContentUnreadable] = []
        for manifest in manifests:
            try:
                places += self._places(manifest)
            except ContentUnreadable as error:
                failures.append(error)
        chosen = list(_chosen(places))
        read = query_each(lambda number: self._candidate(repository, chosen[number]), range(len(chosen)))
        candidates: list[FoundCandidate] = []
        for _, result in read:
            if isinstance(result, ContentUnreadable):
                failures.append(result)
            else:
                candidates.append(result)
        return FoundCandidates(
            sorted(candidates, key=lambda each: each.at, reverse=True),
            [str(each) for each in failures],
            omitted + len(places) - len(chosen),
            any(each.may_return for each in failures),
        )

    def _places(self, manifest: Manifest | Tag) -> Iterator[_Place]:
        """Yield the layers of a manifest that may be signatures. Raises ContentUnreadable."""
        at = manifest.moved if isinstance(manifest, Tag) else manifest.created
        layers = [each for each in self._contents.layers(manifest) if each.media_type in FORMATS]
        return (_Place(layer, manifest.digest, at) for layer in layers[:MAX_LAYERS])

    def _candidate(self, repository: str, place: _Place) -> FoundCandidate | ContentUnreadable:
        layer = place.layer
        try:
            content = self._contents.content(repository, layer, MAX_SIGNATURE)
        except ContentUnreadable as error:
            return error
        candidate = Candidate(media_type=layer.media_type, content=content, annotations=layer.annotations)
        return FoundCandidate(candidate, place.digest, place.at)


def _chosen(places: Sequence[_Place]) -> Iterator[_Place]:
    """Yield the layers that are read, in the order of `places`, but small ones first."""
    size = 0
    for place in sorted(places, key=lambda each: each.layer.size > SMALL)[:MAX_CANDIDATES]:
        if size + place.layer.size <= MAX_SIZE:
            size += place.layer.size
            yield place

"""PassingImages: which images and indexes of a repository pass its policies, for attestations.

    digest of an event ─▶ what a signature is of ─┬─▶ image ─▶ judge             passes if no enforced policy denies it
                                                  └─▶ index ─▶ judge its images, and all else that is gated
                                                                                 passes if all of these do

An attestation outlives the moment in which it is made, so that only what is allowed without a reservation passes: not
what is exempted for a while, by an exception or by break-glass; not what a policy allows because it cannot be judged;
and not where no policy is enforced, or none that judges images.

Binary Authorization compares the digest of an index alone, and admits it from any registry. So whatever a runtime might
run in an index has to pass, also what no runtime would get here since pulls are gated.
"""

import re
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Final, Protocol

from lading.registry.attestations.messages import ImageDecision
from lading.registry.content.manifest_contents import is_image
from lading.registry.content.manifest_format import IMAGES, INDEXES
from lading.registry.content.manifests import Manifests
from lading.registry.errors import MANIFEST_UNKNOWN, RegistryError
from lading.registry.manifest_trees import ManifestTrees
from lading.registry.pagination import Page, check_advance
from lading_storage.protocols import MetadataStore
from lading_storage.query import Query
from lading_storage.records.core import Key, Manifest

if TYPE_CHECKING:
    from lading.policies.evidence import Decision
    from lading.policies.policy import Policy

PAGE_SIZE: Final = 500
"""Repositories, or manifests, of a page: one query."""

MAX_IMAGES: Final = 100
"""Images of an index that are judged. An index of more does not pass."""

MAX_PARENTS: Final = 20
"""Indexes around an image that are decided about when it changes; the sweep decides about all."""

SIGNATURE_TAG: Final = re.compile(r"(sha256|sha512)-([0-9a-f]{64,128})(?:\.[a-z]{1,16})?")
"""The tag by which cosign and older clients attach a manifest to another one (registry.content.referrer_tags)."""

NOT_ENFORCED: Final = "no policy is enforced for the repository"
NO_IMAGE: Final = "it has no image"
NO_MANIFEST: Final = "it lists something other than manifests, which some runtimes take for an image"
NOT_THERE: Final = "it is not in the repository"


class Judge(Protocol):
    """What judges an image by the policies that name its repository."""

    def __call__(self, repository: str, digest: str) -> "Sequence[tuple[Policy, Decision]]":
        """Return a decision of each policy, for no principal in particular. Raises RegistryError, StorageError."""
        ...


class PassingImages:
    """Decisions about images. Nothing is written, and no pull is recorded."""

    def __init__(self, metadata: MetadataStore, manifests: Manifests, judge: Judge) -> None:
        """Read manifests from `metadata` and by `manifests`; `judge` decides about images."""
        self._metadata = metadata
        self._manifests = manifests
        self._judge = judge

    def images(self, repository: str, after: str) -> Page[str]:
        """Return a page of the digests of what may be an image or an index: without the signatures of others."""
        listed = self._metadata.find(Query(Manifest, repository=repository, after=after, limit=PAGE_SIZE))
        if listed:
            check_advance(after, [each.id for each in listed])
        images = [each.id for each in listed if _may_be_image(each)]
        return Page(images, listed[-1].id if len(listed) == PAGE_SIZE else "")

    def decide(self, repository: str, digests: Sequence[str], *, related: bool = False) -> list[ImageDecision]:
        """Return decisions about manifests, and about what is related to them, as DecisionsRequest has it.

        Raises:
            RegistryError, StorageError: an image cannot be judged now.
        """
        wanted = list(dict.fromkeys(digests))
        if related:
            wanted = list(dict.fromkeys(self._with_related(repository, wanted)))
        trees = ManifestTrees(self._metadata, self._manifests, repository, wanted)
        decisions = _Decisions(repository, trees, self._judge)
        return [decision for each in wanted if (decision := decisions.of(each))]

    def _with_related(self, repository: str, digests: Sequence[str]) -> Iterator[str]:
        """Yield manifests, with the subjects of signatures, the images in an index, and the indexes around an image."""
        keys = [Key(Manifest, each, repository) for each in digests]
        found = self._metadata.read(keys, content=False)
        named = [_subject(manifest) or manifest.id for key in keys if (manifest := found[key])]
        subjects = {each: Key(Manifest, each, repository) for each in named}
        found = self._metadata.read(list(subjects.values()), content=False)
        for digest, key in subjects.items():
            yield digest
            manifest = found[key]
            if manifest is not None and manifest.media_type in INDEXES:
                yield from manifest.children[:MAX_IMAGES]
            around = Query(Manifest, {"children": digest}, repository=repository, limit=MAX_PARENTS)
            yield from (each.id for each in self._metadata.find(around))


class _Decisions:
    """Decisions about the manifests of some trees. Each image is judged once."""

    def __init__(self, repository: str, trees: ManifestTrees, judge: Judge) -> None:
        self._repository = repository
        self._trees = trees
        self._judge = judge
        self._reasons: dict[str, str] = {}

    def of(self, digest: str) -> ImageDecision | None:
        """Return the decision about a manifest, or None for one that is no image and no index, or is not there."""
        record = self._trees.records.get(digest)
        if record is None or not _may_be_image(record):
            return None
        if record.media_type in INDEXES:
            reason = self._reason_of_index(digest)
        elif is_image(self._trees.contents_of(digest)):
            reason = self._reason(digest)
        else:
            return None
        return ImageDecision(digest=digest, passes=not reason, reason=reason)

    def _reason_of_index(self, digest: str) -> str:
        parts = dict(self._parts(digest))
        images, others = ([each for each, is_one in parts.items() if is_one is wanted] for wanted in (True, False))
        if max(len(images), len(others)) > MAX_IMAGES:
            return f"it has more than {MAX_IMAGES} images"
        if not images:
            return NO_IMAGE
        reasons = ((each, self._reason_of_part(each)) for each in (digest, *others))
        judged = ((each, self._reason(each)) for each in images)
        return next((f"{each}: {reason}" for each, reason in chain(judged, reasons) if reason), "")

    def _parts(self, digest: str) -> Iterator[tuple[str, bool]]:
        """Yield each manifest in an index, however deep, and whether it says that it is an image.

        A manifest that is not there, or was not read, counts as one.
        """
        for part in self._trees.contents_of(digest).manifests:
            record = self._trees.records.get(part.digest)
            is_index = record is not None and record.media_type in INDEXES
            is_read = part.digest in self._trees.contents
            yield part.digest, not is_read or (not is_index and is_image(self._trees.contents_of(part.digest)))
            if is_index:
                yield from self._parts(part.digest)

    def _reason_of_part(self, digest: str) -> str:
        """Return why an index, or what does not say that it is an image, does not pass, or ""."""
        if self._trees.records[digest].media_type in INDEXES and self._trees.contents_of(digest).layers:
            return NO_MANIFEST
        decisions = self._decisions(digest)
        return "" if decisions is not None and not decisions else _reason_of(decisions)

    def _reason(self, digest: str) -> str:
        """Return why an image does not pass, or ""."""
        if digest not in self._reasons:
            self._reasons[digest] = _reason_of(self._decisions(digest)) if digest in self._trees.contents else NOT_THERE
        return self._reasons[digest]

    def _decisions(self, digest: str) -> "Sequence[tuple[Policy, Decision]] | None":
        """Return the decisions about a manifest, none if it is not gated, or None if it was deleted meanwhile."""
        try:
            return self._judge(self._repository, digest)
        except RegistryError as error:
            if error.descriptor is not MANIFEST_UNKNOWN:
                raise
            return None


def _reason_of(decisions: "Sequence[tuple[Policy, Decision]] | None") -> str:
    """Return why what was judged does not pass, or ""."""
    if decisions is None:
        return NOT_THERE
    enforced = [decision for policy, decision in decisions if policy.enforces and policy.judges_images]
    return next((reason for each in enforced if (reason := _reservation(each))), "" if enforced else NOT_ENFORCED)


def _reservation(decision: "Decision") -> str:
    """Return why a decision is none on which an attestation can be based, or ""."""
    from lading.policies.evidence import ALLOWED

    if decision.outcome == ALLOWED and not decision.is_error:
        return ""
    why = decision.exemption or "; ".join(decision.reasons) or decision.outcome
    return f"policy {decision.policy}: {why}"[:500]


def _may_be_image(manifest: Manifest) -> bool:
    return (manifest.media_type in IMAGES or manifest.media_type in INDEXES) and not _subject(manifest)


def _subject(manifest: Manifest) -> str:
    """Return the digest of what a manifest is attached to, as a subject or by the tag of its push, or ""."""
    found = SIGNATURE_TAG.fullmatch(manifest.attachment)
    return manifest.subject or (f"{found[1]}:{found[2]}" if found else "")

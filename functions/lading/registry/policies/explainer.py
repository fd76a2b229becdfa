"""Explainer: what policies decide about an image, and why. Nothing is recorded, and no pull."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from lading.policies.evidence import ALLOWED, DENIED
from lading.registry.content.manifest_lookup import ManifestLookup
from lading.registry.errors import MANIFEST_UNKNOWN, REQUEST_INVALID, RegistryError
from lading.registry.policies.explained import ExplainedImage, ExplainedPolicy, ExplainedSignature, Explanation
from lading.registry.policies.images_below import MAX_IMAGES, ImagesBelow, TooManyImages
from lading.registry.policies.policy_cache import PolicyCache
from lading.registry.policies.pull_gate import PullGate
from lading.registry.scan_summaries import summary_of
from lading.registry.trust.trust_contents import signatures_of
from lading_storage.protocols import MetadataStore
from lading_storage.records.core import Key, Manifest
from lading_storage.records.trust import Trust

if TYPE_CHECKING:
    from lading.policies.policy import Policy
    from lading.registry.policies.verdict import Verdict
    from lading.signatures.signature import Signature

NO_POLICY: Final = "no policy names the repository"
NOT_GATED: Final = "no runtime runs such a manifest as an image, so that no policy applies to it"


class Explainer:
    """Explains the decisions of one registry."""

    def __init__(
        self,
        metadata: MetadataStore,
        lookup: ManifestLookup,
        policies: PolicyCache,
        gate: PullGate,
        images: ImagesBelow,
    ) -> None:
        """Ask the gate of pulls."""
        self._metadata = metadata
        self._lookup = lookup
        self._policies = policies
        self._gate = gate
        self._images = images

    def explain(
        self,
        repository: str,
        reference: str,
        principal: str,
        *,
        only_present: bool = False,
        others: "tuple[Policy, ...] | None" = None,
    ) -> Explanation:
        """Return what policies decide about a pull.

        Args:
            repository: where the image is.
            reference: a tag, a digest, or a tag as of a time.
            principal: who pulls, or "" for an anonymous client.
            only_present: as of ManifestLookup.find.
            others: the policies to ask instead of those in effect.

        Raises:
            RegistryError: MANIFEST_UNKNOWN; REQUEST_INVALID for an index of too many images.
            StorageError: a store failed.
        """
        read = self._policies.begin(repository)
        found, records = self._lookup.find(
            repository, reference, only_present=only_present, companions=lambda _: read.keys
        )
        key = Key(Manifest, found.digest, repository)
        named = read.of(records) if others is None else others
        policies = tuple(each for each in named if each.judges_images and each.covers(repository))
        if not policies:
            return Explanation(repository, reference, found.digest, principal, ALLOWED, NO_POLICY)
        manifest = self._metadata.read([key])[key]
        if manifest is None:
            raise RegistryError(MANIFEST_UNKNOWN, {"reference": reference})
        try:
            images = [self._image(policies, each, principal) for each in self._images.of(manifest)]
        except TooManyImages:
            raise RegistryError(REQUEST_INVALID, {"reason": f"an index of more than {MAX_IMAGES} images"}) from None
        judged = tuple(each for each in images if each is not None)
        return Explanation(repository, reference, found.digest, principal, *_summary(judged), judged)

    def _image(self, policies: "tuple[Policy, ...]", manifest: Manifest, principal: str) -> ExplainedImage | None:
        """Return what policies decide about an image, or None if it is not gated."""
        verdict = self._gate.verdict(policies, manifest, principal)
        if verdict is None:
            return None
        # As it was verified now: a standby keeps none.
        trusts = [each for each in verdict.records if isinstance(each, Trust)]
        own = next((each for each in trusts if each.id == manifest.digest), None)
        facts = verdict.evidence.facts
        return ExplainedImage(
            digest=manifest.digest,
            outcome=DENIED if verdict.refuses else ALLOWED,
            policies=tuple(_policies(policies, verdict)),
            signatures=tuple(
                ExplainedSignature(
                    _name(policies, each.signature),
                    each.signature.format,
                    each.at,
                    each.digest,
                    "" if trust is own else trust.id,
                )
                for trust in trusts
                for each in signatures_of(trust, verdict.evidence.now)
            ),
            remarks=own.remarks if own else (),
            scan=summary_of(facts) if facts else None,
        )


def _summary(images: tuple[ExplainedImage, ...]) -> tuple[str, str]:
    """Return the outcome of all images, and why there are none."""
    return DENIED if any(each.outcome == DENIED for each in images) else ALLOWED, "" if images else NOT_GATED


def _policies(policies: "tuple[Policy, ...]", verdict: "Verdict") -> Iterator[ExplainedPolicy]:
    for policy, each in zip(policies, verdict.decisions, strict=True):
        yield ExplainedPolicy(policy.name, policy.mode, each.outcome, each.reasons, each.findings, each.exemption)


def _name(policies: "tuple[Policy, ...]", signature: "Signature") -> str:
    """Return the name that a policy has for the signer of a signature, or its identity or fingerprint."""
    for policy in policies:
        for requirement in policy.signature_requirements():
            for signer in requirement.signers:
                if signer.signed(signature):
                    return signer.name
    return signature.identity or signature.signer

"""Verdict: what the policies of a repository decide about an image."""

from dataclasses import dataclass

from lading.policies.evidence import AUDITED, DENIED, Decision, Evidence
from lading_storage.records.core import Manifest, Record


@dataclass(frozen=True, slots=True)
class Verdict:
    """What all policies decide about an image.

    Attributes:
        manifest: the image.
        decisions: one of each policy, in their order.
        evidence: what was judged.
        records: the records that the decisions rely on, as they were read.
        is_verified: whether signatures were just verified, so that trust in the store is newer than in `records`.
        is_stored: whether the image is in the registry, rather than just pushed.
    """

    manifest: Manifest
    decisions: tuple[Decision, ...]
    evidence: Evidence
    records: tuple[Record, ...]
    is_verified: bool
    is_stored: bool = True

    @property
    def refuses(self) -> bool:
        """Whether a policy refuses the image."""
        return any(each.refuses for each in self.decisions)

    @property
    def is_clean(self) -> bool:
        """Whether no policy refuses the image, or would if it did not only audit."""
        return not any(each.outcome in (DENIED, AUDITED) for each in self.decisions)

    @property
    def reference(self) -> str:
        """The image, as REPOSITORY@DIGEST."""
        return f"{self.manifest.repository}@{self.manifest.digest}"

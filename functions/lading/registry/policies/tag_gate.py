"""TagGate: whether a tag may be moved to a manifest, by the policies that name the tag.

    move of a tag ─▶ Manifest, Facts, Trust of each image that the tag would name, in one read
                        └─ verified now if need be, and read again ─▶ DENIED, or writes that verify what was read

The decision is made in each attempt to commit, with the rules that the attempt has read, and its writes verify the
versions of all records that it relied on. So a signature that is deleted meanwhile, or another result of a scan, makes
the commit conflict, and the next attempt decides again.

All movers come here, by Tags.move. A restore, and a roll-back to what the tag named before, are allowed unless the
policy says otherwise: an incident is no time for a gate. A roll-back to anything else would be a move without a gate,
and is a move like any. Tags by which clients attach signatures are not gated: pulls of what they name are, as any.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from lading.policies.denial import PUSH_FIRST, audit_line, denial_detail, denial_line
from lading.policies.evidence import AUDITED, DENIED, EXEMPTED, Decision
from lading.registry.change_context import RESTORE, ROLLBACK, ChangeContext
from lading.registry.content.referrer_tags import is_referrer_tag
from lading.registry.errors import denied_by_policy
from lading.registry.policies.decision_log import DecisionLog
from lading.registry.policies.images_below import MAX_IMAGES, ImagesBelow, TooManyImages
from lading.registry.policies.judge import Judge
from lading.registry.policies.verdict import Verdict
from lading_storage.errors import Conflict
from lading_storage.protocols import Found, MetadataStore, Verify, Write
from lading_storage.query import Query
from lading_storage.records.core import Manifest, Tag
from lading_storage.records.deleted import TagEvent
from lading_storage.records.scans import Facts
from lading_storage.records.trust import Trust

if TYPE_CHECKING:
    from lading.policies.policy import Policy

MAX_STEPS: Final = 1_000
"""Changes of a tag among which a roll-back finds what it named before."""

MAX_ROUNDS: Final = 3
"""Reads of one attempt: each verification of signatures needs another."""


class TagGate:
    """The gate of moves of tags of one registry. Thread-safe."""

    def __init__(
        self,
        metadata: MetadataStore,
        judge: Judge,
        content: Callable[[Manifest | Tag], bytes],
        log: DecisionLog,
    ) -> None:
        """Let `judge` decide, and record decisions in `log`. `content` returns the bytes of a manifest."""
        self._metadata = metadata
        self._judge = judge
        self._images = ImagesBelow(metadata, content)
        self._log = log

    def check(
        self, policies: "tuple[Policy, ...]", manifest: Manifest, tag: str, context: ChangeContext
    ) -> Sequence[Write]:
        """Return the writes by which the commit that moves a tag fails if what was judged has changed.

        Args:
            policies: that name the repository.
            manifest: to which the tag moves, which the commit may create, with its content.
            tag: its name.
            context: of the move.

        Raises:
            RegistryError: DENIED.
            Conflict: what was read changes all the time.
            StorageError: a store failed.
        """
        judged = tuple(each for each in policies if each.judges_images and each.covers_tag(manifest.repository, tag))
        if not judged or is_referrer_tag(tag):
            return ()
        verdicts = self._verdicts(judged, manifest, context.actor)
        if not all(each.is_clean for each in verdicts) and self._goes_back(manifest, tag, context):
            verdicts = [_allowed_by_action(each, judged, context) for each in verdicts]
        for verdict in verdicts:
            self._log.record(judged, verdict, context)
        for verdict in verdicts:
            if verdict.refuses:
                advice = None if verdict.is_stored else PUSH_FIRST
                line = denial_line(verdict.decisions, verdict.reference, advice)
                raise denied_by_policy(line, denial_detail(verdict.decisions))
        audited = (audit_line(each.decisions, each.reference) for each in verdicts)
        context.warn(tag, next((line for line in audited if line), ""))
        return list(_verifications(verdicts))

    def _verdicts(self, policies: "tuple[Policy, ...]", manifest: Manifest, principal: str) -> list[Verdict]:
        """Return a verdict about each image that the tag would name, all of records whose versions are known."""
        try:
            images = self._images.of(manifest)
        except TooManyImages:
            reason = f"the index has more than {MAX_IMAGES} images"
            return [self._judge.cannot_judge(policies, manifest, reason, principal)]
        keys = [key for each in images for key in (each.key, *self._judge.keys(each.repository, each.digest))]
        for _ in range(MAX_ROUNDS):
            found = self._metadata.read(list(dict.fromkeys(keys)))
            verdicts = [self._verdict(policies, each, found, principal) for each in images]
            if not any(each.is_verified for each in verdicts):
                return verdicts
        if any(each.refuses for each in verdicts):
            # It may have more indexes than are verified for one decision; a refusal relies on no record.
            return verdicts
        raise Conflict("the signatures of an image change all the time")

    def _verdict(self, policies: "tuple[Policy, ...]", image: Manifest, found: Found, principal: str) -> Verdict:
        stored = found[image.key]
        if stored is None:
            # The commit creates it: it can have no signature that counts, and no scan.
            return replace(self._judge.judge_new(policies, image, found, principal), is_stored=False)
        return self._judge.judge(policies, stored, found, principal)

    def _goes_back(self, manifest: Manifest, tag: str, context: ChangeContext) -> bool:
        """Return whether a tag named a manifest before, and now names it again by a roll-back or a restore."""
        if context.action != ROLLBACK.action:
            return context.action == RESTORE.action
        query = Query(TagEvent, {"tag": tag}, repository=manifest.repository, limit=MAX_STEPS)
        return any(each.digest == manifest.digest for each in self._metadata.find(query))


def _allowed_by_action(verdict: Verdict, policies: "tuple[Policy, ...]", context: ChangeContext) -> Verdict:
    """Return a verdict in which policies do not refuse a move back, and would not, unless they say so."""
    decisions = [
        _exempted(each, f"a {context.action} is not gated")
        if each.outcome in (AUDITED, DENIED) and not policy.gate_rollback
        else each
        for policy, each in zip(policies, verdict.decisions, strict=True)
    ]
    return replace(verdict, decisions=tuple(decisions))


def _exempted(decision: Decision, exemption: str) -> Decision:
    return replace(decision, outcome=EXEMPTED, exemption=exemption)


def _verifications(verdicts: Sequence[Verdict]) -> Iterator[Write]:
    """Yield the writes that verify the facts and the trust of verdicts.

    Manifests are not among them: the mover itself touches that of the tag, and what it needs.
    """
    records = [record for verdict in verdicts for record in verdict.records if isinstance(record, Facts | Trust)]
    for key, record in {each.key: each for each in records}.items():
        yield Verify(key, record.version)

"""Judge: what each policy decides about an image, by the records of the registry.

    Manifest ─ when it was first pushed
    Facts    ─ its scan                             read together: in the read of a pull by digest, else in one more
    Trust    ─ its signatures, and exceptions ─┐
    those of indexes that contain it ──────────┴─ verified now if they are stale, or a policy has another key

An index vouches for its manifests in the same repository: its signatures are those of each. Indexes are searched only
where the image's own signatures do not suffice, and the one that did is then read along. Only records decide: that hint
saves a round trip, and nothing else.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from lading.leader import step_down
from lading.policies.evaluate import evaluate, exemption_of, lacks_signatures
from lading.policies.evidence import ALLOWED, Decision, Evidence
from lading.policies.policy import DENY
from lading.registry.change_context import Clock
from lading.registry.errors import RegistryError
from lading.registry.policies.anchors import counts, fingerprints_of, needs_signatures
from lading.registry.policies.indexes_above import Above, IndexesAbove
from lading.registry.policies.trust_reader import TrustReader
from lading.registry.policies.verdict import Verdict
from lading.registry.trust.trust_contents import exceptions_of
from lading_storage.protocols import Found, MetadataStore
from lading_storage.records.core import Key, Manifest, Record
from lading_storage.records.scans import Facts
from lading_storage.records.trust import Trust

if TYPE_CHECKING:
    from lading.policies.policy import Policy
    from lading.registry.trust.verifier import Verifier

MAX_HINTS: Final = 10_000
"""Images of which it is known which index vouched for them."""

MALFORMED: Final = (ValueError, LookupError, TypeError)
"""What reading a record raises that another release, or something else, wrote."""


class Judge:
    """The judge of one registry. Thread-safe."""

    def __init__(self, metadata: MetadataStore, verifier: "Callable[[], Verifier]", clock: Clock) -> None:
        """Read from `metadata`, and let signatures be verified by what `verifier` returns."""
        self._metadata = metadata
        self._verifier = verifier
        self._clock = clock
        self._indexes_above = IndexesAbove(metadata, lambda key: verifier().unwritten(key))
        self._hints: dict[tuple[str, str], str] = {}

    def keys(self, repository: str, digest: str) -> list[Key[Any]]:
        """Return the keys to read beside that of a manifest that is judged."""
        keys: list[Key[Any]] = [Key(Facts, digest, repository), Key(Trust, digest, repository)]
        if index := self._hints.get((repository, digest)):
            keys += [Key(Manifest, index, repository), Key(Trust, index, repository)]
        return keys

    def judge(self, policies: "tuple[Policy, ...]", manifest: Manifest, found: Found, principal: str) -> Verdict:
        """Return what policies decide about an image that a principal pulls, or that a tag is to name.

        Args:
            policies: all that name the repository.
            manifest: the image.
            found: with the records of `keys`.
            principal: the authenticated caller, or "".

        Raises:
            StorageError: a store failed.
            RegistryError: MANIFEST_UNKNOWN if the manifest was deleted meanwhile.
        """
        # Those to whom the caller is subject: nothing is verified for one that signs.
        signers = tuple(each for each in policies if needs_signatures(each) and not exemption_of(each, principal))
        return self._judge(policies, signers, manifest, found, principal)

    def judge_new(self, policies: "tuple[Policy, ...]", manifest: Manifest, found: Found, principal: str) -> Verdict:
        """Return the same about a manifest that is not stored yet, whose signatures cannot be verified."""
        return self._judge(policies, (), manifest, found, principal)

    def cannot_judge(self, policies: "tuple[Policy, ...]", manifest: Manifest, reason: str, principal: str) -> Verdict:
        """Return the verdict about what cannot be judged by how its pusher made it: `onError` does not let it pass."""
        evidence = Evidence(
            repository=manifest.repository, digest=manifest.digest, now=self._clock(), unreadable=reason
        )
        strict = tuple(replace(each, on_error=DENY) for each in policies)
        return Verdict(manifest, _decisions(strict, evidence, principal), evidence, (), is_verified=False)

    def _judge(
        self,
        policies: "tuple[Policy, ...]",
        signers: "tuple[Policy, ...]",
        manifest: Manifest,
        found: Found,
        principal: str,
    ) -> Verdict:
        repository, digest = manifest.repository, manifest.digest
        facts, now = found[Key(Facts, digest, repository)], self._clock(found.read_at)
        reader, records = TrustReader(self._verifier, signers, now), [manifest, *([facts] if facts else [])]
        evidence = Evidence(repository=repository, digest=digest, now=now, facts=facts, first_seen=manifest.created)
        try:
            evidence = self._with_trust(evidence, found, reader if signers else None)
        except MALFORMED as error:
            evidence = replace(evidence, unreadable=f"its trust cannot be read ({type(error).__name__})")
        decisions = _decisions(policies, evidence, principal)
        if not evidence.unreadable and _may_pass_by_index(signers, evidence, decisions):
            for vouched in self._vouched(signers, evidence, found, reader, records):
                evidence, before = vouched, decisions
                decisions = _decisions(policies, evidence, principal)
                if decisions != before:
                    self._hint(evidence, records[-1].id)
                if not _may_pass_by_index(signers, evidence, decisions):
                    break
        return Verdict(manifest, decisions, evidence, (*records, *reader.records), reader.is_verified)

    def is_attachment(self, verdict: Verdict, policies: "tuple[Policy, ...]", found: Found) -> bool:
        """Return whether a manifest is itself a signature or attestation, by its content. Raises as `judge` does."""
        key = Key(Trust, verdict.manifest.digest, verdict.manifest.repository)
        try:
            return TrustReader(self._verifier, policies, verdict.evidence.now).trust(found[key], key).attachment
        except MALFORMED:
            return False

    def _with_trust(self, evidence: Evidence, found: Found, reader: TrustReader | None) -> Evidence:
        """Return the evidence with the image's own signatures, and the exceptions. Raises MALFORMED, StorageError."""
        key = Key(Trust, evidence.digest, evidence.repository)
        signatures = reader.signatures(found[key], key) if reader else ()
        return replace(evidence, signatures=signatures, exceptions=exceptions_of(found[key], evidence.now))

    def _vouched(
        self,
        signers: "tuple[Policy, ...]",
        evidence: Evidence,
        found: Found,
        reader: TrustReader,
        records: list[Record],
    ) -> Iterator[Evidence]:
        """Yield the evidence with the signatures of each index that contains the image, of one more at a time.

        The index is then the last one of `records`. Signatures of other signers than the policies' are left out.
        """
        for index, trust in self._indexes(signers, evidence, found):
            try:
                signatures = reader.signatures(trust, Key(Trust, index.digest, index.repository))
            except (RegistryError, *MALFORMED):
                # It was deleted meanwhile, or its trust cannot be read.
                continue
            if signatures := tuple(each for each in signatures if counts(signers, each)):
                records.append(index)
                evidence = replace(evidence, parents=(*evidence.parents, signatures))
                yield evidence

    def _indexes(self, signers: "tuple[Policy, ...]", evidence: Evidence, found: Found) -> Iterator[Above]:
        """Yield the live indexes that contain an image, with their trust: the one that vouched before comes first."""
        repository, digest = evidence.repository, evidence.digest
        hint = self._hints.get((repository, digest), "")
        known, key = found[Key(Manifest, hint, repository)], Key(Trust, hint, repository)
        if known is not None and found.has_read(key) and digest in known.children:
            yield known, found[key]
        step_down()
        for index, trust in self._indexes_above.of(repository, digest, fingerprints_of(signers), evidence.now):
            if known is None or index.digest != known.digest:
                yield index, trust

    def _hint(self, evidence: Evidence, index: str) -> None:
        if len(self._hints) >= MAX_HINTS:
            self._hints = {}
        self._hints[evidence.repository, evidence.digest] = index


def _decisions(policies: "tuple[Policy, ...]", evidence: Evidence, principal: str) -> tuple[Decision, ...]:
    return tuple(evaluate(each, evidence, principal) for each in policies)


def _may_pass_by_index(signers: "tuple[Policy, ...]", evidence: Evidence, decisions: tuple[Decision, ...]) -> bool:
    """Return whether signatures of an index could change a decision."""
    open_names = {each.policy for each in decisions if each.outcome != ALLOWED}
    return any(each.name in open_names and lacks_signatures(each, evidence) for each in signers)

"""Gates: the policies of a registry, and what they decide about. Imported by each pull, so that it imports little."""

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from lading.registry.change_context import ChangeContext, Clock
from lading.registry.errors import MANIFEST_UNKNOWN, RegistryError
from lading.registry.policies.policy_cache import PolicyCache
from lading.registry.rules.effective import EffectiveRules, effective_rules, rule_keys
from lading.registry.rules.policies_in_effect import policies_in
from lading_storage.protocols import BlobStore, Found, MetadataStore, Write
from lading_storage.records.core import Key, Manifest

if TYPE_CHECKING:
    from lading.policies.evidence import Decision
    from lading.policies.policy import Policy
    from lading.registry.content.manifests import Manifests
    from lading.registry.policies.break_glass import BreakGlass
    from lading.registry.policies.decision_log import CountedDecision, DecisionLog
    from lading.registry.policies.explainer import Explainer
    from lading.registry.policies.images_below import ImagesBelow
    from lading.registry.policies.judge import Judge
    from lading.registry.policies.policy_events import PolicyEvents
    from lading.registry.policies.pull_gate import PullGate
    from lading.registry.policies.put_gate import PutGate
    from lading.registry.policies.tag_gate import TagGate
    from lading.registry.trust.verifier import Verifier


class Gates:
    """The gates of one registry. Thread-safe. What decides is imported where a policy names a repository.

    policies     the policies in effect, for pulls
    on_decision  called with each decision, for metrics; set before the first request
    is_stopped   whether no event is written, since the store must not be; the same
    """

    def __init__(
        self,
        metadata: MetadataStore,
        blobs: BlobStore,
        manifests: "Manifests",
        verifier: "Callable[[], Verifier]",
        clock: Clock,
    ) -> None:
        """Read from these; `verifier` returns what verifies signatures."""
        self._metadata = metadata
        self._blobs = blobs
        self._manifests = manifests
        self._verifier = verifier
        self._clock = clock
        self.policies = PolicyCache()
        self.on_decision: Callable[[CountedDecision], None] | None = None
        self.is_stopped = False

    @cached_property
    def judge(self) -> "Judge":
        """What decides about an image."""
        from lading.registry.policies.judge import Judge

        return Judge(self._metadata, self._verifier, self._clock)

    @cached_property
    def pull(self) -> "PullGate":
        """The gate of pulls."""
        from lading.registry.policies.pull_gate import PullGate

        return PullGate(self._metadata, self.judge, self._manifests.content, self.log)

    @property
    def explainer(self) -> "Explainer":
        """What explains decisions."""
        from lading.registry.policies.explainer import Explainer

        return Explainer(self._metadata, self._manifests.lookup, self.policies, self.pull, self.images)

    @property
    def trial(self) -> "Explainer":
        """What explains what other policies would decide. What is verified with their keys is not kept."""
        from lading.registry.policies.explainer import Explainer
        from lading.registry.policies.judge import Judge
        from lading.registry.policies.pull_gate import PullGate

        verifier = self._verifier().read_only()
        gate = PullGate(
            self._metadata, Judge(self._metadata, lambda: verifier, self._clock), self._manifests.content, self.log
        )
        return Explainer(self._metadata, self._manifests.lookup, self.policies, gate, self.images)

    @property
    def break_glass(self) -> "BreakGlass":
        """What opens and closes exceptions."""
        from lading.registry.policies.break_glass import BreakGlass
        from lading.registry.trust.exceptions import Exceptions

        exceptions = Exceptions(self._metadata, self._clock)
        return BreakGlass(self._metadata, self._manifests.lookup, self.images, exceptions)

    def policies_of(self, repository: str) -> "tuple[Policy, ...]":
        """Return the policies that name a repository, as they are now. Raises StorageError."""
        return policies_in(effective_rules(self._metadata.read(rule_keys(repository)), repository))

    def judged(self, repository: str, digest: str) -> "Sequence[tuple[Policy, Decision]]":
        """Return the decision of each policy about a pull by no principal in particular; none if it is not gated.

        Raises RegistryError: MANIFEST_UNKNOWN; StorageError.
        """
        policies = tuple(each for each in self.policies_of(repository) if each.judges_images)
        if not policies:
            return ()
        key = Key(Manifest, digest, repository)
        manifest = self._metadata.read([key])[key]
        if manifest is None:
            raise RegistryError(MANIFEST_UNKNOWN, {"digest": digest})
        verdict = self.pull.verdict(policies, manifest, "")
        return () if verdict is None else tuple(zip(policies, verdict.decisions, strict=True))

    @property
    def images(self) -> "ImagesBelow":
        """The images that indexes stand for."""
        from lading.registry.policies.images_below import ImagesBelow

        return ImagesBelow(self._metadata, self._manifests.content)

    @cached_property
    def log(self) -> "DecisionLog":
        """Who is told of decisions."""
        from lading.registry.policies.decision_log import DecisionLog

        return DecisionLog(self._events, self.on_decision)

    @cached_property
    def _tag(self) -> "TagGate":
        from lading.registry.policies.tag_gate import TagGate

        return TagGate(self._metadata, self.judge, self._manifests.content, self.log)

    @cached_property
    def _put(self) -> "PutGate":
        from lading.registry.policies.put_gate import PutGate

        return PutGate(self._blobs.open, self.log)

    @cached_property
    def _events(self) -> "PolicyEvents":
        from lading.registry.policies.policy_events import PolicyEvents

        return PolicyEvents(None if self.is_stopped else self._metadata, self._clock)

    def check_put(self, rules: EffectiveRules, manifest: Manifest, found: Found, context: ChangeContext) -> None:
        """See CommitGate."""
        if not context.is_own and (policies := policies_in(rules)):
            self._put.check(policies, manifest, found, context)

    def check_move(
        self, rules: EffectiveRules, manifest: Manifest, tag: str, context: ChangeContext
    ) -> Sequence[Write]:
        """See CommitGate."""
        policies = () if context.is_own else policies_in(rules)
        if not policies:
            return ()
        return [*rules.guard, *self._tag.check(policies, manifest, tag, context)]

    def close(self) -> None:
        """Wait until events that are queued are written."""
        if "_events" in self.__dict__:
            self._events.close()

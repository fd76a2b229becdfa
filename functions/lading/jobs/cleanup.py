"""Clean-up of one repository: take inventory, evaluate the policies, delete.

A plan names digests, and is not trusted later: to apply it, the repository is evaluated again, and what both select is
deleted unless it has changed meanwhile. Manifests that depend on each other are deleted in one commit. If they are too
many for one, indexes are deleted before their children, so that all visible manifests are complete wherever it stops,
and the next clean-up deletes the rest.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass, field, replace
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Final

from lading.jobs.gc.reviews import CleanUp, ReviewResult
from lading.registry.batches import batches
from lading.registry.change_context import Clock
from lading.registry.cleanup.apply import CleanupTag, CleanupTarget
from lading.registry.cleanup.evaluate import CleanupDecision, evaluate, next_change
from lading.registry.cleanup.graph import Graph, Node
from lading.registry.cleanup.policies import Policy, TagState
from lading.registry.cleanup.policy_json import PolicyError, parse_policies
from lading.registry.in_use import in_use_locations
from lading.registry.lifecycle.delete import TAG_SIZE, fits_in_commit, size_of_manifest
from lading.registry.registry import Registry
from lading.registry.rules.effective import MAX_PARSED, EffectiveRules
from lading.registry.rules.rule_types import CLEANUP, CLEANUP_MODE
from lading_storage.errors import TooLarge, Unavailable
from lading_storage.records.jobs import InUseReport

SCANS: Final = "the scans of images, as vulnerability data"
"""Where vulnerability data is in use, in reasons."""


@dataclass(frozen=True, slots=True)
class CleanupContext:
    """Input of clean-up beside the repository.

    Attributes:
        policies: the clean-up policies, where the registry's rules have none.
        running: the in-use reports.
        now: the time at which the policies are evaluated.
        trial: whether `policies` are used even where the registry's rules have others.
    """

    policies: Sequence[Policy]
    running: Sequence[InUseReport]
    now: datetime
    trial: bool = False

    def policies_of(self, rules: EffectiveRules) -> Sequence[Policy]:
        """Return the policies that apply under some rules: the registry's and the namespace's, or `policies`."""
        return self.policies if self.trial else policies_of(rules, self.policies)


@dataclass(frozen=True, slots=True)
class Plan:
    """The decisions about one repository.

    Attributes:
        rules: the rules of the repository, by which it was made.
        graph: its manifests.
        decisions: one for each manifest.
        policy_by_digest: the name of the policy that deletes a manifest, for each that is to be deleted.
        tag_deletions: the tags to delete while the manifests that they name are kept.
    """

    rules: EffectiveRules
    graph: Graph
    decisions: Sequence[CleanupDecision]
    policy_by_digest: Mapping[str, str]
    tag_deletions: Sequence[CleanupTag] = ()

    @property
    def repository(self) -> str:
        """The name of the repository."""
        return self.rules.repository


@dataclass(slots=True)
class CleanupReport:
    """What clean-up did, or would do, in a repository.

    Attributes:
        repository: the name of the repository.
        kept: how many manifests were kept.
        deleted: how many manifests were deleted.
        changed: how many manifests and tags were to be deleted and were not, since they had changed since the
            inventory, or were not in the given plan.
        manifests_by_policy: how many manifests each policy deleted.
        tags_by_policy: how many tags each policy deleted without their manifests.
        done: whether it finished before it had to stop.
    """

    repository: str
    kept: int = 0
    deleted: int = 0
    changed: int = 0
    manifests_by_policy: Counter[str] = field(default_factory=Counter)
    tags_by_policy: Counter[str] = field(default_factory=Counter)
    done: bool = True


def plan(registry: Registry, repository: str, context: CleanupContext, rules: EffectiveRules | None = None) -> Plan:
    """Take the inventory of a repository, and evaluate the policies. Without `rules`, they are read first."""
    rules = rules or registry.rules.read(repository)
    made = plan_of(rules, registry.inventory.nodes(repository, rules), context)
    data = registry.scans.data_digests() & made.policy_by_digest.keys() if made.policy_by_digest else set()
    if not data:
        return made
    # Images are compared with it, and a source may be none that could give it again.
    in_use = InUseReport(id=SCANS, references=tuple(sorted(data)), reported=context.now)
    return plan_of(rules, made.graph.nodes.values(), replace(context, running=[*context.running, in_use]))


def plan_of(rules: EffectiveRules, nodes: Iterable[Node], context: CleanupContext) -> Plan:
    """Evaluate the policies for the manifests of a repository."""
    repository, graph = rules.repository, Graph(nodes)
    in_use = in_use_locations(context.running, repository, graph.nodes.values())
    decisions = evaluate(repository, graph, context.policies_of(rules), in_use, context.now)
    policy_by_digest = {each.digest: each.policy for each in decisions if not each.kept}
    tags = [CleanupTag(graph.nodes[each.digest], tag, policy) for each in decisions for tag, policy in each.tags]
    return Plan(rules, graph, decisions, policy_by_digest, tags)


def policies_of(rules: EffectiveRules, default: Sequence[Policy]) -> Sequence[Policy]:
    """Return the clean-up policies of a repository: the registry's, or else `default`, and the namespace's."""
    own, namespace = CLEANUP.of(rules.registry), CLEANUP.of(rules.namespace)
    registry = default if own is None else _parsed(str(own))
    return (*registry, *_parsed(str(namespace or "")))


@lru_cache(MAX_PARSED)
def _parsed(text: str) -> tuple[Policy, ...]:
    """Parse policies of the registry's rules. Raises Unavailable: nothing is cleaned up while they cannot be read."""
    try:
        return parse_policies(text) if text else ()
    except PolicyError as error:
        raise Unavailable(f"the registry's clean-up policies cannot be read: {error}") from None


def clean_up(
    registry: Registry,
    repository: str,
    context: CleanupContext,
    apply_plan: bool,
    stop: Callable[[], bool] = lambda: False,
) -> CleanupReport:
    """Plan the clean-up of a repository, and apply the plan if `apply_plan`, else preview it."""
    planned = plan(registry, repository, context)
    return apply(registry, planned, stop=stop) if apply_plan else preview(planned)


@dataclass(frozen=True, slots=True)
class PolicyCleanUp:
    """Clean-up as a part of a collection, with the in-use reports of that time: see CleanUp.

    Attributes:
        registry: the registry.
        policies: the clean-up policies, where the registry's rules have none.
        applied: whether plans are applied, or only counted, where the registry's rules do not say.
        clock: returns the current time.
    """

    registry: Registry
    policies: Sequence[Policy]
    applied: bool
    clock: Clock

    def rules_digest(self) -> str:
        """Return a digest of the policies, the rules for immutable tags, and the in-use reports.

        It is stored, and a new one makes all repositories due. So it covers values without the names of their classes
        and fields, which another release may change; and of this process's own only those that apply, so that it is
        the same in a server and in a command beside it.
        """
        in_use = [(each.id, each.references) for each in self.registry.in_use_reports.all()]
        recorded = self.registry.rules.read_all()
        policies = [astuple(each) for each in self.policies] if CLEANUP.of(recorded.registry) is None else []
        applied = self.applied and CLEANUP_MODE.of(recorded.registry) is None
        rules = (policies, applied, astuple(recorded.additional_immutable), in_use, *recorded.values())
        return hashlib.sha256(json.dumps(rules, default=_as_text).encode()).hexdigest()

    def run(self, repository: str, stop: Callable[[], bool]) -> ReviewResult:
        """Apply the policies to a repository, or preview them; see CleanUp.run."""
        rules = self.registry.rules.read(repository)
        policies, applied = policies_of(rules, self.policies), rules.applies_cleanup(self.applied)
        if not any(policy.deletes and policy.condition.covers(repository) for policy in policies):
            return ReviewResult({})
        context = CleanupContext(self.policies, self.registry.in_use_reports.all(), self.clock())
        planned = plan(self.registry, repository, context, rules)
        report = apply(self.registry, planned, stop=stop) if applied else preview(planned)
        verb = "deleted" if applied else "would be deleted"
        counts = Counter(
            {f"manifests {verb} by policy {name}": count for name, count in report.manifests_by_policy.items()}
        )
        counts.update({f"tags {verb} by policy {name}": count for name, count in report.tags_by_policy.items()})
        if report.done:
            counts["manifests kept by policies"] = report.kept
            counts["manifests changed meanwhile"] = report.changed
        changed = applied and bool(report.deleted or report.changed or report.tags_by_policy)
        next_review = next_change(repository, planned.graph, policies, context.now)
        return ReviewResult(+counts, report.done, changed, next_review)


def in_collection(registry: Registry, policies: Sequence[Policy], applied: bool, clock: Clock) -> CleanUp:
    """Return clean-up as a part of a collection; see PolicyCleanUp."""
    return PolicyCleanUp(registry, policies, applied, clock)


def preview(planned: Plan) -> CleanupReport:
    """Return the report that applying a plan would give."""
    return CleanupReport(
        planned.repository,
        len(planned.decisions) - len(planned.policy_by_digest),
        len(planned.policy_by_digest),
        manifests_by_policy=Counter(planned.policy_by_digest.values()),
        tags_by_policy=Counter(each.policy for each in planned.tag_deletions),
    )


def apply(
    registry: Registry, planned: Plan, only: Iterable[str] | None = None, stop: Callable[[], bool] = lambda: False
) -> CleanupReport:
    """Delete what a new plan selects, until `stop`; a caller that plans again continues.

    Args:
        registry: the registry.
        planned: a plan that was made just now.
        only: the digests of manifests, and the references of tags (see `tag_reference`), that may be deleted; None for
            all.
        stop: whether to stop before the next commit; at least one is done.
    """
    report = CleanupReport(planned.repository, kept=len(planned.decisions) - len(planned.policy_by_digest))
    excluded: set[str] = set()
    tags = planned.tag_deletions
    if only is not None:
        # A scan may have replaced the documents since: those that there are now go with their image all the same.
        only = {*only, *registry.scans.documents_of(planned.repository, planned.policy_by_digest.keys() & {*only})}
        excluded = set(planned.graph.reachable(set(planned.policy_by_digest) - only))
        tags = [each for each in planned.tag_deletions if tag_reference(each.tag, each.node.digest) in only]
    report.changed = len(planned.tag_deletions) - len(tags)
    for batch in batches(tags, lambda each: TAG_SIZE):
        if report.tags_by_policy and stop():
            report.done = False
            return report
        deleted_tags = registry.cleanup_deletion.delete_tags(batch, planned.rules)
        report.tags_by_policy.update(each.policy for each in deleted_tags)
        report.changed += len(batch) - len(deleted_tags)
    for targets in _commit_batches(_groups(planned)):
        if report.deleted + report.changed + report.tags_by_policy.total() and stop():
            report.done = False
            break
        allowed = [each for each in targets if each.node.digest not in excluded]
        deleted = _delete(registry, planned, allowed, excluded)
        report.deleted += len(deleted)
        report.changed += len(targets) - len(deleted)
        report.manifests_by_policy.update(each.policy for each in deleted)
    return report


def tag_reference(tag: str, digest: str) -> str:
    """Return how a plan names a tag that is deleted without its manifest."""
    return f"{tag}@{digest}"


def _as_text(value: TagState | timedelta) -> str:
    """Return the value of a policy's field as text, which does not change with names in the source."""
    return value.value if isinstance(value, TagState) else str(value)


def _groups(planned: Plan) -> Iterator[list[CleanupTarget]]:
    """Yield the manifests to delete in groups that depend on each other; the first of each restores the others."""
    for group in planned.graph.deletion_groups(planned.policy_by_digest):
        yield [
            CleanupTarget(
                planned.graph.nodes[digest],
                planned.policy_by_digest[digest],
                group[0],
                _dependent_tags(planned, digest),
            )
            for digest in group
        ]


def _dependent_tags(planned: Plan, digest: str) -> tuple[tuple[str, str], ...]:
    """Return the referrer tags of a digest that name a kept manifest, with its digest; without immutable ones."""
    nodes = planned.graph.nodes
    return tuple(
        (tag, target)
        for tag, target in planned.graph.referrer_tags(digest)
        if target not in planned.policy_by_digest and tag not in nodes[target].immutable_tags
    )


def _delete(registry: Registry, planned: Plan, targets: list[CleanupTarget], kept: set[str]) -> list[CleanupTarget]:
    """Delete manifests in one commit, or in halves if they are too large for one, indexes before their children.

    Manifests that have changed meanwhile are added to `kept`, with all that they hold.

    Returns:
        What was deleted.
    """
    try:
        return _delete_in_one_commit(registry, planned, targets, kept)
    except TooLarge:
        if len(targets) == 1:
            raise
        half = len(targets) // 2
        first = _delete(registry, planned, targets[:half], kept)
        return first + _delete(
            registry, planned, [each for each in targets[half:] if each.node.digest not in kept], kept
        )


def _delete_in_one_commit(
    registry: Registry, planned: Plan, targets: list[CleanupTarget], kept: set[str]
) -> list[CleanupTarget]:
    while targets:
        changed = registry.cleanup_deletion.delete(targets, planned.rules)
        if not changed:
            break
        kept.update(planned.graph.reachable(changed))
        targets = [each for each in targets if each.node.digest not in kept]
    return targets


def _commit_batches(groups: Iterable[list[CleanupTarget]]) -> Iterator[list[CleanupTarget]]:
    """Yield batches that fit into one commit: whole groups, or parts of a group that is too large for one."""
    batch: list[CleanupTarget] = []
    for group in groups:
        for part in [group] if _fit_in_one_commit(group) else [[each] for each in group]:
            if batch and not _fit_in_one_commit(batch + part):
                yield batch
                batch = []
            batch = batch + part
    if batch:
        yield batch


def _fit_in_one_commit(targets: Sequence[CleanupTarget]) -> bool:
    nodes = [each.node for each in targets]
    tags = sum(len(each.node.tags) + len(each.dangling) for each in targets)
    size = sum(size_of_manifest(node.size, len(node.blobs)) for node in nodes) + TAG_SIZE * tags
    return fits_in_commit(len(nodes) + tags, size)

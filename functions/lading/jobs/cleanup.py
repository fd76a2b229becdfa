"""Clean-up of one repository: look, decide, delete, each by rules of the registry.

What is planned names digests, and is never trusted later: whoever applies a plan looks and decides anew, and deletes
what both want, where nothing has come in between. What hangs together is deleted in one commit, unless it is too much
for one; then holders go before what they hold, so that whatever can be seen is whole wherever it stops, and the next
clean-up takes what was left.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from lading.jobs.gc.reviews import CleanUp, ReviewResult
from lading.registry.batches import batches
from lading.registry.change_context import Clock
from lading.registry.cleanup.apply import CleanupTag, CleanupTarget
from lading.registry.cleanup.evaluate import CleanupDecision, evaluate, next_change
from lading.registry.cleanup.graph import Graph
from lading.registry.cleanup.in_use import in_use_locations
from lading.registry.cleanup.policies import Policy
from lading.registry.lifecycle.delete import TAG_SIZE, fits_in_commit, size_of_manifest
from lading.registry.registry import Registry
from lading_storage.errors import TooLarge
from lading_storage.records.jobs import InUseReport


@dataclass(frozen=True, slots=True)
class CleanupContext:
    """What clean-up goes by: policies, what runs, and the time."""

    policies: Sequence[Policy]
    running: Sequence[InUseReport]
    now: datetime


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to become of each manifest of a repository.

    rules  the name of the policy by which each goes that goes, by digest
    tags   those that go alone: what they name stays
    """

    repository: str
    graph: Graph
    verdicts: Sequence[CleanupDecision]
    policy_by_digest: Mapping[str, str]
    tag_deletions: Sequence[CleanupTag] = ()


@dataclass(slots=True)
class CleanupReport:
    """What was done in a repository.

    kept, deleted  manifests
    changed        of those that were to go, how many had changed since the look, or did not stand in the given plan;
                   and of the tags that were to go alone
    rules          how many manifests each policy deleted
    tags           how many tags each policy deleted alone
    done           whether all was done before it had to stop
    """

    repository: str
    kept: int = 0
    deleted: int = 0
    changed: int = 0
    manifests_by_policy: Counter[str] = field(default_factory=Counter)
    tags_by_policy: Counter[str] = field(default_factory=Counter)
    done: bool = True


def plan(registry: Registry, repository: str, context: CleanupContext) -> Plan:
    """Look at a repository, and decide."""
    graph = Graph(registry.inventory.nodes(repository))
    runs = in_use_locations(context.running, repository, graph.nodes.values())
    verdicts = evaluate(repository, graph, context.policies, runs, context.now)
    going = {each.digest: each.policy for each in verdicts if not each.kept}
    tags = [CleanupTag(graph.nodes[each.digest], tag, rule) for each in verdicts for tag, rule in each.tags]
    return Plan(repository, graph, verdicts, going, tags)


def clean_up(
    registry: Registry,
    repository: str,
    context: CleanupContext,
    apply_plan: bool,
    stop: Callable[[], bool] = lambda: False,
) -> CleanupReport:
    """Plan, and where it is to be `apply_plan`, apply."""
    made = plan(registry, repository, context)
    return apply(registry, made, stop=stop) if apply_plan else preview(made)


@dataclass(frozen=True, slots=True)
class PolicyCleanUp:
    """Clean-up as collection does it, with what runs at that time: see CleanUp.

    applied  whether what is to go is deleted, or only counted
    """

    registry: Registry
    policies: Sequence[Policy]
    applied: bool
    clock: Clock

    def rules_digest(self) -> str:
        """See CleanUp.rules: policies, immutable tags, and what runs."""
        runs = [(each.id, each.references) for each in self.registry.in_use_reports.all()]
        told = (self.policies, self.applied, self.registry.tags.immutable, runs)
        return hashlib.sha256(repr(told).encode()).hexdigest()

    def run(self, repository: str, stop: Callable[[], bool]) -> ReviewResult:
        """See CleanUp.look."""
        if not any(policy.deletes and policy.condition.covers(repository) for policy in self.policies):
            return ReviewResult({})
        rules = CleanupContext(self.policies, self.registry.in_use_reports.all(), self.clock())
        made = plan(self.registry, repository, rules)
        report = apply(self.registry, made, stop=stop) if self.applied else preview(made)
        word = "deleted" if self.applied else "would be deleted"
        counts = Counter(
            {f"manifests {word} by policy {name}": count for name, count in report.manifests_by_policy.items()}
        )
        counts.update({f"tags {word} by policy {name}": count for name, count in report.tags_by_policy.items()})
        if report.done:
            counts["manifests kept by policies"] = report.kept
            counts["manifests changed meanwhile"] = report.changed
        changed = self.applied and bool(report.deleted or report.changed or report.tags_by_policy)
        following = next_change(repository, made.graph, self.policies, rules.now)
        return ReviewResult(+counts, report.done, changed, following)


def in_collection(registry: Registry, policies: Sequence[Policy], applied: bool, clock: Clock) -> CleanUp:
    """Return clean-up as collection does it."""
    return PolicyCleanUp(registry, policies, applied, clock)


def preview(planned: Plan) -> CleanupReport:
    """What applying a plan would do."""
    return CleanupReport(
        planned.repository,
        len(planned.verdicts) - len(planned.policy_by_digest),
        len(planned.policy_by_digest),
        manifests_by_policy=Counter(planned.policy_by_digest.values()),
        tags_by_policy=Counter(each.policy for each in planned.tag_deletions),
    )


def apply(
    registry: Registry, planned: Plan, only: Iterable[str] | None = None, stop: Callable[[], bool] = lambda: False
) -> CleanupReport:
    """Delete what a fresh plan says, one commit at least, until `stop`: whoever plans again goes on.

    `only` are the digests that may go, and the tags that may go alone, as `named`; None for all.
    """
    report = CleanupReport(planned.repository, kept=len(planned.verdicts) - len(planned.policy_by_digest))
    spared: set[str] = set()
    tags = planned.tag_deletions
    if only is not None:
        only = set(only)
        spared = set(planned.graph.reachable(set(planned.policy_by_digest) - only))
        tags = [each for each in planned.tag_deletions if tag_reference(each.tag, each.node.digest) in only]
    report.changed = len(planned.tag_deletions) - len(tags)
    for batch in batches(tags, lambda each: TAG_SIZE):
        if report.tags_by_policy and stop():
            report.done = False
            return report
        gone = registry.cleanup_deletion.delete_tags(planned.repository, batch)
        report.tags_by_policy.update(each.policy for each in gone)
        report.changed += len(batch) - len(gone)
    for some in _commit_batches(_groups(planned)):
        if report.deleted + report.changed + report.tags_by_policy.total() and stop():
            report.done = False
            break
        going = _delete(registry, planned, [each for each in some if each.node.digest not in spared], spared)
        report.deleted += len(going)
        report.changed += len(some) - len(going)
        report.manifests_by_policy.update(each.policy for each in going)
    return report


def tag_reference(tag: str, digest: str) -> str:
    """Return how a plan names a tag that goes alone."""
    return f"{tag}@{digest}"


def _groups(planned: Plan) -> Iterator[list[CleanupTarget]]:
    """What goes, in groups that hang together; the first of each is what the others are restored with."""
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
    """The tags that are made of a digest and name what stays, but for immutable ones; each with what it names."""
    nodes = planned.graph.nodes
    return tuple(
        (tag, named)
        for tag, named in planned.graph.referrer_tags(digest)
        if named not in planned.policy_by_digest and tag not in nodes[named].immutable_tags
    )


def _delete(registry: Registry, planned: Plan, doomed: list[CleanupTarget], kept: set[str]) -> list[CleanupTarget]:
    """Delete manifests in one commit, or, where they are too large for one, in halves, holders first.

    Returns what was deleted: without what has changed, which is spared with what it holds.
    """
    try:
        return _delete_in_one_commit(registry, planned, doomed, kept)
    except TooLarge:
        if len(doomed) == 1:
            raise
        half = len(doomed) // 2
        first = _delete(registry, planned, doomed[:half], kept)
        return first + _delete(
            registry, planned, [each for each in doomed[half:] if each.node.digest not in kept], kept
        )


def _delete_in_one_commit(
    registry: Registry, planned: Plan, doomed: list[CleanupTarget], kept: set[str]
) -> list[CleanupTarget]:
    while doomed:
        changed = registry.cleanup_deletion.delete(planned.repository, doomed)
        if not changed:
            break
        kept.update(planned.graph.reachable(changed))
        doomed = [each for each in doomed if each.node.digest not in kept]
    return doomed


def _commit_batches(groups: Iterable[list[CleanupTarget]]) -> Iterator[list[CleanupTarget]]:
    """What is deleted in one commit each: whole groups, and of a group that is too much for one as many as fit."""
    portion: list[CleanupTarget] = []
    for group in groups:
        for part in [group] if _fit_in_one_commit(group) else [[each] for each in group]:
            if portion and not _fit_in_one_commit(portion + part):
                yield portion
                portion = []
            portion = portion + part
    if portion:
        yield portion


def _fit_in_one_commit(doomed: Sequence[CleanupTarget]) -> bool:
    nodes = [each.node for each in doomed]
    tags = sum(len(each.node.tags) + len(each.dangling) for each in doomed)
    size = sum(size_of_manifest(node.size, len(node.blobs)) for node in nodes) + TAG_SIZE * tags
    return fits_in_commit(len(nodes) + tags, size)

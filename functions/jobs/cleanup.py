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

from functions.jobs.reviews import CleanUp, Look
from functions.registry.acts import Clock
from functions.registry.batches import batches
from functions.registry.cleanup import Verdict, decide, next_change
from functions.registry.deletion import TAG_SIZE, fits, size_of_manifest
from functions.registry.expiry import Doomed, DoomedTag
from functions.registry.graph import Graph
from functions.registry.policies import Policy
from functions.registry.registry import Registry
from functions.registry.running import what_runs
from storage.errors import TooLarge
from storage.upkeep import Running


@dataclass(frozen=True, slots=True)
class Rules:
    """What clean-up goes by: policies, what runs, and the time."""

    policies: Sequence[Policy]
    running: Sequence[Running]
    now: datetime


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to become of each manifest of a repository.

    rules  the name of the policy by which each goes that goes, by digest
    tags   those that go alone: what they name stays
    """

    repository: str
    graph: Graph
    verdicts: Sequence[Verdict]
    rules: Mapping[str, str]
    tags: Sequence[DoomedTag] = ()


@dataclass(slots=True)
class Report:
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
    rules: Counter[str] = field(default_factory=Counter)
    tags: Counter[str] = field(default_factory=Counter)
    done: bool = True


def plan(registry: Registry, repository: str, rules: Rules) -> Plan:
    """Look at a repository, and decide."""
    graph = Graph(registry.inventory.nodes(repository))
    runs = what_runs(rules.running, repository, graph.nodes.values())
    verdicts = decide(repository, graph, rules.policies, runs, rules.now)
    going = {each.digest: each.rule for each in verdicts if not each.kept}
    tags = [DoomedTag(graph.nodes[each.digest], tag, rule) for each in verdicts for tag, rule in each.tags]
    return Plan(repository, graph, verdicts, going, tags)


def clean_up(
    registry: Registry, repository: str, rules: Rules, applied: bool, stop: Callable[[], bool] = lambda: False
) -> Report:
    """Plan, and where it is to be `applied`, apply."""
    made = plan(registry, repository, rules)
    return apply(registry, made, stop=stop) if applied else preview(made)


@dataclass(frozen=True, slots=True)
class InCollection:
    """Clean-up as collection does it, with what runs at that time: see CleanUp.

    applied  whether what is to go is deleted, or only counted
    """

    registry: Registry
    policies: Sequence[Policy]
    applied: bool
    clock: Clock

    def rules(self) -> str:
        """See CleanUp.rules: policies, immutable tags, and what runs."""
        runs = [(each.id, each.references) for each in self.registry.running.all()]
        told = (self.policies, self.applied, self.registry.tags.immutable, runs)
        return hashlib.sha256(repr(told).encode()).hexdigest()

    def look(self, repository: str, stop: Callable[[], bool]) -> Look:
        """See CleanUp.look."""
        if not any(policy.deletes and policy.where.covers(repository) for policy in self.policies):
            return Look({})
        rules = Rules(self.policies, self.registry.running.all(), self.clock())
        made = plan(self.registry, repository, rules)
        report = apply(self.registry, made, stop=stop) if self.applied else preview(made)
        word = "deleted" if self.applied else "would be deleted"
        counts = Counter({f"manifests {word} by policy {name}": count for name, count in report.rules.items()})
        counts.update({f"tags {word} by policy {name}": count for name, count in report.tags.items()})
        if report.done:
            counts["manifests kept by policies"] = report.kept
            counts["manifests changed meanwhile"] = report.changed
        changed = self.applied and bool(report.deleted or report.changed or report.tags)
        following = next_change(repository, made.graph, self.policies, rules.now)
        return Look(+counts, report.done, changed, following)


def in_collection(registry: Registry, policies: Sequence[Policy], applied: bool, clock: Clock) -> CleanUp:
    """Return clean-up as collection does it."""
    return InCollection(registry, policies, applied, clock)


def preview(made: Plan) -> Report:
    """What applying a plan would do."""
    return Report(
        made.repository,
        len(made.verdicts) - len(made.rules),
        len(made.rules),
        rules=Counter(made.rules.values()),
        tags=Counter(each.policy for each in made.tags),
    )


def apply(
    registry: Registry, made: Plan, only: Iterable[str] | None = None, stop: Callable[[], bool] = lambda: False
) -> Report:
    """Delete what a fresh plan says, one commit at least, until `stop`: whoever plans again goes on.

    `only` are the digests that may go, and the tags that may go alone, as `named`; None for all.
    """
    report = Report(made.repository, kept=len(made.verdicts) - len(made.rules))
    spared: set[str] = set()
    tags = made.tags
    if only is not None:
        only = set(only)
        spared = set(made.graph.below(set(made.rules) - only))
        tags = [each for each in made.tags if named(each.tag, each.node.digest) in only]
    report.changed = len(made.tags) - len(tags)
    for batch in batches(tags, lambda each: TAG_SIZE):
        if report.tags and stop():
            report.done = False
            return report
        gone = registry.expiry.delete_tags(made.repository, batch)
        report.tags.update(each.policy for each in gone)
        report.changed += len(batch) - len(gone)
    for some in _portions(_groups(made)):
        if report.deleted + report.changed + report.tags.total() and stop():
            report.done = False
            break
        going = _delete(registry, made, [each for each in some if each.node.digest not in spared], spared)
        report.deleted += len(going)
        report.changed += len(some) - len(going)
        report.rules.update(each.policy for each in going)
    return report


def named(tag: str, digest: str) -> str:
    """Return how a plan names a tag that goes alone."""
    return f"{tag}@{digest}"


def _groups(made: Plan) -> Iterator[list[Doomed]]:
    """What goes, in groups that hang together; the first of each is what the others are restored with."""
    for group in made.graph.downward(made.rules):
        yield [
            Doomed(made.graph.nodes[digest], made.rules[digest], group[0], _dangling(made, digest)) for digest in group
        ]


def _dangling(made: Plan, digest: str) -> tuple[tuple[str, str], ...]:
    """The tags that are made of a digest and name what stays, but for immutable ones; each with what it names."""
    nodes = made.graph.nodes
    return tuple(
        (tag, named)
        for tag, named in made.graph.made_of(digest)
        if named not in made.rules and tag not in nodes[named].immutable
    )


def _delete(registry: Registry, made: Plan, going: list[Doomed], spared: set[str]) -> list[Doomed]:
    """Delete manifests in one commit, or, where they are too large for one, in halves, holders first.

    Returns what was deleted: without what has changed, which is spared with what it holds.
    """
    try:
        return _delete_together(registry, made, going, spared)
    except TooLarge:
        if len(going) == 1:
            raise
        half = len(going) // 2
        first = _delete(registry, made, going[:half], spared)
        return first + _delete(
            registry, made, [each for each in going[half:] if each.node.digest not in spared], spared
        )


def _delete_together(registry: Registry, made: Plan, going: list[Doomed], spared: set[str]) -> list[Doomed]:
    while going:
        changed = registry.expiry.delete(made.repository, going)
        if not changed:
            break
        spared.update(made.graph.below(changed))
        going = [each for each in going if each.node.digest not in spared]
    return going


def _portions(groups: Iterable[list[Doomed]]) -> Iterator[list[Doomed]]:
    """What is deleted in one commit each: whole groups, and of a group that is too much for one as many as fit."""
    portion: list[Doomed] = []
    for group in groups:
        for part in [group] if _fit(group) else [[each] for each in group]:
            if portion and not _fit(portion + part):
                yield portion
                portion = []
            portion = portion + part
    if portion:
        yield portion


def _fit(doomed: Sequence[Doomed]) -> bool:
    nodes = [each.node for each in doomed]
    tags = sum(len(each.node.tags) + len(each.dangling) for each in doomed)
    size = sum(size_of_manifest(node.size, len(node.blobs)) for node in nodes) + TAG_SIZE * tags
    return fits(len(nodes) + tags, size)

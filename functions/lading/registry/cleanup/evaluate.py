"""Evaluate clean-up policies: decide which manifests of a repository are kept and which are deleted, and why.

    1. A manifest that a Keep policy selects is kept, and so is one that is in use.
    2. An independent manifest (see graph) that no Delete policy selects is kept. If policies select some of its tags
       but not all, or none that it got within a day of its creation, it is kept, and only these tags are deleted: any
       client that may push can give such a tag to any manifest.
    3. A manifest with an immutable tag is kept, unless the policy may delete immutable tags.
    4. What a kept manifest retains is kept: an index's children, a subject's referrers.
    5. Everything else is deleted: what a Delete policy selects, and what that cascades to. This includes a manifest
       whose parents were deleted earlier by a policy that cascades to it.

So nothing is deleted unless a policy deletes it, Keep policies win, and the order of policies and manifests affects
only the reasons.
"""

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from lading.registry.cleanup.graph import Graph, Node
from lading.registry.cleanup.last_pulled import MIN_WRITE_INTERVAL
from lading.registry.cleanup.policies import Condition, Policy, Version

TICK: Final = timedelta(microseconds=1)

PUSH_GRACE_PERIOD: Final = timedelta(hours=1)
"""How long a manifest without a tag is kept: the client may push the index or the tag that references it later."""


@dataclass(frozen=True, slots=True)
class CleanupDecision:
    """Decision on a manifest.

    policy  name of the policy that decides, or ""
    reason  text for people
    tags    tags to delete although it is kept, each with the name of the policy
    """

    digest: str
    kept: bool
    policy: str
    reason: str
    tags: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class _Reason:
    policy: str
    text: str


NO_POLICY: Final = _Reason("", "no policy deletes it")
SOME_TAGS: Final = _Reason("", "policies delete only some of its tags")
LATE_TAGS: Final = _Reason("", "policies select only tags that it got more than a day after its creation")
SEPARATE_BUILD: Final = _Reason("", "no policy deletes it, and no index that references it is of the same build")
RECENTLY_PUSHED: Final = _Reason("", "it was pushed within the last hour, and its index or tag may still be pushed")


def evaluate(
    repository: str, graph: Graph, policies: Sequence[Policy], in_use: Mapping[str, str], now: datetime
) -> list[CleanupDecision]:
    """Return the decision on each manifest, sorted by digest.

    Args:
        repository: its name.
        graph: of all its manifests.
        policies: of all repositories.
        in_use: digests in use, each with where.
        now: the time of the evaluation.
    """
    return _Evaluator(graph, [policy for policy in policies if policy.condition.covers(repository)], now).evaluate(
        in_use
    )


def next_change(repository: str, graph: Graph, policies: Sequence[Policy], now: datetime) -> datetime | None:
    """Return the next time at which a decision can change without a push, or None: only ages make a difference."""
    conditions = [policy.condition for policy in policies if policy.condition.covers(repository)]
    ages = {age for each in conditions for age in (each.older_than, each.newer_than) if age is not None}
    stale = {each.stale_for for each in conditions if each.stale_for is not None}
    # An age has to be exceeded, so nothing changes before the next tick.
    times = (
        since + age + TICK
        for version in _versions(graph).values()
        for since, spans in (
            (version.created, ages if version.tags else ages | {PUSH_GRACE_PERIOD}),
            (version.last_used, stale),
        )
        for age in spans
    )
    return min((time for time in times if time > now), default=None)


class _Evaluator:
    """Evaluation of one repository, by the policies that cover it."""

    def __init__(self, graph: Graph, policies: Sequence[Policy], now: datetime) -> None:
        self._graph = graph
        self._keeps = [policy for policy in policies if not policy.deletes and policy.keep_count is None]
        self._counts = [policy for policy in policies if policy.keep_count is not None]
        self._deletes = [policy for policy in policies if policy.deletes]
        self._now = now
        self._versions = _versions(graph)
        self._selecting_policies = {digest: self._policies(digest) for digest in graph.independent}

    def evaluate(self, in_use: Mapping[str, str]) -> list[CleanupDecision]:
        """Return the decisions. See the function `evaluate`."""
        deleting = {
            digest: policy
            for digest in self._graph.independent
            if (policy := self._deleting_policy(digest)) is not None
        }
        # Of several reasons, the rightmost mapping's is reported.
        protected = self._kept() | self._in_use(in_use)
        keep_reasons = self._not_deleted(deleting) | self._immutable(deleting) | protected
        kept = self._graph.reachable(sorted(keep_reasons))
        deleted = self._graph.cascade(sorted(set(deleting) - set(kept)))
        delete_reasons = {digest: self._reason(policy) for digest, policy in deleting.items()}
        untagged = self._deleted_tags(kept.keys() - deleting.keys() - self._graph.reachable(protected).keys(), kept)
        return [
            self._decision(digest, True, kept[digest], keep_reasons, untagged.get(digest, ()))
            if digest in kept
            else self._decision(digest, False, deleted[digest], delete_reasons)
            for digest in self._graph.nodes
        ]

    def _policies(self, digest: str) -> Sequence[Policy]:
        """Return the Delete policies that select an independent manifest, or some of its tags."""
        if self._is_mid_push(self._graph.nodes[digest]):
            return ()
        return [policy for policy in self._deletes if policy.condition.matches(self._versions[digest], self._now)]

    def _deleting_policy(self, digest: str) -> Policy | None:
        """Return the policy that deletes an independent manifest, or None.

        Of several it is the first, and one that may delete immutable tags takes precedence.
        """
        node, selecting = self._graph.nodes[digest], self._selecting_policies[digest]
        sufficient = [policy for policy in selecting if self._selects_all(digest, [policy])]
        if sufficient:
            return min(sufficient, key=lambda policy: not policy.immutable)
        if selecting and self._selects_all(digest, selecting):
            # Only together do they select all tags: if one may not delete immutable tags, these are kept.
            return max(selecting, key=lambda policy: not policy.immutable)
        if node.orphaned_by and not node.independent_tags and not self._is_mid_push(node):
            # A deletion was interrupted, or the manifest was pushed a moment too late for the cascade.
            return Policy(node.orphaned_by, True, Condition())
        return None

    def _selects_all(self, digest: str, policies: Sequence[Policy]) -> bool:
        """Return whether policies select a manifest as a whole, or all of its tags, at least one of which is not late.

        Tags that attach it count as its own if it has no other.
        """
        if not all(policy.condition.applies_to_tags for policy in policies):
            return True
        node, selected = self._graph.nodes[digest], self._selected_tags(digest, policies)
        original_tags = {*node.own_tags, *node.attaching_tags}.difference(node.late_tags)
        return selected.issuperset(node.own_tags or node.attaching_tags) and not selected.isdisjoint(original_tags)

    def _selected_tags(self, digest: str, policies: Iterable[Policy]) -> set[str]:
        version = self._versions[digest]
        return {tag for policy in policies for tag in policy.condition.selected_tags(version)}

    def _deleted_tags(self, digests: Iterable[str], kept: Container[str]) -> dict[str, tuple[tuple[str, str], ...]]:
        """Return the tags to delete of manifests that are kept, each with the policy that deletes it.

        A referrer tag of a `kept` manifest is kept: clients find signatures by it.
        """
        deleted: dict[str, tuple[tuple[str, str], ...]] = {}
        for digest in digests:
            tags: dict[str, str] = {}
            for policy in self._selecting_policies.get(digest, ()):
                immutable = () if policy.immutable else self._graph.nodes[digest].immutable_tags
                selected = self._selected_tags(digest, [policy]).difference(immutable)
                selected = {tag for tag in selected if self._graph.subject_of(tag) not in kept}
                tags = dict.fromkeys(selected, policy.name) | tags
            deleted[digest] = tuple(sorted(tags.items()))
        return deleted

    def _reason(self, policy: Policy) -> _Reason:
        prefix = "" if policy in self._deletes else "its parent was deleted by "
        return _Reason(policy.name, f"{prefix}policy '{policy.name}'")

    def _in_use(self, in_use: Mapping[str, str]) -> dict[str, _Reason]:
        """Return the manifests in use, and the indexes that reference them: a restart pulls the index again."""
        users = self._graph.with_parent_indexes(sorted(set(in_use) & set(self._graph.nodes)))
        return {
            digest: _Reason("", f"{'it' if used == digest else f'{used}, below it,'} is in use {in_use[used]}")
            for digest, used in users.items()
        }

    def _kept(self) -> dict[str, _Reason]:
        kept = {
            digest: policy
            for policy in reversed(self._keeps)
            for digest, version in self._versions.items()
            if policy.condition.matches(version, self._now)
        }
        versions = self._complete_versions()
        for policy in reversed(self._counts):
            kept = dict.fromkeys(self._newest(policy, versions), policy) | kept
        return {digest: _Reason(policy.name, f"policy '{policy.name}'") for digest, policy in kept.items()}

    def _complete_versions(self) -> list[Version]:
        """Return all that counts as a version, newest first, without manifests whose index may still be pushed."""
        nodes = self._graph.nodes
        digests = (each for each in nodes if self._graph.is_version(each) and not self._is_mid_push(nodes[each]))
        versions = [self._versions[digest] for digest in digests]
        return sorted(versions, key=lambda each: (each.created, bool(self._graph.indexes(each.digest))), reverse=True)

    def _newest(self, policy: Policy, versions: Iterable[Version]) -> Iterator[str]:
        """Yield the newest versions that a policy keeps; a child of a counted index does not count itself."""
        counted = [version.digest for version in versions if policy.condition.matches(version, self._now)]
        indexes, remaining = set(counted), policy.keep_count or 0
        for digest in counted:
            if remaining:
                yield digest
                remaining -= indexes.isdisjoint(self._graph.indexes(digest))

    def _immutable(self, deleting: Mapping[str, Policy]) -> dict[str, _Reason]:
        deletable = self._graph.cascade(sorted(digest for digest, policy in deleting.items() if policy.immutable))
        return {
            digest: _Reason("", f"its tag {min(node.immutable_tags)} is immutable, and no policy may delete that")
            for digest, node in self._graph.nodes.items()
            if node.immutable_tags and digest not in deletable
        }

    def _not_deleted(self, deleting: Mapping[str, Policy]) -> dict[str, _Reason]:
        """Return the independent manifests that no policy deletes."""
        return {digest: self._keep_reason(digest) for digest in self._graph.independent if digest not in deleting}

    def _keep_reason(self, digest: str) -> _Reason:
        if self._is_mid_push(self._graph.nodes[digest]):
            return RECENTLY_PUSHED
        node = self._graph.nodes[digest]
        if selecting := self._selecting_policies[digest]:
            selected = self._selected_tags(digest, selecting)
            return LATE_TAGS if selected.issuperset(node.own_tags or node.attaching_tags) else SOME_TAGS
        return SEPARATE_BUILD if self._graph.indexes(digest) and not node.own_tags else NO_POLICY

    def _is_mid_push(self, node: Node) -> bool:
        """Return whether a manifest has no tag of its own, and the client may still push one, or its index."""
        return not node.own_tags and self._now - node.created < PUSH_GRACE_PERIOD

    def _decision(
        self,
        digest: str,
        kept: bool,
        path: tuple[str, str],
        reasons: Mapping[str, _Reason],
        tags: tuple[tuple[str, str], ...] = (),
    ) -> CleanupDecision:
        parent, root = path
        reason = reasons[root]
        if not parent:
            return CleanupDecision(digest, kept, reason.policy, reason.text, tags)
        relation = "child" if digest in self._graph.nodes[parent].children else "referrer"
        position = f"{relation} of {parent}"
        if parent != root:
            position = f"{position}, below {root}"
        return CleanupDecision(digest, kept, reason.policy, f"{position}: {reason.text}", tags)


def _versions(graph: Graph) -> dict[str, Version]:
    """Return each manifest as policies see it. A pull of a manifest counts for the indexes that reference it as well.

    Pulls are not recorded again within MIN_WRITE_INTERVAL, so the last one may be as much later than its record.
    """
    pulls = {digest: node.pulled for digest, node in graph.nodes.items() if node.pulled is not None}
    latest = graph.with_parent_indexes(sorted(pulls, key=lambda digest: (pulls[digest], digest), reverse=True))
    return {
        digest: Version(
            digest=digest,
            tags=node.own_tags,
            referrer_tags=node.referrer_tags,
            created=node.created,
            last_used=max(node.created, pulls[latest[digest]] + MIN_WRITE_INTERVAL)
            if digest in latest
            else node.created,
        )
        for digest, node in graph.nodes.items()
    }

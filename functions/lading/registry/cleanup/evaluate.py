"""What clean-up decides of each manifest of a repository, and why.

    1. A manifest that a Keep policy applies to stays, and so does what runs.
    2. Of what stands in the graph, what no Delete policy applies to stays. Where policies mean some of its tags and not
       all, or none of these was given to it within a day of its creation, it stays, and these tags alone go: anyone who
       may push can give any manifest such a tag.
    3. What an immutable tag names stays, unless the policy says that it may go.
    4. Whatever is held by what stays, stays: an index's children, a subject's referrers.
    5. All else goes: what a Delete policy applies to, and what is taken along, or was when that went, by that alone.

So nothing goes that no policy deletes, keeping wins, and no order of policies or manifests matters but in the words.
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
"""So long a manifest without a tag stays: the index or the tag that will name it may be on its way."""


@dataclass(frozen=True, slots=True)
class CleanupDecision:
    """What becomes of a manifest.

    rule  the name of the policy that decided, or "" where none did
    why   in words
    tags  those that go although it is kept, each with the name of the policy
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


NO_POLICY: Final = _Reason("", "no rule deletes it")
SOME_TAGS: Final = _Reason("", "rules delete some of its tags, and not all")
LATE_TAGS: Final = _Reason("", "rules mean only tags that it was not pushed for")
SEPARATE_BUILD: Final = _Reason("", "no rule deletes it, and it is not of the build of an index that names it")
RECENTLY_PUSHED: Final = _Reason("", "it was pushed within the hour, and what will name it may be on its way")


def evaluate(
    repository: str, graph: Graph, policies: Sequence[Policy], in_use: Mapping[str, str], now: datetime
) -> list[CleanupDecision]:
    """What becomes of each manifest, sorted by digest. `in_use` tells of digests where they run."""
    return _Evaluator(graph, [policy for policy in policies if policy.condition.covers(repository)], now).evaluate(
        in_use
    )


def next_change(repository: str, graph: Graph, policies: Sequence[Policy], now: datetime) -> datetime | None:
    """Return when the next verdict can change though nothing is pushed, or None: what is old today is so tomorrow."""
    wheres = [policy.condition for policy in policies if policy.condition.covers(repository)]
    ages = {age for where in wheres for age in (where.older_than, where.newer_than) if age is not None}
    stale = {where.stale_for for where in wheres if where.stale_for is not None}
    # Conditions ask for more than an age: at the very moment nothing has changed yet.
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
    """Decides for one repository; its policies are those that cover it."""

    def __init__(self, graph: Graph, policies: Sequence[Policy], now: datetime) -> None:
        self._graph = graph
        self._keeps = [policy for policy in policies if not policy.deletes and policy.keep_count is None]
        self._counts = [policy for policy in policies if policy.keep_count is not None]
        self._deletes = [policy for policy in policies if policy.deletes]
        self._now = now
        self._versions = _versions(graph)
        self._selecting_policies = {digest: self._policies(digest) for digest in graph.independent}

    def evaluate(self, in_use: Mapping[str, str]) -> list[CleanupDecision]:
        """See `decide`."""
        deleting = {
            digest: rule for digest in self._graph.independent if (rule := self._deleting_policy(digest)) is not None
        }
        # The reasons that stand first are told first.
        protecting = self._kept() | self._in_use(in_use)
        staying = self._not_deleted(deleting) | self._immutable(deleting) | protecting
        kept = self._graph.reachable(sorted(staying))
        going = self._graph.cascade(sorted(set(deleting) - set(kept)))
        ruled = {digest: self._reason(rule) for digest, rule in deleting.items()}
        untagged = self._deleted_tags(kept.keys() - deleting.keys() - self._graph.reachable(protecting).keys(), kept)
        return [
            self._decision(digest, True, kept[digest], staying, untagged.get(digest, ()))
            if digest in kept
            else self._decision(digest, False, going[digest], ruled)
            for digest in self._graph.nodes
        ]

    def _policies(self, digest: str) -> Sequence[Policy]:
        """The Delete policies that apply to what stands, or to some of its tags."""
        if self._is_mid_push(self._graph.nodes[digest]):
            return ()
        return [policy for policy in self._deletes if policy.condition.matches(self._versions[digest], self._now)]

    def _deleting_policy(self, digest: str) -> Policy | None:
        """The policy that deletes what stands; of several the first, those first that may delete immutable tags."""
        node, meant = self._graph.nodes[digest], self._selecting_policies[digest]
        alone = [policy for policy in meant if self._selects_all(digest, [policy])]
        if alone:
            return min(alone, key=lambda policy: not policy.immutable)
        if meant and self._selects_all(digest, meant):
            # No policy of these means all: where one may not delete immutable tags, these stay.
            return max(meant, key=lambda policy: not policy.immutable)
        if node.orphaned_by and not node.independent_tags and not self._is_mid_push(node):
            # Somebody was stopped in between, or it came a moment too late to go with what it belongs to.
            return Policy(node.orphaned_by, True, Condition())
        return None

    def _selects_all(self, digest: str, policies: Sequence[Policy]) -> bool:
        """Whether policies mean a manifest as a whole, or each of its tags, and one at least that it was pushed for.

        Tags that attach it count as its own where it has no other.
        """
        if not all(policy.condition.applies_to_tags for policy in policies):
            return True
        node, meant = self._graph.nodes[digest], self._selected_tags(digest, policies)
        pushed_for = {*node.own_tags, *node.attaching_tags}.difference(node.late_tags)
        return meant.issuperset(node.own_tags or node.attaching_tags) and not meant.isdisjoint(pushed_for)

    def _selected_tags(self, digest: str, policies: Iterable[Policy]) -> set[str]:
        version = self._versions[digest]
        return {tag for policy in policies for tag in policy.condition.selected_tags(version)}

    def _deleted_tags(self, digests: Iterable[str], kept: Container[str]) -> dict[str, tuple[tuple[str, str], ...]]:
        """The tags that go while what they name stays, each with the policy that deletes it.

        A tag that is made of the digest of what is `kept` stays: it is how clients find a signature of that.
        """
        found: dict[str, tuple[tuple[str, str], ...]] = {}
        for digest in digests:
            tags: dict[str, str] = {}
            for policy in self._selecting_policies.get(digest, ()):
                immutable = () if policy.immutable else self._graph.nodes[digest].immutable_tags
                meant = self._selected_tags(digest, [policy]).difference(immutable)
                meant = {tag for tag in meant if self._graph.subject_of(tag) not in kept}
                tags = dict.fromkeys(meant, policy.name) | tags
            found[digest] = tuple(sorted(tags.items()))
        return found

    def _reason(self, policy: Policy) -> _Reason:
        return _Reason(policy.name, f"{'' if policy in self._deletes else 'what held it went by '}rule '{policy.name}'")

    def _in_use(self, in_use: Mapping[str, str]) -> dict[str, _Reason]:
        """What runs, and the indexes that name it: whoever starts it again asks for the index."""
        above = self._graph.with_parent_indexes(sorted(set(in_use) & set(self._graph.nodes)))
        return {
            digest: _Reason("", f"{'it' if first == digest else first + ', which it names,'} runs: {in_use[first]}")
            for digest, first in above.items()
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
        return {digest: _Reason(policy.name, f"rule '{policy.name}'") for digest, policy in kept.items()}

    def _complete_versions(self) -> list[Version]:
        """All that counts as a version, newest first: without children whose index is still to come."""
        nodes = self._graph.nodes
        whole = (digest for digest in nodes if self._graph.is_version(digest) and not self._is_mid_push(nodes[digest]))
        found = [self._versions[digest] for digest in whole]
        return sorted(found, key=lambda each: (each.created, bool(self._graph.indexes(each.digest))), reverse=True)

    def _newest(self, policy: Policy, versions: Iterable[Version]) -> Iterator[str]:
        """The newest of what a policy counts. What one of these, an index, names keeps its place, and takes none."""
        counted = [version.digest for version in versions if policy.condition.matches(version, self._now)]
        indexes, places = set(counted), policy.keep_count or 0
        for digest in counted:
            if places:
                yield digest
                places -= indexes.isdisjoint(self._graph.indexes(digest))

    def _immutable(self, deleting: Mapping[str, Policy]) -> dict[str, _Reason]:
        may = self._graph.cascade(sorted(digest for digest, policy in deleting.items() if policy.immutable))
        return {
            digest: _Reason("", f"its tag {min(node.immutable_tags)} is immutable, and no rule says that it may go")
            for digest, node in self._graph.nodes.items()
            if node.immutable_tags and digest not in may
        }

    def _not_deleted(self, deleting: Mapping[str, Policy]) -> dict[str, _Reason]:
        """What no policy deletes, among what stands."""
        return {digest: self._keep_reason(digest) for digest in self._graph.independent if digest not in deleting}

    def _keep_reason(self, digest: str) -> _Reason:
        if self._is_mid_push(self._graph.nodes[digest]):
            return RECENTLY_PUSHED
        node = self._graph.nodes[digest]
        if meant := self._selecting_policies[digest]:
            return (
                LATE_TAGS
                if self._selected_tags(digest, meant).issuperset(node.own_tags or node.attaching_tags)
                else SOME_TAGS
            )
        return SEPARATE_BUILD if self._graph.indexes(digest) and not node.own_tags else NO_POLICY

    def _is_mid_push(self, node: Node) -> bool:
        """Whether nothing names a manifest yet, and whoever pushed it may still mean to."""
        return not node.own_tags and self._now - node.created < PUSH_GRACE_PERIOD

    def _decision(
        self,
        digest: str,
        kept: bool,
        way: tuple[str, str],
        reasons: Mapping[str, _Reason],
        tags: tuple[tuple[str, str], ...] = (),
    ) -> CleanupDecision:
        holder, root = way
        reason = reasons[root]
        if not holder:
            return CleanupDecision(digest, kept, reason.policy, reason.text, tags)
        part = "child" if digest in self._graph.nodes[holder].children else "referrer"
        tie = f"{part} of {holder}"
        if holder != root:
            tie = f"{tie}, below {root}"
        return CleanupDecision(digest, kept, reason.policy, f"{tie}: {reason.text}", tags)


def _versions(graph: Graph) -> dict[str, Version]:
    """What policies ask of each manifest. A pull of an image is one of the index that names it.

    Pulls are not written again within INTERVAL, so what is on record may have been pulled until the end of that.
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

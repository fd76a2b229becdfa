"""What clean-up decides of each manifest of a repository, and why.

    1. A manifest that a Keep policy applies to stays, and so does what runs.
    2. Of what stands in the graph, what no Delete policy applies to stays.
    3. What an immutable tag names stays, unless the policy says that it may go.
    4. Whatever is held by what stays, stays: an index's children, a subject's referrers.
    5. All else goes: what a Delete policy applies to, and what is held, or was held when that went, by that alone.

So nothing goes that no policy deletes, keeping wins, and no order of policies or manifests matters but in the words.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from functions.registry.graph import Graph, Node
from functions.registry.policies import Condition, Policy, Version

TICK: Final = timedelta(microseconds=1)

MID_PUSH: Final = timedelta(hours=1)
"""So long a manifest without a tag stays: the index or the tag that will name it may be on its way."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of a manifest.

    rule  the name of the policy that decided, or "" where none did
    why   in words
    """

    digest: str
    kept: bool
    rule: str
    why: str


@dataclass(frozen=True, slots=True)
class _Reason:
    rule: str
    why: str


NO_RULE: Final = _Reason("", "no rule deletes it")
YOUNG: Final = _Reason("", "it was pushed within the hour, and what will name it may be on its way")


def decide(
    repository: str, graph: Graph, policies: Sequence[Policy], running: Mapping[str, str], now: datetime
) -> list[Verdict]:
    """What becomes of each manifest, sorted by digest. `running` tells of digests where they run."""
    return _Judge(graph, [policy for policy in policies if policy.where.covers(repository)], now).verdicts(running)


def next_change(repository: str, graph: Graph, policies: Sequence[Policy], now: datetime) -> datetime | None:
    """Return when the next verdict can change though nothing is pushed, or None: what is old today is so tomorrow."""
    wheres = [policy.where for policy in policies if policy.where.covers(repository)]
    ages = {age for where in wheres for age in (where.older_than, where.newer_than) if age is not None}
    stale = {where.stale_for for where in wheres if where.stale_for is not None}
    # Conditions ask for more than an age: at the very moment nothing has changed yet.
    times = (
        since + age + TICK
        for version in _versions(graph).values()
        for since, spans in (
            (version.created, ages if version.tags else ages | {MID_PUSH}),
            (version.used, stale),
        )
        for age in spans
    )
    return min((time for time in times if time > now), default=None)


class _Judge:
    """Decides for one repository; its policies are those that cover it."""

    def __init__(self, graph: Graph, policies: Sequence[Policy], now: datetime) -> None:
        self._graph = graph
        self._keeps = [policy for policy in policies if not policy.deletes and policy.keep_count is None]
        self._counts = [policy for policy in policies if policy.keep_count is not None]
        self._deletes = [policy for policy in policies if policy.deletes]
        self._now = now
        self._versions = _versions(graph)

    def verdicts(self, running: Mapping[str, str]) -> list[Verdict]:
        """See `decide`."""
        deleting = {digest: rule for digest in self._graph.standing if (rule := self._deleting(digest)) is not None}
        # The reasons that stand first are told first.
        staying = self._standing(deleting) | self._immutable(deleting) | self._kept() | self._running(running)
        kept = self._graph.below(sorted(staying))
        going = self._graph.below(sorted(set(deleting) - set(kept)))
        ruled = {digest: self._reason(rule) for digest, rule in deleting.items()}
        return [
            self._verdict(digest, True, kept[digest], staying)
            if digest in kept
            else self._verdict(digest, False, going[digest], ruled)
            for digest in self._graph.nodes
        ]

    def _deleting(self, digest: str) -> Policy | None:
        """The policy that deletes what stands; of several the first, those first that may delete immutable tags."""
        node, version = self._graph.nodes[digest], self._versions[digest]
        if self._is_mid_push(node):
            return None
        meant = [policy for policy in self._deletes if policy.where.matches(version, self._now)]
        if not meant and node.orphan and not node.others:
            # Somebody was stopped in between, or it came a moment too late to go with what it belongs to.
            return Policy(node.orphan, True, Condition())
        return min(meant, key=lambda policy: not policy.immutable, default=None)

    def _reason(self, policy: Policy) -> _Reason:
        return _Reason(policy.name, f"{'' if policy in self._deletes else 'what held it went by '}rule '{policy.name}'")

    def _running(self, running: Mapping[str, str]) -> dict[str, _Reason]:
        """What runs, and the indexes that name it: whoever starts it again asks for the index."""
        above = self._graph.above(sorted(set(running) & set(self._graph.nodes)))
        return {
            digest: _Reason("", f"{'it' if first == digest else first + ', which it names,'} runs: {running[first]}")
            for digest, first in above.items()
        }

    def _kept(self) -> dict[str, _Reason]:
        kept = {
            digest: policy
            for policy in reversed(self._keeps)
            for digest, version in self._versions.items()
            if policy.where.matches(version, self._now)
        }
        # Children whose index is still to come count as no versions: they would take the places of whole ones.
        nodes = self._graph.nodes
        whole = (digest for digest in self._versions if not self._is_mid_push(nodes[digest]))
        roots = [self._versions[digest] for digest in whole if self._graph.is_root(digest)]
        roots.sort(key=lambda version: version.created, reverse=True)
        for policy in reversed(self._counts):
            meant = [version.digest for version in roots if policy.where.matches(version, self._now)]
            kept = dict.fromkeys(meant[: policy.keep_count], policy) | kept
        return {digest: _Reason(policy.name, f"rule '{policy.name}'") for digest, policy in kept.items()}

    def _immutable(self, deleting: Mapping[str, Policy]) -> dict[str, _Reason]:
        may = self._graph.below(sorted(digest for digest, policy in deleting.items() if policy.immutable))
        return {
            digest: _Reason("", f"its tag {min(node.immutable)} is immutable, and no rule says that it may go")
            for digest, node in self._graph.nodes.items()
            if node.immutable and digest not in may
        }

    def _standing(self, deleting: Mapping[str, Policy]) -> dict[str, _Reason]:
        """What no policy deletes, among what stands."""
        return {digest: self._spared(digest) for digest in self._graph.standing if digest not in deleting}

    def _spared(self, digest: str) -> _Reason:
        return YOUNG if self._is_mid_push(self._graph.nodes[digest]) else NO_RULE

    def _is_mid_push(self, node: Node) -> bool:
        """Whether nothing names a manifest yet, and whoever pushed it may still mean to."""
        return not node.named and self._now - node.created < MID_PUSH

    def _verdict(self, digest: str, kept: bool, way: tuple[str, str], reasons: Mapping[str, _Reason]) -> Verdict:
        holder, root = way
        reason = reasons[root]
        if not holder:
            return Verdict(digest, kept, reason.rule, reason.why)
        part = "child" if digest in self._graph.nodes[holder].children else "referrer"
        tie = f"{part} of {holder}"
        if holder != root:
            tie = f"{tie}, below {root}"
        return Verdict(digest, kept, reason.rule, f"{tie}: {reason.why}")


def _versions(graph: Graph) -> dict[str, Version]:
    """What policies ask of each manifest. A pull of an image is one of the index that names it."""
    pulls = {digest: node.pulled for digest, node in graph.nodes.items() if node.pulled is not None}
    latest = graph.above(sorted(pulls, key=lambda digest: (pulls[digest], digest), reverse=True))
    return {
        digest: Version(
            digest=digest,
            tags=node.named,
            attached=node.attached,
            created=node.created,
            used=max(node.created, pulls[latest[digest]]) if digest in latest else node.created,
        )
        for digest, node in graph.nodes.items()
    }

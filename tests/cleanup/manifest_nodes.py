"""Facts of manifests for tests, by names of one letter or more."""

import hashlib
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from lading.registry.cleanup.evaluate import CleanupDecision, evaluate
from lading.registry.cleanup.graph import Graph, Node
from lading.registry.cleanup.policy_json import parse_policies
from lading.registry.content.referrer_tags import attachment_of

NOW = datetime(2026, 11, 1, tzinfo=UTC)


def digest(name: str) -> str:
    return f"sha256:{hashlib.sha256(name.encode()).hexdigest()}"


def referrer_tag(name: str, suffix: str = "") -> str:
    """The tag that attaches to a manifest."""
    return digest(name).replace(":", "-") + suffix


def node(name: str, *tags: str, age: float = 100, children: Iterable[str] = (), subject: str = "", **more: Any) -> Node:
    """A manifest, `age` days old, that was created under its tags."""
    more.setdefault("attachment", attachment_of("", tags))
    return Node(
        digest=digest(name),
        size=1,
        created=NOW - timedelta(days=age),
        tags=tags,
        children=tuple(digest(child) for child in children),
        subject=digest(subject) if subject else "",
        **more,
    )


def decisions(
    nodes: Iterable[Node], policies: str, running: dict[str, str] | None = None
) -> dict[str, CleanupDecision]:
    """What becomes of each, by digest."""
    return {
        each.digest: each for each in evaluate("team/app", Graph(nodes), parse_policies(policies), running or {}, NOW)
    }


def kept(nodes: Iterable[Node], policies: str, running: dict[str, str] | None = None) -> set[str]:
    """The digests of what is kept."""
    return {digest for digest, verdict in decisions(nodes, policies, running).items() if verdict.kept}


def digests(names: str) -> set[str]:
    return {digest(name) for name in names.split()}

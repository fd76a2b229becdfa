"""Moves of tags: a tag that a policy names only moves to what passes, by whatever means."""

import json
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

import pytest

from lading.policies.denial import PUSH_FIRST
from lading.registry.change_context import ChangeContext
from lading.registry.content.manifests import Put
from lading.registry.policies import images_below
from lading.registry.policies.images_below import MAX_IMAGES
from lading.registry.registry import Registry
from lading_storage.query import Query
from lading_storage.records.core import Key, Manifest, Tag
from lading_storage.stores import Stores
from tests.support import images
from tests.support.app_client import content_type_header
from tests.support.fake_clock import FakeClock, TickingClock
from tests.support.named_callers import ALL, named_client
from tests.support.policies import (
    REPOSITORY,
    SCANNED,
    content_of,
    policy,
    refusal,
    refused_pull,
    set_policies,
    signed_by,
)
from tests.support.registry_pushes import push_blob, push_image, push_manifest
from tests.support.scan_results import finding, report_of, store_result
from tests.support.signatures import FORGER, sign
from tests.support.store_hooks import hooked_registry

T = TypeVar("T")

ACTOR: Final = ChangeContext("tag", "alice")


@pytest.fixture
def clock() -> FakeClock:
    return TickingClock()


@pytest.fixture
def image(registry: Registry) -> Manifest:
    return push_image(registry, REPOSITORY, "build")


def named(registry: Registry, tag: str) -> str:
    key = Key(Tag, tag, REPOSITORY)
    found = registry.metadata.read([key])[key]
    return found.digest if found else ""


def set_tag(registry: Registry, image: Manifest, tag: str = "v1", actor: str = "alice") -> str:
    """Set a tag, and return why that is refused, or ""."""
    context = ACTOR._replace(actor=actor)
    return refusal(lambda: registry.push.tag(REPOSITORY, image.digest, tag, context))


def test_a_tag_moves_only_to_what_passes(registry: Registry, image: Manifest) -> None:
    set_policies(registry, policy(tags=["v*"], **signed_by()))

    assert "it is not signed" in set_tag(registry, image)
    assert named(registry, "v1") == ""
    assert set_tag(registry, image, "other") == "", "no policy names that tag"
    sign(registry, image, FORGER)
    assert set_tag(registry, image) != ""
    sign(registry, image)
    assert set_tag(registry, image) == ""
    assert named(registry, "v1") == image.digest

    unsigned = push_image(registry, REPOSITORY)
    assert set_tag(registry, unsigned).endswith(f"; ask: lading why {REPOSITORY}@{unsigned.digest}")
    assert named(registry, "v1") == image.digest


def test_a_push_by_such_a_tag_is_refused_and_stores_nothing(registry: Registry) -> None:
    set_policies(registry, policy(tags=["v*"], **signed_by()))
    layer = images.blob()
    for blob in (images.EMPTY_CONFIG, layer):
        push_blob(registry, REPOSITORY, blob)
    content = images.manifest([layer])

    for tags in (["v1"], ["build", "v1"]):
        refused = refusal(lambda tags=tags: registry.manifests.put(REPOSITORY, Put(content, "", "", tags)))  # type: ignore[misc]
        assert refused.endswith(PUSH_FIRST), "nothing is stored about which anybody could ask"
    assert registry.metadata.find(Query(Manifest, repository=REPOSITORY, limit=1)) == []

    image = push_manifest(registry, REPOSITORY, content, "build")
    sign(registry, image)
    registry.manifests.put(REPOSITORY, Put(content, "", "", ["v1"]))
    assert named(registry, "v1") == image.digest


def test_a_scan_counts_as_well(registry: Registry, image: Manifest) -> None:
    set_policies(registry, policy(tags=["v*"], **SCANNED))
    assert "not scanned" in set_tag(registry, image)

    store_result(registry, REPOSITORY, image.digest, report_of(image.digest))
    assert set_tag(registry, image) == ""


def test_an_index_needs_that_its_images_pass(registry: Registry, image: Manifest) -> None:
    set_policies(registry, policy(tags=["v*"], **signed_by()))
    content = registry.manifests.content(registry.manifests.find(REPOSITORY, image.digest))
    attestation = json.loads(images.manifest([]))
    attestation["layers"] = [images.descriptor(statement := images.blob(), "application/vnd.in-toto+json")]
    push_blob(registry, REPOSITORY, statement)
    document = json.dumps(attestation).encode()
    push_manifest(registry, REPOSITORY, document)
    index = push_manifest(registry, REPOSITORY, images.index([content, document]), "index")

    assert image.digest in set_tag(registry, index)
    sign(registry, index)
    assert set_tag(registry, index) == "", "the index vouches for them"
    other = push_manifest(registry, REPOSITORY, images.index([content]), "other")
    registry.deletion.manifest(REPOSITORY, index.digest)
    assert set_tag(registry, other) != ""
    sign(registry, image)
    assert set_tag(registry, other) == "", "or each has a signature of its own"


def test_exempt_callers_set_tags(registry: Registry, image: Manifest) -> None:
    set_policies(registry, policy(tags=["v*"], exempt=["release-bot"], **signed_by()))

    assert set_tag(registry, image, actor="release-bot") == ""
    assert set_tag(registry, image, "v2") != ""


@pytest.mark.parametrize("gated", [False, True])
def test_a_roll_back_and_a_restore_are_gated_where_the_policy_says_so(
    registry: Registry, image: Manifest, gated: bool
) -> None:
    assert set_tag(registry, image) == ""
    later = push_image(registry, REPOSITORY, "build")
    assert set_tag(registry, later) == ""
    set_policies(registry, policy(tags=["v*"], gateRollback=gated, **signed_by()))

    rolled_back = refusal(lambda: registry.rollback.to_digest(REPOSITORY, "v1", image.digest))
    registry.tags.delete(REPOSITORY, "v1")
    restored = refusal(lambda: registry.undelete.tag(REPOSITORY, "v1"))

    assert (bool(rolled_back), bool(restored)) == (gated, gated)


def test_a_roll_back_to_what_the_tag_never_named_is_a_move_like_any(registry: Registry, image: Manifest) -> None:
    set_policies(registry, policy(tags=["v*"], **signed_by()))
    sign(registry, image)
    assert set_tag(registry, image) == ""
    other = push_image(registry, REPOSITORY, "w1")

    def roll_back() -> str:
        return refusal(lambda: registry.rollback.to_digest(REPOSITORY, "v1", other.digest))

    assert "it is not signed" in roll_back()
    assert named(registry, "v1") == image.digest
    sign(registry, other)
    assert roll_back() == ""


def test_tags_by_which_cosign_attaches_signatures_are_not_gated(registry: Registry, image: Manifest) -> None:
    set_policies(registry, policy(tags=["*"], **signed_by()))
    unsigned = push_image(registry, REPOSITORY)
    tag = f"{image.digest.replace(':', '-')}.sig"

    assert set_tag(registry, unsigned, tag) == ""
    assert refused_pull(registry, tag) != "", "what it names is"


def test_a_policy_that_audits_moves_the_tag(registry: Registry, image: Manifest) -> None:
    set_policies(registry, policy(tags=["v*"], **signed_by()) | {"mode": "audit"})

    assert set_tag(registry, image) == ""


def test_a_policy_that_audits_warns_of_what_it_would_refuse(registry: Registry, image: Manifest) -> None:
    audit = policy(tags=["v*", "w*"], **signed_by()) | {"mode": "audit"}
    set_policies(registry, audit | {"push": {"requiredLabels": ["owner"]}})
    client = named_client(registry, alice=ALL)
    content = content_of(registry, image)

    def put(*tags: str) -> list[str]:
        path = f"{REPOSITORY}/manifests/{tags[0]}" if len(tags) == 1 else f"{REPOSITORY}/manifests/{image.digest}"
        query = f"?{'&'.join(f'tag={each}' for each in tags)}" if len(tags) > 1 else ""
        answer = client.ask("PUT", path + query, "alice", content, **content_type_header(content))
        assert answer.status == 201
        return answer.headers.getlist("Warning")

    label = '299 - "policy prod: it has no label owner"'
    unsigned = f'299 - "policy prod: it is not signed by key0; ask: lading why {REPOSITORY}@{image.digest}"'
    assert put("v1") == [label, unsigned]
    assert put("build") == [label], "no policy names that tag"
    assert put("v2", "v3", "w1") == [label, unsigned], "the same is said once"
    set_policies(registry, audit)
    sign(registry, image)
    assert put("v4") == []


def test_a_warning_is_of_the_attempt_that_was_committed(
    registry: Registry, stores: Stores, image: Manifest, clock: FakeClock
) -> None:
    set_policies(registry, policy(tags=["v*"], **signed_by()) | {"mode": "audit"})
    late = hooked_registry(stores, Between(lambda: sign(registry, image)), clock=clock)
    warned, signed = (ACTOR._replace(warnings={}) for _ in range(2))

    registry.push.tag(REPOSITORY, image.digest, "v2", warned)
    late.push.tag(REPOSITORY, image.digest, "v1", signed)

    assert list(warned.warnings or {}) == ["v2"]
    assert signed.warnings == {}


@pytest.mark.parametrize("gated", [False, True])
def test_a_move_back_warns_only_where_it_would_be_refused(registry: Registry, image: Manifest, gated: bool) -> None:
    assert set_tag(registry, image) == ""
    later = push_image(registry, REPOSITORY, "build")
    assert set_tag(registry, later) == ""
    set_policies(registry, policy(tags=["v*"], gateRollback=gated, **signed_by()) | {"mode": "audit"})
    context = ChangeContext("rollback", "alice", warnings={})

    registry.rollback.to_digest(REPOSITORY, "v1", image.digest, context)

    assert list(context.warnings or {}) == (["v1"] if gated else [])


class Between:
    """Hook that does something once, before the commit that moves a tag."""

    def __init__(self, act: Callable[[], object]) -> None:
        self._acts = [act]

    def __call__(self, method: str, arguments: Mapping[str, Any], forward: Callable[[], T], /) -> T:
        if method == "commit" and self._acts and any(_creates_tag(each) for each in arguments["writes"]):
            self._acts.pop()()
        return forward()


def _creates_tag(write: Any) -> bool:
    return isinstance(getattr(write, "record", None), Tag) and write.record.id == "v1"


VULNERABLE: Final = report_of("", [finding("critical")])
WORST: Final = json.dumps([{"id": "CVE-2026-1", "severity": "critical", "package": "openssl"}]).encode()

CHANGES: Final[Mapping[str, Callable[[Registry, Manifest], object]]] = {
    "its signature is deleted": lambda registry, signature: registry.deletion.manifest(REPOSITORY, signature.digest),
    "a scan finds something": lambda registry, _: store_result(
        registry, REPOSITORY, registry.manifests.find(REPOSITORY, "build").digest, VULNERABLE, worst=WORST
    ),
    "the policy gets another key": lambda registry, _: set_policies(registry, policy(tags=["v*"], **signed_by(FORGER))),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_changes_between_the_decision_and_the_commit_counts(
    registry: Registry, stores: Stores, image: Manifest, change: str, clock: FakeClock
) -> None:
    set_policies(registry, policy(tags=["v*"], scan={"maximumUnfixableSeverity": "high"}, **signed_by()))
    store_result(registry, REPOSITORY, image.digest, report_of(image.digest))
    signature = sign(registry, image)
    late = hooked_registry(stores, Between(lambda: CHANGES[change](registry, signature)), clock=clock)

    assert set_tag(late, image) != ""
    assert named(registry, "v1") == ""


@pytest.mark.parametrize("action", ["tag", "rollback"])
@pytest.mark.parametrize("mode", ["audit", "enforce"])
def test_an_index_of_too_many_images_is_refused_only_where_any_other_is(
    registry: Registry, image: Manifest, monkeypatch: pytest.MonkeyPatch, mode: str, action: str
) -> None:
    set_policies(registry, policy(tags=["v*"], **signed_by()))
    assert set_tag(registry, image) != "", "the gate, whose message names the limit, is imported before it is another"
    set_policies(registry)
    monkeypatch.setattr(images_below, "MAX_IMAGES", 1)
    parts = [content_of(registry, each) for each in (image, push_image(registry, REPOSITORY))]
    index = push_manifest(registry, REPOSITORY, images.index(parts), "v1")
    push_manifest(registry, REPOSITORY, content_of(registry, image), "v1")
    required = policy(tags=["v*"], exempt=["bob"], onError="allow", **signed_by())
    set_policies(registry, required | {"mode": mode})

    def moved(actor: str, warnings: dict[str, str]) -> str:
        context = ChangeContext(action, actor, warnings=warnings)
        return refusal(lambda: registry.push.tag(REPOSITORY, index.digest, "v1", context))

    warnings: dict[str, str] = {}
    refused, reason = (
        moved("alice", warnings),
        f"cannot be judged: the index has more than {MAX_IMAGES} images",
    )
    is_judged = action == "tag"
    assert (reason in refused) == (is_judged and mode == "enforce")
    assert any(reason in each for each in warnings.values()) == (is_judged and mode == "audit")
    assert moved("bob", {}) == "", "bob is exempt"

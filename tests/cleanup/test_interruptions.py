"""Clean-up that is stopped, fails or is too large for one commit goes on where it was."""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

from lading.jobs import cleanup
from lading.jobs.cleanup import CleanupContext, clean_up
from lading.registry.cleanup.policy_json import parse_policies
from lading.registry.lifecycle import delete
from lading.registry.registry import Registry
from lading.registry.rules.effective import LocalRules
from lading.registry.rules.immutable import ImmutableTags
from lading_storage.digests import digest_of
from lading_storage.errors import Unavailable
from lading_storage.records.core import Manifest
from lading_storage.stores import Stores
from tests.cleanup.signed_images import push_signed_image
from tests.support.commit_limit import CommitLimitStore
from tests.support.fake_clock import FakeClock
from tests.support.registry_pushes import pull_blob
from tests.support.store_hooks import Fault, hooked_registry

REPOSITORY = "team/app"

OLD = '{"name": "old", "action": {"type": "Delete"}, "condition": {"tagPrefixes": ["v"], "olderThan": "30d"}}'


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def registry(stores: Stores, clock: FakeClock) -> Registry:
    return Registry(stores.blobs, stores.metadata, LocalRules(ImmutableTags.parse(["*:stable*"])), clock=clock)


@pytest.fixture
def rules(registry: Registry, clock: FakeClock) -> Callable[..., CleanupContext]:
    def rules(*policies: str) -> CleanupContext:
        return CleanupContext(
            parse_policies(f"[{', '.join(policies or (OLD,))}]"), registry.in_use_reports.all(), clock()
        )

    return rules


def digests(registry: Registry) -> set[str]:
    return {node.digest for node in registry.inventory.nodes(REPOSITORY)}


def pull_whole(registry: Registry, digest: str) -> None:
    """Pull a manifest, and all that it names."""
    manifest = registry.manifests.find(REPOSITORY, digest)
    assert isinstance(manifest, Manifest)
    assert digest_of(registry.manifests.content(manifest)) == digest
    for child in manifest.children:
        pull_whole(registry, child)
    for blob in manifest.blobs:
        assert digest_of(pull_blob(registry, REPOSITORY, blob)) == blob


def test_an_interrupted_clean_up_resumes(
    registry: Registry, rules: Callable[..., CleanupContext], clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delete, "MAX_BATCH_ITEMS", 10)
    for number in range(3):
        push_signed_image(registry, REPOSITORY, f"v{number}")
    clock.advance(days=31)

    assert not clean_up(registry, REPOSITORY, rules(), True, lambda: True).done
    left = cleanup.plan(registry, REPOSITORY, rules())
    assert len(left.decisions) == 12
    assert clean_up(registry, REPOSITORY, rules(), apply_plan=True).done
    assert digests(registry) == set()


@pytest.fixture
def max_batch_items(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    number: int = request.param
    monkeypatch.setattr(delete, "MAX_BATCH_ITEMS", number)
    return number


@pytest.mark.parametrize("max_batch_items", [2, 100], indirect=True)
def test_wherever_it_ends_what_can_be_seen_is_whole(
    registry: Registry,
    stores: Stores,
    rules: Callable[..., CleanupContext],
    clock: FakeClock,
    max_batch_items: int,
) -> None:
    push_signed_image(registry, REPOSITORY, "v1")
    push_signed_image(registry, REPOSITORY, "v2")
    clock.advance(days=31)
    left = [0]

    def is_last(arguments: Mapping[str, Any]) -> bool:
        left[0] -= 1
        return left[0] < 0

    killed = hooked_registry(stores, Fault("commit", when=is_last), clock=clock)
    ends = 0
    while digests(registry):
        left[0] = 1
        with contextlib.suppress(Unavailable):
            clean_up(killed, REPOSITORY, rules(), apply_plan=True)
        ends += 1
        for node in registry.inventory.nodes(REPOSITORY):
            pull_whole(registry, node.digest)
        assert set(_tags(registry)) <= {tag for node in registry.inventory.nodes(REPOSITORY) for tag in node.tags}
    assert ends > 6 if max_batch_items == 2 else ends == 1


def test_what_is_too_large_for_one_commit_goes_in_halves(
    stores: Stores, rules: Callable[..., CleanupContext], clock: FakeClock
) -> None:
    small = CommitLimitStore(stores.metadata, 2**30)
    registry = Registry(stores.blobs, small, clock=clock)
    for number in range(3):
        push_signed_image(registry, REPOSITORY, f"v{number}")
    clock.advance(days=31)
    small.max_size = 25_000

    report = clean_up(registry, REPOSITORY, rules(), apply_plan=True)

    assert (report.done, report.changed, digests(registry)) == (True, 0, set())
    assert small.refused > 0


def _tags(registry: Registry) -> Sequence[str]:
    return registry.tags.names(REPOSITORY, "", 100).items

"""The cache of policies: what a pull reads for them, and when a change counts."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import pytest

from lading.registry.policies.policy_cache import POLICY_TTL, PolicyCache
from lading.registry.registry import Registry
from lading_storage.records.core import Manifest
from lading_storage.stores import Stores
from tests.support.policies import REPOSITORY, policy, pulled, refused_pull, set_policies, signed_by
from tests.support.registry_pushes import push_image
from tests.support.signatures import sign
from tests.support.store_hooks import hooked_registry

T = TypeVar("T")


class Reads:
    """Hook that records the kinds of records that each call reads, and the names of all other calls."""

    def __init__(self) -> None:
        self.calls: list[Sequence[str]] = []

    def __call__(self, method: str, arguments: Mapping[str, Any], forward: Callable[[], T], /) -> T:
        self.calls.append(sorted(key.kind.KIND for key in arguments["keys"]) if method == "read" else [method])
        return forward()

    def take(self) -> list[Sequence[str]]:
        """Return what was called since the last time."""
        taken, self.calls = self.calls, []
        return taken


class Timer:
    """A clock of seconds that a test turns."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def reads() -> Reads:
    return Reads()


@pytest.fixture
def timer() -> Timer:
    return Timer()


@pytest.fixture
def process(registry: Registry, stores: Stores, reads: Reads, timer: Timer) -> Registry:
    """A process that has just started, on a registry with an image in two namespaces."""
    for repository in (REPOSITORY, "free/app"):
        push_image(registry, repository, "v1")
    started = hooked_registry(stores, reads)
    started.gates.policies = PolicyCache(timer)
    started.last_pulls.stop()
    return started


@pytest.fixture
def image(registry: Registry, process: Registry) -> Manifest:
    return registry.manifests.find(REPOSITORY, registry.manifests.find(REPOSITORY, "v1").digest)  # type: ignore[return-value]


def test_without_policies_a_pull_reads_two_documents_more_every_half_minute(
    process: Registry, reads: Reads, timer: Timer, image: Manifest
) -> None:
    for reference, kind in (("v1", "tags"), (image.digest, "manifests")):
        timer.seconds += POLICY_TTL
        pulled(process, reference)
        assert reads.take() == [sorted([kind, "namespaces", "rules"])]
        timer.seconds += POLICY_TTL - 1
        pulled(process, reference)
        assert reads.take() == [[kind]]


def test_each_namespace_is_read_by_itself(process: Registry, reads: Reads) -> None:
    pulled(process, "v1")
    pulled(process, "v1", repository="free/app")
    assert reads.take() == [["namespaces", "rules", "tags"]] * 2

    pulled(process, "v1")
    pulled(process, "v1", repository="free/app")
    assert reads.take() == [["tags"]] * 2


def test_where_a_policy_names_a_repository_a_pull_by_digest_takes_no_round_trip_more(
    registry: Registry, process: Registry, reads: Reads, timer: Timer, image: Manifest
) -> None:
    set_policies(registry, policy(**signed_by()))
    sign(registry, image)
    pulled(process, image.digest)
    reads.take()

    pulled(process, image.digest)
    assert reads.take() == [["facts", "manifests", "trust"]]
    pulled(process, "v1")
    assert reads.take() == [["tags"], ["facts", "manifests", "trust"]]
    timer.seconds += POLICY_TTL
    pulled(process, image.digest)
    assert reads.take() == [["facts", "manifests", "namespaces", "rules", "trust"]]

    pulled(process, "v1", repository="free/app")
    pulled(process, "v1", repository="free/app")
    assert reads.take() == [["namespaces", "rules", "tags"], ["tags"]], "no policy names it"


def test_a_change_counts_after_half_a_minute_without_a_restart(
    registry: Registry, process: Registry, timer: Timer, image: Manifest
) -> None:
    set_policies(registry, policy(**signed_by()))
    assert refused_pull(process, "v1") != ""

    set_policies(registry)
    timer.seconds += POLICY_TTL - 1
    assert refused_pull(process, "v1") != ""
    timer.seconds += 1
    assert refused_pull(process, "v1") == ""

    set_policies(registry, policy(**signed_by()))
    timer.seconds += POLICY_TTL
    assert refused_pull(process, "v1") != ""

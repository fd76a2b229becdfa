"""An index and its children that were deleted together are forgotten in one collection, and none of them early."""

import itertools
from datetime import timedelta

import pytest

from lading.jobs.gc.collect import Collector
from lading.jobs.gc.sweep import GracePeriods
from lading.registry.registry import Registry
from lading_storage.digests import digest_of
from tests.support import images
from tests.support.fake_clock import FakeClock
from tests.support.registry_pushes import push_blob, push_manifest

MINUTE = timedelta(minutes=1)
WINDOW = GracePeriods().undelete


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def collect(registry: Registry, clock: FakeClock) -> None:
    report = Collector(registry, GracePeriods(), clock=clock).run()
    assert report is not None
    assert report.finished
    assert report.failed == 0


def restorable(registry: Registry) -> set[str]:
    return {thing.id for thing in registry.undelete.tombstones("a")}


def push_nested(registry: Registry, *, ascending: bool) -> list[str]:
    """Push an image, an index of it and an index of that; the digests, in this order, ascend or descend."""
    push_blob(registry, "a", images.EMPTY_CONFIG)
    contents = [images.manifest([])]
    while len(contents) < 3:
        last = digest_of(contents[-1])
        indexes = (images.index([contents[-1]], annotations={"n": str(number)}) for number in itertools.count())
        contents.append(next(each for each in indexes if (digest_of(each) > last) == ascending))
    return [push_manifest(registry, "a", content).digest for content in contents]


@pytest.mark.parametrize("ascending", [True, False])
def test_what_was_deleted_together_is_forgotten_together(ascending: bool, registry: Registry, clock: FakeClock) -> None:
    nested = push_nested(registry, ascending=ascending)
    registry.deletion.repository("a")

    clock.time += WINDOW - MINUTE
    collect(registry, clock)
    assert restorable(registry) == set(nested)
    clock.time += 2 * MINUTE
    collect(registry, clock)
    assert restorable(registry) == set()


@pytest.mark.parametrize("ascending", [True, False])
def test_a_child_that_was_deleted_later_than_its_index_is_kept_as_long(
    ascending: bool, registry: Registry, clock: FakeClock
) -> None:
    child, *_ = push_nested(registry, ascending=ascending)
    registry.deletion.repository("a")
    clock.advance(days=1)
    push_blob(registry, "a", images.EMPTY_CONFIG)
    push_manifest(registry, "a", images.manifest([]))
    registry.deletion.manifest("a", child)

    clock.time += WINDOW - MINUTE
    collect(registry, clock)
    assert restorable(registry) == {child}
    registry.undelete.manifest("a", child)
    assert registry.manifests.find("a", child).id == child

"""Counting bytes: what it takes grows with what there is, and no faster."""

import itertools
import tracemalloc
from collections.abc import Iterator, Mapping

from lading.jobs.cleanup import CleanupContext
from lading.jobs.shared_blobs import SharedBlobs
from lading.jobs.usage import StoredUsage, Usage
from lading.registry.registry import Registry
from lading_storage.digests import digest_of
from tests.support import images
from tests.support.fake_clock import FakeClock
from tests.support.registry_pushes import push_blob, push_image, push_manifest

BASE = digest_of(b"base")


def sizes(number: int) -> Mapping[str, int]:
    """The blobs of one of many repositories: ten of its own, and one that all have."""
    return {digest_of(f"{number} {each}".encode()): 10 for each in range(10)} | {BASE: 1000}


def peak(count: int) -> int:
    """Count many repositories; returns the bytes of Python's that this took at its peak."""
    tracemalloc.start()
    shared, total = SharedBlobs(), 0
    for number in range(count):
        total += shared.add(sizes(number))
    for number in range(count):
        assert shared.shared_among(sizes(number)) == ({BASE} if count > 1 else set())
    shared.close()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert total == count * 100 + 1000
    return peak


def test_memory_does_not_grow_with_the_number_of_blobs() -> None:
    peak(2)
    few, many = peak(20), peak(2000)

    assert many < few + 50_000, "each of 20,000 blobs takes 100 bytes where they are in a set"


def test_rows_come_one_by_one_and_each_blob_counts_once(registry: Registry) -> None:
    shared = images.blob(1000)
    for name in ("a", "b", "c"):
        for content in (images.EMPTY_CONFIG, shared):
            push_blob(registry, name, content)
        push_manifest(registry, name, images.manifest([shared]), "v1")
    push_image(registry, "c", "v2")
    told: list[str] = []
    asked = itertools.count()

    def names() -> Iterator[str]:
        next(asked)
        return iter("abc")

    usage = Usage(StoredUsage(registry, CleanupContext((), [], FakeClock().time)))
    rows = usage.of_repositories(names, lambda phase, name: told.append(f"{phase} {name}"))

    assert next(rows).name == "a"
    assert told == [f"shared blobs {name}" for name in "abc"]
    rest = list(rows)
    assert [row.name for row in rest] == ["b", "c"]
    links = {each for name in "abc" for each in registry.inventory.blob_sizes(name).items()}
    assert usage.total.blobs == sum(size for _, size in links)
    assert all(row.bytes - row.exclusive >= 1000 for row in rest), "the shared layer is nobody's alone"
    assert next(asked) == 2

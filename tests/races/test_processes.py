"""Writers and collections without any grace, each in a process of its own: what was acknowledged is there, whole.

50 rounds, nightly (LADING_NIGHTLY=1) 1,000.
"""

import multiprocessing
import os
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from datetime import timedelta
from pathlib import Path

from lading.registry.change_context import now
from lading.registry.registry import Registry
from lading_storage.stores import Stores
from tests.races import random_workers
from tests.support.invariants import Snapshot, assert_intact, assert_no_garbage
from tests.support.operations import NO_GRACE, collect

ROUNDS = 1_000 if os.environ.get("LADING_NIGHTLY") == "1" else 50
WRITERS = 3
COLLECTORS = 2


def test_what_was_acknowledged_is_there_and_nothing_else(
    environment: Mapping[str, str], stores: Stores, tmp_path: Path
) -> None:
    stop = tmp_path / "stop"
    with ProcessPoolExecutor(WRITERS + COLLECTORS, multiprocessing.get_context("spawn")) as pool:
        collecting = [pool.submit(random_workers.collect_until_stopped, environment, stop) for _ in range(COLLECTORS)]
        writing = [
            pool.submit(random_workers.run_writer, environment, f"writer {each}", ROUNDS) for each in range(WRITERS)
        ]
        try:
            living = {each for writer in writing for each in writer.result()}
        finally:
            stop.touch()
        counts = sum((collector.result() for collector in collecting[1:]), collecting[0].result())
    assert counts["blobs removed"], "nothing was collected while they wrote"

    _check(Snapshot(stores, random_workers.REPOSITORIES), living)
    registry = Registry(stores.blobs, stores.metadata)
    for _ in range(5):
        collect(registry, NO_GRACE, lambda store_time=None: now(store_time) + timedelta(hours=2))
    after = Snapshot(stores, random_workers.REPOSITORIES)
    _check(after, living)
    assert_no_garbage(after)


def _check(found: Snapshot, living: set[tuple[str, str]]) -> None:
    """All that must live does, byte for byte, and nothing else."""
    assert_intact(found)
    assert {(key.repository, key.id) for key in found.manifests} == living

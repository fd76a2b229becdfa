"""Last pulls are written before a pull is answered, once an hour, and never fail it."""

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from lading.registry.change_context import ChangeContext
from lading.registry.cleanup import last_pulled
from lading.registry.cleanup.last_pulled import BATCH_SIZE, MAX_WRITING, MIN_WRITE_INTERVAL, RETRY_INTERVAL, LastPulls
from lading.registry.content.manifest_format import OCI_INDEX
from lading.registry.content.manifests import Put
from lading.registry.registry import Registry
from lading_storage.errors import Conflict, StoreFull, Unavailable
from lading_storage.forwarding import ForwardingMetadata
from lading_storage.protocols import Delete, Found, MetadataStore, Write
from lading_storage.query import Query
from lading_storage.records.core import Key, Manifest
from lading_storage.records.jobs import LastPull
from lading_storage.stores import Stores
from tests.support import images
from tests.support.fake_clock import FakeClock
from tests.support.server_process import serving

REPOSITORY = "team/app"


class ControlledStore(ForwardingMetadata):
    """A metadata store whose commits are counted, and can be made to fail or to wait."""

    def __init__(self, store: MetadataStore) -> None:
        super().__init__(store)
        self.commits: list[Sequence[Write]] = []
        self.reads = 0
        self.fault: Exception | None = None
        self.before_commit: Callable[[], object] = lambda: None

    def read(self, keys: Sequence[Key[Any]], *, content: bool = True) -> Found:
        self.reads += 1
        return super().read(keys, content=content)

    def commit(self, writes: Sequence[Write]) -> None:
        self.commits.append(writes)
        before, self.before_commit = self.before_commit, lambda: None
        before()
        if self.fault:
            raise self.fault
        super().commit(writes)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def registry(stores: Stores, clock: FakeClock) -> Registry:
    return Registry(stores.blobs, stores.metadata, clock=clock)


@pytest.fixture
def watched(stores: Stores) -> ControlledStore:
    return ControlledStore(stores.metadata)


@pytest.fixture
def recorder(watched: ControlledStore, clock: FakeClock) -> LastPulls:
    return LastPulls(watched, clock)


def push(registry: Registry, count: int = 1) -> list[str]:
    """Push so many manifests; return their digests."""
    contents = [images.index([], annotations={"number": str(number)}) for number in range(count)]
    return [
        registry.manifests.put(REPOSITORY, Put(each, OCI_INDEX, "", []), ChangeContext("push")).digest
        for each in contents
    ]


def pulled(stores: Stores, digest: str) -> LastPull | None:
    key = Key(LastPull, digest, REPOSITORY)
    return stores.metadata.read([key])[key]


def listed(stores: Stores) -> list[str]:
    return [pull.id for pull in stores.metadata.find(Query(LastPull, repository=REPOSITORY, limit=1000))]


def test_a_manifest_is_written_once_an_hour(
    stores: Stores, registry: Registry, watched: ControlledStore, recorder: LastPulls, clock: FakeClock
) -> None:
    [digest] = push(registry)
    times = []
    for minutes in (0, 1, 58, 1, 30):
        clock.advance(minutes=minutes)
        for _ in range(3):
            recorder.record_pull(REPOSITORY, digest)
        assert not recorder.is_due(REPOSITORY, digest)
        found = pulled(stores, digest)
        assert found
        times.append(found.pulled)
    assert (len(watched.commits), watched.reads) == (2, 2)
    assert times == [times[0]] * 3 + [times[0] + MIN_WRITE_INTERVAL] * 2


def test_another_process_writes_nothing_within_the_hour(stores: Stores, registry: Registry, clock: FakeClock) -> None:
    [digest] = push(registry)
    processes = [ControlledStore(stores.metadata) for _ in range(2)]
    for process in processes:
        LastPulls(process, clock).record_pull(REPOSITORY, digest)
        clock.advance(minutes=59)
    assert [len(process.commits) for process in processes] == [1, 0]


def test_a_thousand_pulls_at_once_cost_one_commit_and_wait_for_none(
    stores: Stores, registry: Registry, watched: ControlledStore, recorder: LastPulls
) -> None:
    first, other = push(registry, 2)
    is_writing, may_write = threading.Event(), threading.Event()

    def wait() -> None:
        is_writing.set()
        assert may_write.wait(10)

    watched.before_commit = wait
    writer = threading.Thread(target=recorder.record_pull, args=[REPOSITORY, first])
    writer.start()
    assert is_writing.wait(10)
    for _ in range(1000):
        recorder.record_pull(REPOSITORY, first)
    recorder.record_pull(REPOSITORY, other)
    assert (listed(stores), len(watched.commits)) == ([], 1), "none of them has waited"
    may_write.set()
    writer.join(10)
    assert sorted(listed(stores)) == sorted([first, other]), "what came meanwhile is the writer's"
    assert len(watched.commits) == 2


def test_of_two_processes_that_write_at_once_both_end_with_all_on_record(
    stores: Stores, registry: Registry, watched: ControlledStore, recorder: LastPulls, clock: FakeClock
) -> None:
    first, second = push(registry, 2)
    watched.before_commit = lambda: LastPulls(stores.metadata, clock).record_pull(REPOSITORY, first)
    recorder.record_pull(REPOSITORY, first)
    recorder.record_pull(REPOSITORY, second)
    assert sorted(listed(stores)) == sorted([first, second])


def test_many_are_written_in_batches(
    stores: Stores, registry: Registry, watched: ControlledStore, recorder: LastPulls, clock: FakeClock
) -> None:
    digests = push(registry, BATCH_SIZE + 1)
    watched.fault = Unavailable("no")
    for digest in digests:
        recorder.record_pull(REPOSITORY, digest)
    watched.fault = None
    clock.advance(seconds=RETRY_INTERVAL.total_seconds())
    watched.commits.clear()
    recorder.record_pull(REPOSITORY, digests[0])
    assert [len(writes) for writes in watched.commits] == [2 * BATCH_SIZE, 2]
    assert sorted(listed(stores)) == sorted(digests)


@pytest.mark.parametrize("fault", [Unavailable("no"), StoreFull("metadata", Path("x")), RuntimeError("a defect")])
def test_a_failed_commit_fails_no_pull_and_is_logged(
    registry: Registry,
    watched: ControlledStore,
    recorder: LastPulls,
    fault: Exception,
    caplog: pytest.LogCaptureFixture,
) -> None:
    watched.fault = fault
    with caplog.at_level(logging.WARNING, "lading"):
        recorder.record_pull(REPOSITORY, *push(registry))
    assert "last pulls of 1 manifests are not written yet" in caplog.text
    assert ("Traceback" in caplog.text) == isinstance(fault, RuntimeError)


def test_what_could_not_be_written_is_written_later(
    stores: Stores, registry: Registry, watched: ControlledStore, recorder: LastPulls, clock: FakeClock
) -> None:
    missed, other = push(registry, 2)
    at = clock.time
    watched.fault = Unavailable("no")
    recorder.record_pull(REPOSITORY, missed)
    clock.advance(seconds=RETRY_INTERVAL.total_seconds() - 1)
    recorder.record_pull(REPOSITORY, other)
    assert len(watched.commits) == 1, "a store that does not answer slows down one pull, and not each"
    watched.fault = None
    clock.advance(seconds=1)
    assert recorder.is_due(REPOSITORY, missed), "any pull writes what waits"
    recorder.record_pull(REPOSITORY, missed)
    assert sorted(listed(stores)) == sorted([missed, other])
    found = pulled(stores, missed)
    assert found
    assert found.pulled == at, "the time of the pull, not of the commit"


def test_a_pull_waits_for_those_of_others_only_so_long(
    registry: Registry, watched: ControlledStore, recorder: LastPulls, clock: FakeClock, stores: Stores
) -> None:
    digests = iter(push(registry, 6))
    first = next(digests)

    def pull_another() -> None:
        # One more while each commit is on its way, as where a client pulls one manifest after the other.
        clock.advance(seconds=MAX_WRITING.total_seconds() / 2)
        watched.before_commit = pull_another
        other = threading.Thread(target=recorder.record_pull, args=[REPOSITORY, next(digests)])
        other.start()
        other.join()

    watched.before_commit = pull_another
    recorder.record_pull(REPOSITORY, first)
    assert len(watched.commits) == 2
    watched.before_commit = lambda: None

    assert recorder.is_due(REPOSITORY, first), "the next pull goes on, of whatever it is"
    recorder.record_pull(REPOSITORY, first)
    assert len(listed(stores)) == 3


def test_what_waits_is_bounded_and_written_at_the_end(
    stores: Stores, registry: Registry, watched: ControlledStore, recorder: LastPulls, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(last_pulled, "MAX_QUEUED", 2)
    digests = push(registry, 3)
    watched.fault = Unavailable("no")
    for digest in digests:
        recorder.record_pull(REPOSITORY, digest)
    watched.fault = None
    recorder.close()
    assert sorted(listed(stores)) == sorted(digests[:2])
    recorder.record_pull(REPOSITORY, digests[2])
    recorder.close()
    assert sorted(listed(stores)) == sorted(digests), "its next pull is noted"


def test_a_manifest_that_has_gone_meanwhile_leaves_no_record(
    stores: Stores, registry: Registry, watched: ControlledStore, recorder: LastPulls
) -> None:
    [digest] = push(registry)
    watched.before_commit = lambda: registry.deletion.manifest(REPOSITORY, digest, ChangeContext("delete"))
    recorder.record_pull(REPOSITORY, digest)
    assert listed(stores) == []


def test_a_deletion_of_what_was_judged_before_a_pull_fails(
    stores: Stores, registry: Registry, recorder: LastPulls, clock: FakeClock
) -> None:
    """Clean-up deletes at the version that it has judged."""
    [digest] = push(registry)
    key = Key(Manifest, digest, REPOSITORY)
    judged = stores.metadata.read([key])[key]
    assert judged
    recorder.record_pull(REPOSITORY, digest)
    with pytest.raises(Conflict):
        stores.metadata.commit([Delete(judged)])


def test_a_standby_writes_nothing(
    stores: Stores, registry: Registry, watched: ControlledStore, recorder: LastPulls
) -> None:
    [digest] = push(registry)
    recorder.stop()
    assert not recorder.is_due(REPOSITORY, digest)
    recorder.record_pull(REPOSITORY, digest)
    assert (watched.commits, listed(stores)) == ([], [])


def test_gets_and_heads_are_pulls_and_are_recorded_before_the_response(
    stores: Stores, environment: Mapping[str, str], tmp_path: Path
) -> None:
    """A node that is up to date sends HEAD alone: by tag, or by digest where the reference has one."""
    by_tag, checked, pinned, unused = (images.index([], annotations={"number": str(number)}) for number in range(4))
    digest = images.descriptor(pinned)["digest"]
    requests = (("GET", by_tag, "v1", "v1"), ("HEAD", checked, "v2", "v2"), ("HEAD", pinned, "v3", digest))
    with serving(environment, tmp_path / "log") as server:
        assert server.request("PUT", "/v2/team/app/manifests/v4", unused)[0].status == 201
        for method, manifest, tag, reference in requests:
            assert server.request("PUT", f"/v2/team/app/manifests/{tag}", manifest)[0].status == 201
            assert server.request(method, f"/v2/team/app/manifests/{reference}")[0].status == 200
        assert server.request("HEAD", "/v2/team/app/manifests/v5")[0].status == 404
        # As in Cloud Run, where a process gets no CPU time after the response.
        server.process.kill()
        server.process.wait()
        assert listed(stores) == sorted(images.descriptor(each)["digest"] for each in (by_tag, checked, pinned))

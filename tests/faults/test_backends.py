"""A fault of each kind, at each call to a backend in turn, in all that clients do.

Whatever happens: what was acknowledged is there, what was not is a 503 that says when to come again, and who comes
again ends where he would have ended without the fault.
"""

import itertools
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, NamedTuple

import pytest

from lading.registry.cleanup.last_pulled import LastPulls
from lading_storage.errors import Conflict, Unavailable
from lading_storage.google import firestore_retry, gcs
from lading_storage.protocols import Create, Delete
from lading_storage.query import Query
from lading_storage.records.core import Repository
from lading_storage.records.jobs import LastPull
from tests.faults import NIGHTLY
from tests.faults.client_operations import OPERATIONS, READS, Operation
from tests.faults.failing_registry import Backends, ScenarioRepository, failing_backends, image
from tests.faults.failing_stores import FailingStores
from tests.support.app_client import Response
from tests.support.fault_plan import FaultKind

NUMBERS = itertools.count()
KINDS = list(FaultKind)
WORST = FaultKind.RESET_AFTER
FEW = 5
"""By day an operation meets the worst kind at each call, or, where there are many, at a few more than so many, and each
second of the other kinds at about one call; by night every kind at every call."""


ON_GOOGLE = pytest.mark.parametrize("failing", ["google"], indirect=True)


class FaultFreeRun(NamedTuple):
    """An operation where nothing fails: its answer, what clients see then, and how many calls each kind can hit."""

    answer: Response
    view: dict[str, Any]
    calls: Counter[FaultKind]


@pytest.fixture(scope="module")
def backends(failing: FailingStores) -> Iterator[Backends]:
    with failing_backends(failing) as opened:
        yield opened


def new_repository(backends: Backends, operation: Operation) -> ScenarioRepository:
    """A new world, in which nothing fails yet."""
    world = ScenarioRepository(backends, f"w{next(NUMBERS)}")
    operation.prepare(world)
    return world


def run_without_faults(world: ScenarioRepository, operation: Operation) -> FaultFreeRun:
    plan = world.backends.plan
    plan.clear()
    answer, calls = operation.act(world), Counter(plan.calls)
    assert answer.status < 300, (operation, answer)
    assert calls
    return FaultFreeRun(answer, world.view(), calls)


def run_with_fault(world: ScenarioRepository, operation: Operation, kind: FaultKind, number: int) -> Response:
    """What comes of an operation whose call `number` fails."""
    plan = world.backends.plan
    plan.set(kind, number)
    try:
        answer = operation.act(world)
        assert plan.struck == 1, (kind, number, plan.calls)
        return answer
    finally:
        plan.clear()


def cases(operation: Operation, calls: Counter[FaultKind]) -> Iterator[tuple[FaultKind, int]]:
    """What can happen, and to which call."""
    turn = OPERATIONS.index(operation) if operation in OPERATIONS else 0
    for kind in KINDS:
        some = max(FEW, calls[kind])
        share = some // FEW if kind is WORST else 2 * some
        for number in range(1, calls[kind] + 1):
            if NIGHTLY or operation.reads or (turn + KINDS.index(kind) + number) % share == 0:
                yield kind, number


def assert_allowed(answer: Response, where: object) -> None:
    assert answer.status == 503, where
    assert "Retry-After" in answer.headers, where


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
def test_a_change(backends: Backends, operation: Operation) -> None:
    expected = run_without_faults(new_repository(backends, operation), operation)
    for kind, number in cases(operation, expected.calls):
        world = new_repository(backends, operation)
        answer = run_with_fault(world, operation, kind, number)
        where = kind, f"call {number}", answer
        if answer.status >= 300:
            assert_allowed(answer, where)
            again = operation.act(world)
            assert again.status < 300 or (operation.deletes and again.status == 404), (where, again)
        assert world.view() == expected.view, where


@pytest.mark.parametrize("operation", READS, ids=lambda operation: operation.name)
def test_a_read(backends: Backends, operation: Operation) -> None:
    world = new_repository(backends, operation)
    expected = run_without_faults(world, operation)
    for kind, number in cases(operation, expected.calls):
        answer = run_with_fault(world, operation, kind, number)
        where = kind, f"call {number}", answer
        if answer.status == 200:
            assert answer.body == expected.answer.body, where
        elif answer.status != 0:  # cut, which a client sees
            assert_allowed(answer, where)
        assert operation.act(world).body == expected.answer.body, where


@ON_GOOGLE
@pytest.mark.parametrize("kind", [FaultKind.TOO_MANY, FaultKind.UNAVAILABLE, FaultKind.RESET_BEFORE])
def test_a_small_layer_is_sent_again_to_cloud_storage(backends: Backends, kind: FaultKind) -> None:
    """Whichever call fails once, the upload's own among them, the client is not told."""
    operation = OPERATIONS[0]
    for number in range(1, run_without_faults(new_repository(backends, operation), operation).calls[kind] + 1):
        world = new_repository(backends, operation)
        assert run_with_fault(world, operation, kind, number).status == 201, number
        assert world.view()["new"] == "whole"


@pytest.mark.parametrize("number", [2, 3])
@pytest.mark.parametrize("kind", [FaultKind.RESET_BEFORE, FaultKind.RESET_AFTER])
def test_a_pull_does_not_fail_with_the_writing_of_its_time(backends: Backends, kind: FaultKind, number: int) -> None:
    world = ScenarioRepository(backends, f"w{next(NUMBERS)}")
    image(world, "one", "v1")
    registry, now = backends.registry, datetime.now(UTC)
    failing, later = LastPulls(registry.metadata, lambda _=None: now), LastPulls(registry.metadata, lambda _=None: now)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry.last_pulls, "record_pull", failing.record_pull)
        backends.plan.set(kind, number, lasting=True)
        try:
            assert world.request("GET", "manifests/v1").status == 200
            assert backends.plan.struck
        finally:
            backends.plan.clear()
    failing.close()
    later.record_pull(world.name, world.digest("one"))
    pulled = registry.metadata.find(Query(LastPull, repository=world.name, limit=10))
    assert [each.pulled for each in pulled] == [now], "it is on record once, however often it was sent"


@ON_GOOGLE
@pytest.mark.parametrize("operation", [OPERATIONS[0], OPERATIONS[11], READS[0], READS[3]], ids=lambda each: each.name)
def test_an_outage_is_reported_without_a_long_wait(
    backends: Backends, operation: Operation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(firestore_retry, "CALL_TIMEOUT", 0.5)
    monkeypatch.setattr(gcs, "RETRY_TIMEOUT", 0.5)
    world = new_repository(backends, operation)
    backends.plan.set(FaultKind.UNAVAILABLE, 1, lasting=True)
    try:
        assert_allowed(operation.act(world), operation)
    finally:
        backends.plan.clear()
    assert operation.act(world).status < 300


@ON_GOOGLE
def test_whose_commit_got_no_answer_is_told_what_became_of_it(backends: Backends) -> None:
    metadata, made = backends.registry.metadata, Repository(id="made", created=datetime.now(UTC))
    backends.plan.set(FaultKind.RESET_AFTER, 1)
    metadata.commit([Create(made)])
    found = metadata.read([made.key])[made.key]
    assert found is not None

    backends.plan.set(FaultKind.RESET_AFTER, 1)
    with pytest.raises(Unavailable):
        # Nothing is left that could tell who deleted it.
        metadata.commit([Delete(found)])

    backends.plan.set(FaultKind.RESET_BEFORE, 1)
    with pytest.raises(Unavailable):
        metadata.commit([Delete(found)])
    backends.plan.clear()
    with pytest.raises(Conflict):
        metadata.commit([Delete(found)])

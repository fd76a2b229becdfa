"""Collection and scrubbing, with a fault of each kind at each of their calls in turn.

Wherever one fails, all that lives and all that can be restored is there and whole, and the next one ends where it would
have ended without the fault.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Set
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from lading.jobs.cleanup import in_collection
from lading.jobs.gc.collect import Collector
from lading.jobs.gc.sweep import GracePeriods
from lading.jobs.job_report import JobReport
from lading.jobs.runner import LEASE_DURATION
from lading.jobs.scrub import Scrubber
from lading.registry.cleanup.policy_json import parse_policies
from lading.registry.registry import Registry
from lading_storage.errors import StorageError
from lading_storage.records.core import Key, Manifest, Tag
from lading_storage.records.deleted import DeletedManifest, DeletedTag
from lading_storage.stores import Stores
from tests.faults import NIGHTLY
from tests.faults.failing_stores import FailingStores
from tests.faults.garbage_template import (
    REPAIRS,
    REPOSITORIES,
    STEPS,
    State,
    Template,
    add_damage,
    add_garbage,
    make_template,
    state_of,
)
from tests.support.fake_clock import FakeClock
from tests.support.fault_plan import FaultKind
from tests.support.invariants import Snapshot, assert_intact, assert_no_garbage

POLICIES = parse_policies(
    '[{"name": "old", "action": {"type": "Delete"}, "condition": {"tagPrefixes": ["pr-"], "olderThan": "1d"}}]'
)
BY_DAY = {"local": 30, "google": 4}
"""How many faults a job meets by day on each pair of stores, spread over kinds and calls; by night all of them."""

TAKING = (2, 3, 4)
"""The calls at which a job is taken, and is not known to be: where these fail, the next one waits for its lease. A
collection has read the rules before."""

MUST_SURVIVE = (Manifest, Tag, DeletedManifest, DeletedTag)

Run = Callable[[Stores, FakeClock], JobReport | None]


def collect(stores: Stores, clock: FakeClock) -> JobReport | None:
    registry = Registry(stores.blobs, stores.metadata, clock=clock)
    clean_up = in_collection(registry, POLICIES, applied=True, clock=clock)
    return Collector(registry, GracePeriods(), clean_up, clock).run()


def scrub(stores: Stores, clock: FakeClock) -> JobReport | None:
    return Scrubber(Registry(stores.blobs, stores.metadata, clock=clock), repair=True, clock=clock).run()


@dataclass(frozen=True)
class FaultFreeRun:
    """A job where nothing fails: what is there before and after, what it found, how many calls each kind can hit."""

    before: State
    after: State
    findings: list[str]
    calls: Mapping[FaultKind, int]


def run_without_faults(failing: FailingStores, template: Template, run: Run, steps: Set[str]) -> FaultFreeRun:
    """Run a job, and see that it takes all `steps`, and leaves nothing for one that comes at once."""
    with closing(failing.fresh()) as stores:
        clock = template.put_into(stores)
        before = state_of(Snapshot(stores, REPOSITORIES))
        failing.plan.clear()
        report = finished(run(stores, clock))
        calls, findings = Counter(failing.plan.calls), list(report.findings)
        assert steps <= report.counts.keys()
        after = state_of(Snapshot(stores, REPOSITORIES))
        finished(run(stores, clock))
        assert state_of(Snapshot(stores, REPOSITORIES)) == after
    return FaultFreeRun(before, after, findings, calls)


def finished(report: JobReport | None) -> JobReport:
    assert report is not None
    assert report.finished
    return report


def cases(request: pytest.FixtureRequest, calls: Mapping[FaultKind, int]) -> list[tuple[FaultKind, int]]:
    """What can happen, and to which call."""
    every = [(kind, number) for kind in FaultKind for number in range(1, calls[kind] + 1)]
    assert len(every) > 100
    return every if NIGHTLY else every[:: len(every) // BY_DAY[request.node.callspec.params["failing"]]]


def run_with_fault(
    failing: FailingStores, kind: FaultKind, number: int, job: Callable[[], JobReport | None]
) -> JobReport | None:
    """What comes of a job whose call `number` fails: a report, or None where it has failed as well."""
    failing.plan.set(kind, number)
    try:
        report = finished(job())
        return None if report.failed else report
    except StorageError:
        return None
    finally:
        assert failing.plan.struck == 1, (kind, number)
        failing.plan.clear()


def again(job: Callable[[], JobReport | None], clock: FakeClock, at_once: bool) -> JobReport:
    """The next job. Where it may not be able to begin `at_once`, it is, when the lease is over."""
    report = job()
    if report is None:
        assert not at_once
        clock.advance(seconds=LEASE_DURATION.total_seconds())
        report = job()
    return finished(report)


def missing_records(expected: FaultFreeRun, now: State) -> list[Any]:
    """What should have stayed as it was, and has not."""
    stay = [key for key, value in expected.after.items() if expected.before.get(key) == value]
    return [
        key for key in stay if isinstance(key, Key) and key.kind in MUST_SURVIVE and now.get(key) != expected.after[key]
    ]


def test_a_collection_that_fails_loses_nothing_and_the_next_one_finishes_it(
    failing: FailingStores, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    template = make_template(tmp_path, add_garbage)
    expected = run_without_faults(failing, template, collect, STEPS)
    for kind, number in cases(request, expected.calls):
        where = kind, f"call {number} of {expected.calls[kind]}"
        with closing(failing.fresh()) as stores:
            clock = template.put_into(stores)
            job = partial(collect, stores, clock)
            if run_with_fault(failing, kind, number, job) is None:
                now = Snapshot(stores, REPOSITORIES)
                assert_intact(now)
                assert missing_records(expected, state_of(now)) == [], where
                again(job, clock, at_once=number not in (*TAKING, expected.calls[kind]))
            now = Snapshot(stores, REPOSITORIES)
            assert state_of(now) == expected.after, where
            assert_intact(now)


def test_what_a_collection_leaves_goes_in_time(failing: FailingStores, tmp_path: Path) -> None:
    """Of the registry that the other tests collect in: that is all there is to finish."""
    with closing(failing.fresh()) as stores:
        clock = make_template(tmp_path, add_garbage).put_into(stores)
        for hours in (0, 25, 2, 2):
            clock.advance(hours=hours)
            finished(collect(stores, clock))
        assert_no_garbage(Snapshot(stores, REPOSITORIES))


def test_a_scrub_that_fails_takes_no_fault_for_damage_and_the_next_one_repairs(
    failing: FailingStores, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    template = make_template(tmp_path, add_damage)
    expected = run_without_faults(failing, template, scrub, REPAIRS)
    assert len(expected.findings) == 2
    for kind, number in cases(request, expected.calls):
        where = kind, f"call {number} of {expected.calls[kind]}"
        with closing(failing.fresh()) as stores:
            clock = template.put_into(stores)
            job = partial(scrub, stores, clock)
            report = run_with_fault(failing, kind, number, job)
            if report is None:
                report = again(job, clock, at_once=number not in (*TAKING, expected.calls[kind]))
            assert report.findings == expected.findings, where
            assert state_of(Snapshot(stores, REPOSITORIES)) == expected.after, where

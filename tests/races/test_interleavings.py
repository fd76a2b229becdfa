"""Every act in the middle of every other one: what lives stays whole, and nothing is left over.

An act is a row of reads and commits. Before each of them another act is done as a whole. Then all must be true that
tests.support.invariants says, at once and after collection has had its time; and of two acts that are one commit each,
both callers must have been told, and all see, what would be if one act had come after the other. Or the first act stops
there for ever, as where its process is killed.

SQLite goes through one combination of so many, nightly (LADING_NIGHTLY=1) through all; Firestore through a few of them.
"""

import contextlib
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import pytest

from emulators import Emulators
from lading import settings
from lading.composition import open_blobs, open_metadata
from lading.registry.errors import RegistryError
from lading.registry.lifecycle import delete
from lading.registry.registry import Registry
from lading_storage.stores import Stores
from tests.support.fake_clock import FakeClock, TickingClock
from tests.support.interleaving import InterleavingStore
from tests.support.invariants import Snapshot, assert_intact, assert_no_garbage
from tests.support.operations import ATOMIC_OPERATIONS, OPERATIONS, REPOSITORIES, STATES, Scenario
from tests.support.outbox import assert_events_match

NIGHTLY = os.environ.get("LADING_NIGHTLY") == "1"
ONE_OF = 1 if NIGHTLY else 151
ON_FIRESTORE = 400 if NIGHTLY else 8


class Combination(NamedTuple):
    """Names of an act, of another one, and before which call of the first one the other is done."""

    first: str
    point: int
    second: str


Outcome = tuple[str, str, str]
"""What the first caller was told, what the second was, and what is there then."""


def local(folder: Path) -> Stores:
    return opened({"LADING_DATA": str(folder)})


def opened(environment: dict[str, str]) -> Stores:
    read = settings.load_settings(environment)
    return Stores(open_blobs(read.blobs), open_metadata(read.metadata))


def world(stores: Stores, clock: FakeClock, between: InterleavingStore | None = None) -> Scenario:
    return Scenario(Registry(stores.blobs, between or stores.metadata, clock=clock), clock)


def told(act: str, there: Scenario) -> str:
    """Do it; return what the caller is told."""
    try:
        answer = OPERATIONS[act](there)
    except RegistryError as error:
        return f"{error.descriptor.status} {error.descriptor.code}"
    return str(answer)


def combine(stores: Stores, clock: FakeClock, each: Combination) -> Outcome:
    """Do one act in the middle of the other."""
    second = "not done"

    def then() -> None:
        nonlocal second
        second = told(each.second, world(stores, clock))

    between = InterleavingStore(stores.metadata, each.point, then)
    first = told(each.first, world(stores, clock, between))
    if second == "not done":
        then()
    return first, second, seen(Snapshot(stores, REPOSITORIES))


def seen(now: Snapshot) -> str:
    tags = sorted((*tag.key.repository, tag.id, tag.digest) for tag in now.tags.values())
    dead_tags = sorted((tag.id, tag.digest) for tag in now.deleted_tags.values())
    others = (now.manifests, now.deleted_manifests, now.links, now.hidden_links)
    return f"{tags} {dead_tags} {[sorted((key.repository, key.id) for key in kind) for kind in others]}"


def check(stores: Stores, clock: FakeClock) -> None:
    """See whether all is well, now and after collections, and whether the events are those of what was done."""
    for repository in REPOSITORIES:
        assert_events_match(stores.metadata, repository)
    assert_intact(Snapshot(stores, REPOSITORIES))
    for _ in range(5):
        clock.advance(hours=2)
        world(stores, clock).collect()
    assert_no_garbage(Snapshot(stores, REPOSITORIES))


class Killed(BaseException):
    """Stands for kill -9: nothing catches it."""


class Copies:
    """Stores in one state, copied for each use."""

    def __init__(self, folder: Path, state: str) -> None:
        self._folder = folder
        clock = TickingClock()
        stores = local(folder / "state")
        STATES[state](world(stores, clock))
        stores.close()
        self._time = clock.time

    @contextlib.contextmanager
    def copy(self) -> Iterator[tuple[Stores, FakeClock]]:
        shutil.copytree(self._folder / "state", self._folder / "copy")
        stores, clock = local(self._folder / "copy"), TickingClock()
        clock.time = self._time
        try:
            yield stores, clock
        finally:
            stores.close()
            shutil.rmtree(self._folder / "copy")

    def calls(self, act: str) -> int:
        """How many calls an act makes when it is alone."""
        with self.copy() as (stores, clock):
            counting = InterleavingStore(stores.metadata)
            told(act, world(stores, clock, counting))
        return counting.calls

    def combinations(self) -> Iterator[Combination]:
        for first in OPERATIONS:
            for point in range(self.calls(first)):
                yield from (Combination(first, point, second) for second in OPERATIONS)

    def combine(self, each: Combination) -> None:
        """Do one act in the middle of the other, and see whether all is well."""
        with self.copy() as (stores, clock):
            outcome = combine(stores, clock, each)
            check(stores, clock)
        if {each.first, each.second} <= ATOMIC_OPERATIONS:
            orders = []
            for point in (0, self.calls(each.first)):
                with self.copy() as (stores, clock):
                    orders.append(combine(stores, clock, each._replace(point=point)))
            assert outcome in orders, "neither order explains it"

    def stop(self, each: Combination) -> None:
        """Do the first calls of an act and no more, and see whether all is well."""

        def never() -> None:
            raise Killed

        with self.copy() as (stores, clock):
            with contextlib.suppress(Killed):
                told(each.first, world(stores, clock, InterleavingStore(stores.metadata, each.point, never)))
            check(stores, clock)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """What takes pages takes several."""
    monkeypatch.setattr(delete, "MAX_BATCH_ITEMS", 2)
    monkeypatch.setattr(delete, "MAX_BATCH_TAGS", 1)
    monkeypatch.setattr(delete, "PAUSE_RATIO", 0.0)


def failures(do: Callable[[Combination], None], combinations: Iterable[Combination]) -> list[str]:
    found = []
    for each in combinations:
        try:
            do(each)
        except Exception as error:
            found.append(f"{each}: {type(error).__name__}: {error}"[:400])
    return found


@pytest.mark.parametrize("state", STATES)
def test_any_act_in_the_middle_of_any_other(state: str, tmp_path: Path) -> None:
    copies = Copies(tmp_path, state)
    chosen = islice(copies.combinations(), list(STATES).index(state), None, ONE_OF)

    assert failures(copies.combine, chosen) == []


@pytest.mark.parametrize("state", STATES)
def test_any_act_stopped_anywhere(state: str, tmp_path: Path) -> None:
    copies = Copies(tmp_path, state)
    each_point = islice(copies.combinations(), 0, None, len(OPERATIONS))
    chosen = islice(each_point, list(STATES).index(state), None, min(ONE_OF, 11))

    assert failures(copies.stop, chosen) == []


def test_the_same_on_firestore(emulators: Emulators, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names, states = list(OPERATIONS), list(STATES)
    for number in range(ON_FIRESTORE):
        # Primes, so that few combinations spread over all.
        state, first, second = (
            states[number % len(states)],
            names[7 * number % len(names)],
            names[-11 * number % len(names)],
        )
        calls = Copies(tmp_path / str(number), state).calls(first)
        each = Combination(first, number % calls, second)
        environment = dict(emulators.fresh_stores())
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        stores, clock = opened(environment), TickingClock()
        STATES[state](world(stores, clock))
        combine(stores, clock, each)
        check(stores, clock)
        stores.close()

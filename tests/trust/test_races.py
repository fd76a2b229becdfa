"""A verification in the middle of each operation, and each operation in the middle of a verification.

Before each call of the one, the other is done as a whole; or the operation stops there for ever, as where its process
is killed. Then no trust may count a signature that is not there, nor lack one that is, unless it is stale.

SQLite goes through one combination of so many, nightly (LADING_NIGHTLY=1) through all; Firestore through a few of them.
"""

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import pytest

from emulators import Emulators
from lading import settings
from lading.composition import open_blobs, open_metadata
from lading.jobs.backup.marker import BackupRefused
from lading.registry.errors import RegistryError
from lading.registry.lifecycle import delete
from lading_storage.digests import digest_of
from lading_storage.errors import ObjectNotFound, Unavailable
from lading_storage.protocols import Delete
from lading_storage.records.core import Key
from lading_storage.records.trust import Trust
from lading_storage.stores import Stores
from tests.support.concurrency import run_concurrently
from tests.support.fake_clock import FakeClock, TickingClock
from tests.support.folder_stores import folder_stores
from tests.support.interleaving import DelayedCommits, InterleavingStore
from tests.trust.signed_world import (
    IMAGE,
    INDEX,
    OPERATIONS,
    SUBJECTS,
    A,
    SignedWorld,
    assert_no_wrong_trust,
    counted,
    is_live,
    present,
)

NIGHTLY = os.environ.get("LADING_NIGHTLY") == "1"
ONE_OF = 1 if NIGHTLY else 41
ON_FIRESTORE = 200 if NIGHTLY else 4
REFUSALS = (RegistryError, ObjectNotFound, BackupRefused)

VERIFY = "verify"
SIGNING = [each for each in OPERATIONS if each.startswith("push the") and " of the " in each]


class Killed(BaseException):
    """Stands for kill -9: nothing catches it."""


class Combination(NamedTuple):
    """Names of an act, of another one, and before which call of the first one the other is done."""

    first: str
    point: int
    second: str


def signed(world: SignedWorld) -> None:
    """Both subjects have signatures of all forms, which were verified."""
    world.begin()
    for each in SIGNING:
        OPERATIONS[each](world)
    for subject in SUBJECTS:
        world.verify(subject)


def unverified(world: SignedWorld) -> None:
    """The same, and one was deleted and another one changed since."""
    signed(world)
    OPERATIONS["delete the bundle of the image"](world)
    OPERATIONS["push the first signatures of the index"](world)


def deleted(world: SignedWorld) -> None:
    """All was deleted and can be restored; the subjects were pushed again."""
    signed(world)
    world.registry.deletion.repository(A)
    world.clock.advance(minutes=2)
    OPERATIONS["push the image"](world)
    OPERATIONS["push the index"](world)
    world.verify(IMAGE)


def unsigned(world: SignedWorld) -> None:
    """Nothing is signed, and there is no trust."""
    world.begin()


STATES: dict[str, Callable[[SignedWorld], None]] = {
    each.__name__: each for each in (signed, unverified, deleted, unsigned)
}


def act(name: str, world: SignedWorld) -> None:
    """Do an operation, or verify both subjects."""
    with contextlib.suppress(*REFUSALS):
        if name != VERIFY:
            OPERATIONS[name](world)
            return
        for subject in SUBJECTS:
            with contextlib.suppress(RegistryError):
                world.verify(subject)


class Copies:
    """Stores in one state, copied for each use."""

    def __init__(self, folder: Path, state: str) -> None:
        self._folder = folder
        clock = TickingClock()
        stores = folder_stores(folder / "state")
        STATES[state](SignedWorld(stores, clock, folder))
        stores.close()
        self._time = clock.time

    @contextlib.contextmanager
    def copy(self) -> Iterator[tuple[Stores, FakeClock]]:
        shutil.copytree(self._folder / "state", self._folder / "copy")
        stores, clock = folder_stores(self._folder / "copy"), TickingClock()
        clock.time = self._time
        try:
            yield stores, clock
        finally:
            stores.close()
            shutil.rmtree(self._folder / "copy")
            shutil.rmtree(self._folder / "backup", ignore_errors=True)

    def calls(self, name: str) -> int:
        """How many calls an act makes when it is alone."""
        with self.copy() as (stores, clock):
            counting = InterleavingStore(stores.metadata)
            act(name, SignedWorld(stores, clock, self._folder, counting))
        return counting.calls

    def combinations(self) -> Iterator[Combination]:
        for point in range(self.calls(VERIFY)):
            yield from (Combination(VERIFY, point, second) for second in (VERIFY, *OPERATIONS))
        for first in OPERATIONS:
            yield from (Combination(first, point, VERIFY) for point in range(self.calls(first)))

    def combine(self, each: Combination) -> None:
        with self.copy() as (stores, clock):
            combine(stores, clock, self._folder, each)

    def stop(self, each: Combination) -> None:
        """Do the first calls of an act and no more, after a verification, and see whether all is well."""

        def never() -> None:
            raise Killed

        with self.copy() as (stores, clock):
            act(VERIFY, SignedWorld(stores, clock, self._folder))
            world = SignedWorld(stores, clock, self._folder, InterleavingStore(stores.metadata, each.point, never))
            with contextlib.suppress(Killed):
                act(each.first, world)
            check(stores, clock, self._folder)


def combine(stores: Stores, clock: FakeClock, folder: Path, each: Combination) -> None:
    """Do one act in the middle of the other, and see whether all is well."""
    between = InterleavingStore(
        stores.metadata, each.point, lambda: act(each.second, SignedWorld(stores, clock, folder))
    )
    act(each.first, SignedWorld(stores, clock, folder, between))
    check(stores, clock, folder)


def check(stores: Stores, clock: FakeClock, folder: Path) -> None:
    """See that no trust is wrong, and that another verification finds what is there."""
    assert_no_wrong_trust(stores.metadata, clock)
    world = SignedWorld(stores, clock, folder)
    for subject in SUBJECTS:
        if is_live(stores.metadata, subject):
            assert counted(world.verify(subject), clock) == present(stores.metadata, subject)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """What takes pages takes several."""
    monkeypatch.setattr(delete, "MAX_BATCH_ITEMS", 2)
    monkeypatch.setattr(delete, "MAX_BATCH_TAGS", 1)
    monkeypatch.setattr(delete, "PAUSE_RATIO", 0.0)


def failures(do: Callable[[Combination], None], combinations: Iterator[Combination]) -> list[str]:
    found = []
    for each in combinations:
        try:
            do(each)
        except Exception as error:
            found.append(f"{each}: {type(error).__name__}: {error}"[:400])
    return found


@pytest.mark.parametrize("state", STATES)
def test_a_verification_in_the_middle_of_each_operation_and_the_reverse(state: str, tmp_path: Path) -> None:
    copies = Copies(tmp_path, state)
    chosen = islice(copies.combinations(), list(STATES).index(state), None, ONE_OF)

    assert failures(copies.combine, chosen) == []


@pytest.mark.parametrize("state", ["signed", "deleted"])
def test_each_operation_stopped_anywhere(state: str, tmp_path: Path) -> None:
    copies = Copies(tmp_path, state)
    each_point = (each for each in copies.combinations() if each.first != VERIFY)

    assert failures(copies.stop, islice(each_point, list(STATES).index(state), None, ONE_OF)) == []


def test_the_same_on_firestore(emulators: Emulators, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names, states = [*OPERATIONS], [*STATES]
    for number in range(ON_FIRESTORE):
        # A prime, so that few combinations spread over all.
        state, operation = states[number % len(states)], names[11 * number % len(names)]
        first, second = (VERIFY, operation) if number % 2 else (operation, VERIFY)
        folder = tmp_path / str(number)
        point = 2 * number % Copies(folder, state).calls(first)
        environment = dict(emulators.fresh_stores())
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        read = settings.load_settings(environment)
        stores, clock = Stores(open_blobs(read.blobs), open_metadata(read.metadata)), TickingClock()
        STATES[state](SignedWorld(stores, clock, folder))
        combine(stores, clock, folder, Combination(first, point, second))
        stores.close()


def test_a_verification_relies_on_the_manifest_where_there_is_no_trust(
    stores: Stores, clock: FakeClock, tmp_path: Path
) -> None:
    """As of signatures that an earlier release stored: trust is created and purged while they are being verified."""
    key = Key(Trust, digest_of(IMAGE), A)
    again = SignedWorld(stores, clock, tmp_path)

    def begin_anew() -> None:
        again.delete(IMAGE)
        again.purge()
        again.put(IMAGE, "v1")

    again.begin()
    again.delete(INDEX)
    again.purge()
    reached = True
    for point in range(30):
        OPERATIONS["push the bundle of the image"](again)
        if (trust := stores.metadata.read([key])[key]) is not None:
            stores.metadata.commit([Delete(trust)])
        between = InterleavingStore(stores.metadata, point, begin_anew)
        SignedWorld(stores, clock, tmp_path, between).verify(IMAGE)
        reached = between.calls > point
        check(stores, clock, tmp_path)
        if not reached:
            break
    assert not reached


def test_pushes_deletions_and_verifications_at_once(stores: Stores, clock: FakeClock, tmp_path: Path) -> None:
    slow = Stores(stores.blobs, DelayedCommits(stores.metadata))
    signed(SignedWorld(stores, clock, tmp_path))
    worlds = [SignedWorld(slow, clock, tmp_path) for _ in range(6)]

    def work(number: int) -> None:
        operations = [
            "delete the bundle of the image",
            "push the bundle of the image",
            "push the notation of the image",
        ]
        for step in range(6):
            try:
                act(VERIFY if number % 2 else operations[(number + step) % 3], worlds[number])
            except Unavailable as error:
                raise AssertionError(f"gave up: {error}") from error

    run_concurrently(*(lambda number=number: work(number) for number in range(6)))

    check(stores, clock, tmp_path)

"""Whatever is done to signatures, trust is what they say: each change of one makes it stale, in its own commit.

Random sequences of all operations, by each caller that changes tags or manifests. After each of them, the trust that a
gate would use is the trust computed from nothing.
"""

import contextlib
import os
import random
import re
from pathlib import Path

import pytest

from lading.jobs.backup import restoration
from lading.jobs.backup.batch_restore import BatchRestore
from lading.jobs.backup.marker import BackupRefused
from lading.jobs.backup.restoration import Restore
from lading.registry.errors import RegistryError
from lading.registry.lifecycle.delete import Deletion
from lading.registry.registry import Registry
from lading_storage.errors import ObjectNotFound, TooLarge
from lading_storage.records.core import Key
from lading_storage.records.trust import Trust
from lading_storage.stores import Stores
from tests.support.fake_clock import FakeClock
from tests.support.folder_stores import folder_stores
from tests.support.registry_pushes import push_image, push_manifest
from tests.support.signatures import RELEASE, anchors, sign, sign_by_tag
from tests.support.store_hooks import RecordedMetadata
from tests.trust.signed_world import (
    IMAGE,
    OPERATIONS,
    SUBJECTS,
    A,
    SignedWorld,
    assert_no_wrong_trust,
    chosen,
    counted,
    is_live,
    present,
)

NIGHTLY = os.environ.get("LADING_NIGHTLY") == "1"
SEEDS = 200 if NIGHTLY else 4
STEPS = 80
REFUSALS = (RegistryError, ObjectNotFound, BackupRefused)


def run(world: SignedWorld, seed: int, steps: int) -> set[str]:
    """Do so many operations, and see after each that trust is right; return the names of those that did something."""
    random_ = random.Random(seed)
    done: list[str] = []
    effective: set[str] = set()
    for _ in range(steps):
        name = chosen(random_, done[-1] if done else "")
        done.append(name)
        with contextlib.suppress(*REFUSALS):
            OPERATIONS[name](world)
            effective.add(name)
        assert_no_wrong_trust(world.registry.metadata, world.clock)
        for subject in SUBJECTS:
            if is_live(world.registry.metadata, subject):
                trust = world.verify(subject)
                assert counted(trust, world.clock) == present(world.registry.metadata, subject), done
    return effective


def kind_of(operation: str) -> str:
    """Return the name of an operation without the subject."""
    return re.sub(r" the (image|index)$", "", operation)


def test_trust_is_what_signatures_say_after_any_sequence(clock: FakeClock, tmp_path: Path) -> None:
    effective: set[str] = set()
    for seed in range(SEEDS):
        stores = folder_stores(tmp_path / str(seed))
        world = SignedWorld(stores, clock, tmp_path / str(seed))
        world.begin()
        world.back_up()
        effective |= run(world, seed, STEPS)
        stores.close()

    kinds, wanted = {*map(kind_of, effective)}, {*map(kind_of, OPERATIONS)}
    assert len(kinds) >= (1 if NIGHTLY else 0.8) * len(wanted), wanted - kinds


def test_the_same_on_each_pair_of_stores(stores: Stores, clock: FakeClock, tmp_path: Path) -> None:
    world = SignedWorld(stores, clock, tmp_path)
    world.begin()

    run(world, 1_000, 40)


@pytest.mark.parametrize("one_by_one", [False, True])
def test_signatures_of_a_backup_count_again(
    one_by_one: bool, stores: Stores, clock: FakeClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = SignedWorld(stores, clock, tmp_path)
    world.begin()
    signing = [each for each in OPERATIONS if each.startswith("push the") and " of the image" in each]
    for each in signing:
        OPERATIONS[each](world)
    world.back_up()
    before = present(stores.metadata, IMAGE)
    for each in signing:
        with contextlib.suppress(RegistryError):
            OPERATIONS[each.replace("push", "delete")](world)
    world.purge()
    assert counted(world.verify(IMAGE), clock) == present(stores.metadata, IMAGE) == set()

    if one_by_one:
        monkeypatch.setattr(BatchRestore, "_commit", lambda self, writes: False)
    for part in ("manifests", "tags"):
        with monkeypatch.context() as patched:
            if part == "manifests":
                patched.setattr(BatchRestore, "tags", lambda self, repository: iter(()))
                patched.setattr(Restore, "_tag", lambda self, tag: None)
            world.restore_backup()
        assert_no_wrong_trust(stores.metadata, clock)
        assert counted(world.verify(IMAGE), clock) == present(stores.metadata, IMAGE) != set(), part
    assert present(stores.metadata, IMAGE) == before


@pytest.mark.parametrize("has_history", [False, True])
def test_a_tag_of_signatures_counts_that_is_restored_last(
    has_history: bool, stores: Stores, clock: FakeClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A restore into a new registry ends before the tags, or their histories; a pull verifies, and it is repeated."""
    original = SignedWorld(folder_stores(tmp_path / "original"), clock, tmp_path)
    original.begin()
    OPERATIONS["push the first signatures of the image"](original)
    original.back_up()
    world = SignedWorld(stores, clock, tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(BatchRestore, "tags", lambda self, repository: iter(()))
        patched.setattr(Restore, "_tag", lambda self, tag: None)
        if not has_history:
            patched.setattr(restoration, "restore_history", lambda *_: None)
        world.restore_backup()
    assert counted(world.verify(IMAGE), clock) == present(stores.metadata, IMAGE) == set()

    world.restore_backup()

    assert_no_wrong_trust(stores.metadata, clock)
    assert counted(world.verify(IMAGE), clock) == present(stores.metadata, IMAGE) != set()


def test_a_signature_that_is_deleted_in_several_commits_does_not_count(
    stores: Stores, clock: FakeClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def too_large(*arguments: object) -> None:
        raise TooLarge("by plan")

    world = SignedWorld(stores, clock, tmp_path)
    world.begin()
    OPERATIONS["push the bundle of the image"](world)
    assert len(counted(world.verify(IMAGE), clock)) == 1
    monkeypatch.setattr(Deletion, "delete_atomically", too_large)

    OPERATIONS["delete the bundle of the image"](world)

    assert present(stores.metadata, IMAGE) == set()
    assert_no_wrong_trust(stores.metadata, clock)


def trust_of(registry: Registry, digest: str) -> Trust | None:
    key = Key(Trust, digest, A)
    return registry.metadata.read([key])[key]


def test_the_purge_of_a_subject_deletes_its_trust(registry: Registry) -> None:
    image = push_image(registry, A, "v1")
    sign(registry, image)
    registry.verifier.trust_of(A, image.digest, anchors(RELEASE))
    registry.deletion.manifest(A, image.digest)
    stale = trust_of(registry, image.digest)
    assert stale is not None
    assert stale.verified is None, "its signature was deleted with it"

    registry.undelete.purge_by_cause(A, f"manifest:{image.digest}")

    assert trust_of(registry, image.digest) is None


@pytest.mark.parametrize("by_tag", [False, True])
def test_trust_in_what_does_not_exist_goes_with_its_signatures(by_tag: bool, registry: Registry) -> None:
    image = push_image(registry, A, "v1")
    registry.deletion.manifest(A, image.digest)
    registry.undelete.purge_by_cause(A, f"manifest:{image.digest}")
    signed = sign_by_tag(registry, image) if by_tag else sign(registry, image)
    assert trust_of(registry, image.digest) is not None

    registry.deletion.manifest(A, signed.digest)
    registry.undelete.purge_by_cause(A, f"manifest:{signed.digest}")

    assert trust_of(registry, image.digest) is None


def test_what_is_no_signature_costs_nothing_more_and_a_signature_one_record(stores: Stores, clock: FakeClock) -> None:
    metadata = RecordedMetadata(stores.metadata)
    registry = Registry(stores.blobs, metadata, clock=clock)
    image = push_image(registry, A, "v1")
    signed, tagged = sign(registry, image), sign_by_tag(registry, image)
    contents = [registry.manifests.content(each) for each in (image, signed, tagged)]
    calls, records = [], []
    for content, tag in zip(contents, ["v2", "v3", image.digest.replace(":", "-") + ".sig"], strict=True):
        metadata.calls.clear()
        push_manifest(registry, A, content, tag)
        calls.append(list(metadata.calls))
        records.append(trust_of(registry, image.digest))

    assert calls == [["read", "commit"]] * 3
    assert len({each.version for each in records if each}) == 2, "the push of the second one changed it"

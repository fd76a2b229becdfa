"""Clean-up on both pairs of stores: what goes can come back, what stays is whole, what changed in between stays."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from lading.jobs import cleanup
from lading.jobs.cleanup import CleanupContext, clean_up
from lading.jobs.gc.collect import Collector
from lading.jobs.gc.sweep import GracePeriods
from lading.registry import pagination
from lading.registry.cleanup.policy_json import parse_policies
from lading.registry.content.manifest_format import OCI_INDEX
from lading.registry.content.referrers import Referrer
from lading.registry.lifecycle import delete
from lading.registry.registry import Registry
from lading.registry.rules.effective import LocalRules
from lading.registry.rules.immutable import ImmutableTags
from lading_storage.digests import digest_of
from lading_storage.records.core import Manifest
from lading_storage.stores import Stores
from tests.cleanup.signed_images import SignedImage, push_signed_image
from tests.support import images
from tests.support.fake_clock import FakeClock
from tests.support.interleaving import InterleavingStore
from tests.support.registry_pushes import pull_blob, push_blob, push_manifest

REPOSITORY = "team/app"
OLD = '{"name": "old", "action": {"type": "Delete"}, "condition": {"tagPrefixes": ["v"], "olderThan": "30d"}}'


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def registry(stores: Stores, clock: FakeClock) -> Registry:
    return Registry(stores.blobs, stores.metadata, LocalRules(ImmutableTags.parse(["*:stable*"])), clock=clock)


@pytest.fixture
def rules(registry: Registry, clock: FakeClock) -> Callable[..., CleanupContext]:
    def rules(*policies: str) -> CleanupContext:
        return CleanupContext(
            parse_policies(f"[{', '.join(policies or (OLD,))}]"), registry.in_use_reports.all(), clock()
        )

    return rules


def digests(registry: Registry) -> set[str]:
    return {node.digest for node in registry.inventory.nodes(REPOSITORY)}


def pull_whole(registry: Registry, digest: str) -> None:
    """Pull a manifest, and all that it names."""
    manifest = registry.manifests.find(REPOSITORY, digest)
    assert isinstance(manifest, Manifest)
    assert digest_of(registry.manifests.content(manifest)) == digest
    for child in manifest.children:
        pull_whole(registry, child)
    for blob in manifest.blobs:
        assert digest_of(pull_blob(registry, REPOSITORY, blob)) == blob


def test_what_stays_is_whole_and_what_goes_can_come_back(
    registry: Registry, rules: Callable[..., CleanupContext], clock: FakeClock
) -> None:
    old = push_signed_image(registry, REPOSITORY, "v1", "v1.0")
    clock.advance(days=31)
    new = push_signed_image(registry, REPOSITORY, "v2")

    report = clean_up(registry, REPOSITORY, rules(), apply_plan=True)

    assert (report.kept, report.deleted, report.changed, report.manifests_by_policy, report.done) == (
        6,
        6,
        0,
        {"old": 6},
        True,
    )
    assert digests(registry) == new.all
    for digest in new.all:
        pull_whole(registry, digest)
    assert [referrer.manifest.digest for referrer in _referrers(registry, new)] == [new.sbom]
    moves = registry.tags.history(REPOSITORY, "v1", "", 10).items
    assert [(move.action, move.by, move.before) for move in moves] == [
        ("clean-up", "policy old", old.index),
        ("push", "", ""),
    ]

    registry.undelete.manifest(REPOSITORY, old.index)
    assert digests(registry) == old.all | new.all
    assert set(registry.tags.names(REPOSITORY, "", 100).items) >= {"v1", "v1.0", "v2"}
    assert len(registry.tags.names(REPOSITORY, "", 100).items) == 7


def _referrers(registry: Registry, image: SignedImage) -> list[Referrer]:
    return list(registry.manifests.referrers(REPOSITORY, image.index, "", "").items)


def test_what_went_in_one_commit_comes_back_one_by_one(
    registry: Registry, rules: Callable[..., CleanupContext], clock: FakeClock
) -> None:
    first, second = push_signed_image(registry, REPOSITORY, "v1"), push_signed_image(registry, REPOSITORY, "v2")
    clock.advance(days=31)
    clean_up(registry, REPOSITORY, rules(), apply_plan=True)

    causes = {thing.id: thing.cause for thing in registry.undelete.tombstones(REPOSITORY)}
    assert {causes[digest] for digest in first.all} == {causes["v1"]} == {f"manifest:{first.index}"}
    assert {causes[digest] for digest in second.all} == {causes["v2"]} == {f"manifest:{second.index}"}
    registry.undelete.tag(REPOSITORY, "v2")
    assert digests(registry) == second.all
    pull_whole(registry, second.index)


def test_a_preview_changes_nothing(registry: Registry, rules: Callable[..., CleanupContext], clock: FakeClock) -> None:
    old = push_signed_image(registry, REPOSITORY, "v1")
    clock.advance(days=31)

    report = clean_up(registry, REPOSITORY, rules(), apply_plan=False)

    assert (report.kept, report.deleted, report.manifests_by_policy) == (0, 6, {"old": 6})
    assert digests(registry) == old.all


def _tag(registry: Registry, image: SignedImage) -> None:
    content = registry.manifests.content(registry.manifests.find(REPOSITORY, image.index))
    push_manifest(registry, REPOSITORY, content, "release")


def _move(registry: Registry, image: SignedImage) -> None:
    push_blob(registry, REPOSITORY, images.EMPTY_CONFIG)
    push_manifest(registry, REPOSITORY, images.manifest([]), "v1")


def _pull(registry: Registry, image: SignedImage) -> None:
    registry.last_pulls.record_pull(REPOSITORY, image.index)


@pytest.mark.parametrize("meanwhile", [_tag, _move, _pull])
def test_what_changes_after_the_look_stays(
    registry: Registry,
    rules: Callable[..., CleanupContext],
    clock: FakeClock,
    meanwhile: Callable[[Registry, SignedImage], None],
) -> None:
    old, other = push_signed_image(registry, REPOSITORY, "v1"), push_signed_image(registry, REPOSITORY, "v2")
    clock.advance(days=31)
    made = cleanup.plan(registry, REPOSITORY, rules())
    meanwhile(registry, old)

    report = cleanup.apply(registry, made)

    assert (report.deleted, report.changed) == (6, 6)
    assert digests(registry) >= old.all
    assert not digests(registry) & other.all
    pull_whole(registry, old.index)


def test_a_child_that_another_index_names_after_the_look_stays(
    registry: Registry, rules: Callable[..., CleanupContext], clock: FakeClock
) -> None:
    old = push_signed_image(registry, REPOSITORY, "v1")
    clock.advance(days=31)
    made = cleanup.plan(registry, REPOSITORY, rules())
    found = registry.manifests.find(REPOSITORY, old.platforms[0])
    again = push_manifest(registry, REPOSITORY, images.index([registry.manifests.content(found)]), "v2")

    report = cleanup.apply(registry, made)

    assert digests(registry) == {again.digest, old.platforms[0], old.platform_signature}
    assert (report.deleted, report.changed) == (4, 2)
    pull_whole(registry, again.digest)


def test_only_what_stands_in_the_plan_goes(
    registry: Registry, rules: Callable[..., CleanupContext], clock: FakeClock
) -> None:
    first, second = push_signed_image(registry, REPOSITORY, "v1"), push_signed_image(registry, REPOSITORY, "v2")
    clock.advance(days=31)
    made = cleanup.plan(registry, REPOSITORY, rules())

    report = cleanup.apply(registry, made, only=first.all | {second.platforms[0]})

    assert (report.deleted, report.changed) == (6, 6)
    assert digests(registry) == second.all


def test_a_signature_that_is_pushed_after_its_subject_was_deleted_stays(
    registry: Registry, rules: Callable[..., CleanupContext], clock: FakeClock
) -> None:
    old = push_signed_image(registry, REPOSITORY, "v1")
    clock.advance(days=31)
    clean_up(registry, REPOSITORY, rules(), apply_plan=True)
    push_blob(registry, REPOSITORY, images.EMPTY_CONFIG)
    subject = {"mediaType": OCI_INDEX, "digest": old.index, "size": 1}
    by_subject = push_manifest(registry, REPOSITORY, images.manifest([], subject=subject)).digest
    by_tag = push_manifest(registry, REPOSITORY, images.manifest([]), old.index.replace(":", "-") + ".sig").digest

    clean_up(registry, REPOSITORY, rules(), apply_plan=True)
    assert digests(registry) == {by_subject, by_tag}
    clock.advance(days=31)
    clean_up(registry, REPOSITORY, rules(), apply_plan=True)
    assert digests(registry) == {by_subject, by_tag}


def test_an_immutable_tag_expires_where_a_policy_says_so(
    registry: Registry, rules: Callable[..., CleanupContext], clock: FakeClock
) -> None:
    old = push_signed_image(registry, REPOSITORY, "stable-1")
    clock.advance(days=31)
    policy = OLD.replace('"v"', '"stable"')

    assert clean_up(registry, REPOSITORY, rules(policy), apply_plan=True).deleted == 0
    assert digests(registry) == old.all
    assert clean_up(registry, REPOSITORY, rules(policy[:-1] + ', "immutableTags": true}'), apply_plan=True).deleted == 6


def test_what_runs_stays(registry: Registry, rules: Callable[..., CleanupContext], clock: FakeClock) -> None:
    by_tag, by_digest = push_signed_image(registry, REPOSITORY, "v1"), push_signed_image(registry, REPOSITORY, "v2")
    push_signed_image(registry, REPOSITORY, "v3")
    registry.in_use_reports.report("one", [f"registry.example:5000/{REPOSITORY}:v1", "elsewhere/app:v3"])
    registry.in_use_reports.report("two", [by_digest.platforms[1]])
    clock.advance(days=31)

    clean_up(registry, REPOSITORY, rules(), apply_plan=True)

    assert digests(registry) == by_tag.all | by_digest.all


@pytest.mark.parametrize("applied", [True, False])
def test_collection_applies_policies_where_it_is_switched_on(
    registry: Registry, rules: Callable[..., CleanupContext], clock: FakeClock, applied: bool
) -> None:
    old = push_signed_image(registry, REPOSITORY, "v1")
    push_signed_image(registry, "elsewhere", "v1")
    clock.advance(days=31)
    policy = OLD.replace('"tagPrefixes"', '"packageNamePrefixes": ["team/"], "tagPrefixes"')
    cleaning = cleanup.in_collection(registry, rules(policy).policies, applied, clock)

    report = Collector(registry, GracePeriods(grace=timedelta(0), undelete=timedelta(0)), cleaning, clock).run()

    assert report
    assert report.finished
    word = "deleted" if applied else "would be deleted"
    assert report.counts[f"manifests {word} by policy old"] == 6
    assert digests(registry) == (set() if applied else old.all)
    assert report.counts["repositories looked at by policies"] == (3 if applied else 2), (
        "again where it changed something"
    )


def test_collection_goes_on_in_a_repository_that_it_could_not_finish(
    registry: Registry, rules: Callable[..., CleanupContext], clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delete, "MAX_BATCH_ITEMS", 10)
    for number in range(3):
        push_signed_image(registry, REPOSITORY, f"v{number}")
    clock.advance(days=31)
    cleaning = cleanup.in_collection(registry, rules().policies, True, clock)
    collector = Collector(registry, GracePeriods(grace=timedelta(0), undelete=timedelta(0)), cleaning, clock)

    left = []
    while (report := collector.run(timedelta(0))) and report.phase in ("sessions", "requeue", "policies"):
        left.append(len(digests(registry)))

    assert report
    assert sorted(set(left)) == [0, 6, 12, 18]
    assert digests(registry) == set()
    assert report.counts["manifests deleted by policy old"] == 18


def test_an_index_that_escapes_the_look_keeps_its_child(
    stores: Stores, rules: Callable[..., CleanupContext], clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Registry(stores.blobs, stores.metadata, clock=clock)
    push_blob(whole, REPOSITORY, images.EMPTY_CONFIG)
    contents = sorted((images.manifest([], annotations={"n": str(number)}) for number in range(9)), key=digest_of)
    for content in contents:
        push_manifest(whole, REPOSITORY, content)
    child = contents[-1]
    names = (images.index([child], annotations={"n": str(number)}) for number in range(1000))
    index = next(each for each in names if digest_of(each) < digest_of(contents[0]))
    clock.advance(days=31)
    monkeypatch.setattr(pagination, "PAGE_SIZE", 5)
    # The rules are read first, then manifests in two pages: the index comes between these, and would be in the first.
    between = InterleavingStore(stores.metadata, 2, lambda: push_manifest(whole, REPOSITORY, index))
    looking = Registry(stores.blobs, between, clock=clock)
    untagged = '{"name": "u", "action": {"type": "Delete"}, "condition": {"tagState": "UNTAGGED", "olderThan": "1d"}}'

    report = clean_up(looking, REPOSITORY, rules(untagged), apply_plan=True)

    assert (report.deleted, report.changed) == (8, 1)
    assert digests(whole) == {digest_of(index), digest_of(child)}

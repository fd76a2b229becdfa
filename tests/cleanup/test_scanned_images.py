"""Clean-up of images that were scanned: their documents go and stay with them, and count as no version."""

import io
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from lading import cli
from lading.jobs.cleanup import CleanupContext, clean_up
from lading.registry.cleanup.policy_json import parse_policies
from lading.registry.registry import Registry
from lading.registry.scans.documents import CYCLONEDX, IN_TOTO
from lading.registry.scans.vulnerability_data import ARTIFACT_TYPE
from lading_storage.digests import digest_of
from lading_storage.local.sqlite import SqliteMetadata
from lading_storage.query import Query
from lading_storage.records.core import Manifest
from lading_storage.records.scans import Facts
from lading_storage.stores import Stores
from tests.scans.scan_steps import A, accept, claim_all, collect_all, facts_of, pushed, referrers, result_of
from tests.support import images
from tests.support.fake_clock import FakeClock
from tests.support.interleaving import InterleavingStore
from tests.support.invariants import Snapshot, assert_intact, assert_no_garbage
from tests.support.outbox import assert_events_match
from tests.support.registry_pushes import push_image, push_manifest

Run = Callable[..., list[dict[str, Any]]]


def delete(name: str, **condition: Any) -> dict[str, Any]:
    return {"name": name, "action": {"type": "Delete"}, "condition": condition}


def newest(count: int) -> dict[str, Any]:
    return {"name": "newest", "action": {"type": "Keep"}, "mostRecentVersions": {"keepCount": count}}


ALL = delete("all", tagState="any")
UNTAGGED = delete("untagged", tagState="untagged", olderThan="1d")
PULL_REQUESTS = delete("pull requests", tagPrefixes=["pr-"])


@pytest.fixture
def clock() -> FakeClock:
    """A clock of long ago: commands go by the time of this machine."""
    clock = FakeClock()
    clock.advance(days=-450)
    return clock


@pytest.fixture
def registry(stores: Stores, clock: FakeClock) -> Registry:
    return Registry(stores.blobs, stores.metadata, clock=clock, scans_images=True)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run `lading cleanup` on the stores; return the rows that it prints."""

    def run(*words: str, policies: list[dict[str, Any]], stdin: str = "") -> list[dict[str, Any]]:
        monkeypatch.setattr("sys.stdin", io.StringIO(stdin))
        assert cli.main(["cleanup", *words, "--json", "--cleanup", json.dumps(policies)]) == 0
        return [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    return run


def scan_all(registry: Registry, clock: FakeClock, number: int = 1) -> None:
    for claim in claim_all(registry):
        accept(registry, claim, result_of(claim, clock, number))


def live(registry: Registry) -> set[str]:
    return {node.digest for node in registry.inventory.nodes(A)}


def documents(registry: Registry, *scanned: Manifest) -> set[str]:
    facts = [facts_of(registry, image) for image in scanned]
    return {digest for each in facts for digest in (each.sbom, each.report)}


def test_documents_go_with_an_image_that_is_cleaned_up_and_stay_with_one_that_is_kept(
    registry: Registry, stores: Stores, clock: FakeClock, run: Run
) -> None:
    gone, kept = pushed(registry, "pr-1"), pushed(registry, "v1")
    scan_all(registry, clock)
    of_gone, of_kept = documents(registry, gone), documents(registry, kept)
    assert len(of_gone | of_kept) == 4
    clock.advance(days=40)

    planned = {row["digest"]: row for row in run("plan", policies=[PULL_REQUESTS, UNTAGGED])}
    assert {digest for digest, row in planned.items() if not row["kept"]} == {gone.digest, *of_gone}
    assert {planned[each]["why"] for each in of_gone} == {f"referrer of {gone.digest}: policy 'pull requests'"}
    assert {planned[each]["why"] for each in of_kept} == {f"referrer of {kept.digest}: no policy deletes it"}
    assert all(planned[each]["frees"] > 0 for each in of_gone)
    assert live(registry) == {gone.digest, kept.digest, *of_gone, *of_kept}, "a plan changes nothing"

    (row,) = run("apply", "--yes", policies=[PULL_REQUESTS, UNTAGGED])
    assert (row["deleted"], row["kept"], row["skipped"]) == (3, 3, 0)
    assert live(registry) == {kept.digest, *of_kept}
    assert_intact(Snapshot(stores, [A]))

    assert {*registry.undelete.manifest(A, gone.digest)} == {gone.digest, *of_gone}
    facts = facts_of(registry, gone)
    assert referrers(registry, gone) == {CYCLONEDX: [facts.sbom], IN_TOTO: [facts.report]}
    assert_events_match(stores.metadata, A)


def test_a_clean_up_and_a_collection_leave_nothing_of_an_image(
    registry: Registry, stores: Stores, clock: FakeClock, run: Run
) -> None:
    gone, kept = pushed(registry, "pr-1"), pushed(registry, "v1")
    scan_all(registry, clock)
    clock.advance(days=40)
    run("apply", "--yes", policies=[PULL_REQUESTS])
    clock.time = datetime.now(UTC) + timedelta(days=1)

    collect_all(registry, clock)

    assert [each.id for each in stores.metadata.find(Query(Facts, repository=A, limit=9))] == [kept.digest]
    assert live(registry) == {kept.digest, *documents(registry, kept)}
    assert gone.digest not in live(registry)
    assert_no_garbage(Snapshot(stores, [A]))


def test_documents_count_as_no_version(registry: Registry, clock: FakeClock, run: Run) -> None:
    """They are the newest manifests of the repository, and would else take the place of an image."""
    old, *new = [pushed(registry, f"v{number}") for number in range(3) if clock.advance(hours=2)]
    clock.advance(days=2)
    scan_all(registry, clock)
    of_old, of_new = documents(registry, old), documents(registry, *new)

    planned = run("plan", policies=[ALL, newest(2)])
    assert {row["digest"] for row in planned if not row["kept"]} == {old.digest, *of_old}

    run("apply", "--yes", policies=[ALL, newest(2)])
    assert live(registry) == {each.digest for each in new} | of_new


@pytest.mark.parametrize(
    "policy",
    [
        UNTAGGED,
        delete("old", tagState="untagged", moreStaleThan="7d"),
        delete("digests", versionNamePrefixes=["sha256:"]),
    ],
    ids=lambda policy: policy["name"],
)
def test_a_policy_about_untagged_manifests_takes_documents_of_untagged_images_alone(
    policy: dict[str, Any], registry: Registry, clock: FakeClock, run: Run
) -> None:
    tagged, child, untagged = pushed(registry, "v1"), push_image(registry, A), push_image(registry, A)
    index = push_manifest(registry, A, images.index([child.content or b""]), "multi")
    scan_all(registry, clock)
    keep = {"name": "tags", "action": {"type": "Keep"}, "condition": {"tagState": "tagged"}}
    of_kept, of_untagged = documents(registry, tagged, child), documents(registry, untagged)
    assert len(of_kept | of_untagged) == 6
    clock.advance(days=40)

    planned = run("plan", policies=[policy, keep])
    assert {row["digest"] for row in planned if not row["kept"]} == {untagged.digest, *of_untagged}

    run("apply", "--yes", policies=[policy, keep])
    assert live(registry) == {tagged.digest, child.digest, index.digest, *of_kept}


def test_what_a_plan_deletes_takes_along_the_documents_that_it_has_by_then(
    registry: Registry, stores: Stores, clock: FakeClock, run: Run
) -> None:
    gone, spared = pushed(registry, "pr-1"), pushed(registry, "pr-2")
    scan_all(registry, clock)
    clock.advance(days=1)
    planned = [row for row in run("plan", policies=[PULL_REQUESTS]) if row["digest"] != spared.digest]
    before = documents(registry, gone)
    clock.advance(days=1)
    scan_all(registry, clock, 2)
    assert before.isdisjoint(documents(registry, gone)), "the comparison of the next day has replaced them"

    (row,) = run("apply", "--yes", "-", policies=[PULL_REQUESTS], stdin="\n".join(map(json.dumps, planned)))

    assert (row["deleted"], row["skipped"]) == (3, 3)
    assert live(registry) == {spared.digest, *documents(registry, spared)}
    assert_intact(Snapshot(stores, [A]))


def test_a_clean_up_in_the_middle_of_a_result_leaves_no_document_without_its_image(
    registry: Registry, stores: Stores, clock: FakeClock
) -> None:
    context = [*parse_policies(json.dumps([PULL_REQUESTS, UNTAGGED]))]
    point, calls = 0, 1
    while point < calls:
        image = pushed(registry, f"pr-{point}")
        scan_all(registry, clock)
        clock.advance(days=1)
        (claim,) = claim_all(registry)
        store = InterleavingStore(
            stores.metadata,
            point,
            lambda: clean_up(registry, A, CleanupContext(context, [], clock()), apply_plan=True),
        )
        accept(Registry(stores.blobs, store, clock=clock, scans_images=True), claim, result_of(claim, clock, 2))
        calls = store.calls
        # What was changed meanwhile is left to the next one.
        clean_up(registry, A, CleanupContext(context, [], clock()), apply_plan=True)
        assert live(registry) == set(), point

        registry.undelete.manifest(A, image.digest)
        facts = facts_of(registry, image)
        assert referrers(registry, image) == {CYCLONEDX: [facts.sbom], IN_TOTO: [facts.report]}, point
        registry.deletion.manifest(A, image.digest)
        point += 1 if isinstance(stores.metadata, SqliteMetadata) else 4
    assert_intact(Snapshot(stores, [A]))
    collect_all(registry, clock)
    assert_no_garbage(Snapshot(stores, [A]))


def test_vulnerability_data_that_is_in_use_is_kept(registry: Registry, clock: FakeClock, run: Run) -> None:
    """Data that was imported does not come back by itself."""
    artifacts = registry.scans.vulnerability_data("lading/vulnerabilities")
    digest = artifacts.publish("npm", f"{ARTIFACT_TYPE}+gzip", digest_of(b"data"), [b"data"], "1")
    forged = push_image(registry, "lading/vulnerabilities", "other")
    clock.advance(days=400)

    planned = {row["digest"]: row for row in run("plan", policies=[ALL])}
    assert planned[digest]["kept"]
    assert planned[digest]["why"] == "it is in use in the scans of images, as vulnerability data"
    assert not planned[forged.digest]["kept"]
    (row,) = run("apply", "--yes", policies=[ALL])
    assert (row["deleted"], row["kept"]) == (1, 1)
    assert [*artifacts.current(["npm"])] == ["npm"]

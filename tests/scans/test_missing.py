"""Images that were pushed while nothing was scanned, on both pairs of stores: each is requested once, page by page."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import pytest

from lading.registry.registry import Registry
from lading.registry.scans import missing
from lading.scanning.findings import WAITING
from lading_storage.errors import ObjectNotFound
from lading_storage.records.core import Manifest, Tag
from lading_storage.records.scans import BACKLOG
from lading_storage.stores import Stores
from tests.scans.scan_steps import A, claim_all, facts_of, has_facts, pushed
from tests.support import images
from tests.support.fake_clock import FakeClock
from tests.support.indexes import push_index
from tests.support.registry_pushes import push_blob, push_image, push_manifest
from tests.support.store_hooks import RecordedMetadata, hooked_registry

T = TypeVar("T")


@pytest.fixture
def unscanned(stores: Stores, clock: FakeClock) -> Registry:
    """A registry over the stores, which does not scan."""
    return Registry(stores.blobs, stores.metadata, clock=clock)


def request_all(registry: Registry, repository: str = A) -> list[str]:
    requested: list[str] = []
    after, has_more = "", True
    while has_more:
        page = registry.scans.missing.request(repository, after)
        requested += page.items
        after, has_more = page.next, bool(page.next)
    return requested


def test_images_without_facts_are_due_and_all_others_are_left_alone(registry: Registry, unscanned: Registry) -> None:
    _, children, _ = push_index(unscanned, A, "index")
    push_blob(unscanned, A, b"{}")
    attestation = push_manifest(unscanned, A, images.signature(b"{}", "application/vnd.in-toto+json"), "attestation")
    old, deleted = push_image(unscanned, A, "old"), push_image(unscanned, A, "deleted", layers=3)
    other = push_image(unscanned, "team/other", "v1")
    unscanned.deletion.manifest(A, deleted.digest)
    new = push_image(registry, A, "new", layers=2)
    before = facts_of(registry, new)

    requested = request_all(registry)

    assert len(requested) == len({*requested}) == len(children) + 1
    assert old.digest in requested
    facts = facts_of(registry, old)
    assert (facts.state, facts.task, facts.tries) == (WAITING, BACKLOG, 0)
    assert facts_of(registry, new) == before
    assert not has_facts(registry, deleted)
    assert not has_facts(registry, other)
    assert has_facts(registry, attestation) is False
    assert {claim.digest for claim in claim_all(registry)} == {*requested, new.digest}


def test_what_was_requested_is_passed_over(registry: Registry, unscanned: Registry) -> None:
    pushed(unscanned)

    assert len(request_all(registry)) == 1
    (claim,) = claim_all(registry)
    assert request_all(registry) == []
    assert registry.scans.is_held(A, claim.digest, claim.nonce)


def test_pages_are_walked_to_the_end_and_an_interrupted_walk_is_repeated(
    registry: Registry, unscanned: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    pushes = {push_image(unscanned, A, f"v{number}", layers=number).digest for number in range(1, 6)}
    monkeypatch.setattr(missing, "PAGE_SIZE", 2)

    first = registry.scans.missing.request(A)
    rest = request_all(registry)

    assert (len(first.items), len(rest), first.next) == (2, 3, max(first.items))
    assert {*first.items, *rest} == pushes


def test_an_image_that_is_deleted_meanwhile_gets_no_facts(
    stores: Stores, unscanned: Registry, clock: FakeClock
) -> None:
    kept, deleted = pushed(unscanned, "kept"), pushed(unscanned, "deleted", layers=2)
    pending = [deleted.digest]

    def delete_first(method: str, arguments: Mapping[str, Any], forward: Callable[[], T], /) -> T:
        if method == "commit" and pending:
            unscanned.deletion.manifest(A, pending.pop())
        return forward()

    registry = hooked_registry(stores, delete_first, clock=clock, scans_images=True)

    assert request_all(registry) == [kept.digest]
    assert pending == []
    assert not has_facts(registry, deleted)


def test_a_repeated_walk_takes_two_calls_a_page(stores: Stores, unscanned: Registry, clock: FakeClock) -> None:
    pushed(unscanned, "v1")
    pushed(unscanned, "v2", layers=2)
    metadata = RecordedMetadata(stores.metadata)
    registry = Registry(stores.blobs, metadata, clock=clock, scans_images=True)
    request_all(registry)
    metadata.calls.clear()

    request_all(registry)

    assert len(metadata.calls) == 2


def test_a_manifest_whose_bytes_are_lost_does_not_end_the_walk(
    registry: Registry, unscanned: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost, kept = pushed(unscanned, "lost"), pushed(unscanned, "kept", layers=2)
    read = registry.manifests.content

    def damaged(found: Manifest | Tag) -> bytes:
        if isinstance(found, Manifest) and found.id == lost.id:
            raise ObjectNotFound("lost")
        return read(found)

    monkeypatch.setattr(registry.manifests, "content", damaged)

    assert request_all(registry) == [kept.digest]


def test_a_repository_without_manifests_has_one_empty_page(registry: Registry) -> None:
    assert request_all(registry, "team/absent") == []

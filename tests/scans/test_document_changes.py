"""Documents that are deleted or restored, and keys that are removed, on both pairs of stores: they count at once."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

from lading.registry.registry import Registry
from lading.vulnerabilities.document_keys import DocumentKeys, load_keys
from lading_storage.records.core import Manifest
from lading_storage.stores import Stores
from tests.scans.scan_runs import FakeData, FakeLayers, image_of, npm, run
from tests.scans.scan_steps import A, accept, claim_all, facts_of, only_claim, result_of
from tests.support.fake_clock import FakeClock
from tests.support.osv_dumps import MakeDatabases, vulnerable
from tests.support.store_hooks import RecordedMetadata
from tests.support.vex_documents import FORGER, KEY, attach, attach_by_tag, bundle, document, envelope, write_keys

LEFT_PAD: Final = "pkg:npm/left-pad@1.0.0"

Open = Callable[..., Registry]


@pytest.fixture
def open_registry(stores: Stores, clock: FakeClock, tmp_path: Path) -> Open:
    """Return a registry as another process has it, with these keys for VEX; with none of them, without keys."""

    def opened(metadata: Any = None, **keys: Any) -> Registry:
        registry = Registry(stores.blobs, metadata or stores.metadata, clock=clock, scans_images=True)
        if keys:
            folder = tmp_path / "-".join(sorted(keys))
            registry.honour_documents(DocumentKeys(vex=load_keys(str(write_keys(folder, **keys)))))
        return registry

    return opened


@pytest.fixture
def scan(clock: FakeClock, databases_of: MakeDatabases) -> Callable[[Registry], int]:
    layers = FakeLayers({b"base": npm("left-pad", "1.0.0"), b"other": npm("right-pad", "1.0.0")})
    data = FakeData(databases_of(vulnerable("GHSA-1", "npm", "left-pad", "1.1.0")))
    return lambda registry: sum(run(registry, clock, layers, data).values())


def signed(image: Manifest) -> dict[str, Any]:
    return envelope(document("GHSA-1", LEFT_PAD), image.digest)


def is_suppressed(registry: Registry, image: Manifest) -> bool:
    (found,) = registry.image_scans.document(A, image.digest).vulnerabilities
    return bool(found.suppressed)


@pytest.mark.parametrize("by_tag", [False, True])
@pytest.mark.parametrize("has_keys", [True, False], ids=["server", "process without keys"])
def test_a_deleted_document_counts_no_longer_and_a_restored_one_again(
    by_tag: bool, has_keys: bool, open_registry: Open, clock: FakeClock, scan: Callable[[Registry], int]
) -> None:
    registry = open_registry(release=KEY)
    image = image_of(registry, "v1", b"base")
    attached = (
        attach_by_tag(registry, image, signed(image)) if by_tag else attach(registry, image, bundle(signed(image)))
    )
    tag = f"{image.digest.replace(':', '-')}.att"
    scan(registry)
    assert is_suppressed(registry, image)
    other = registry if has_keys else open_registry()

    other.tags.delete(A, tag) if by_tag else other.deletion.manifest(A, attached.digest)
    clock.advance(minutes=1)
    assert scan(registry) == 1
    assert not is_suppressed(registry, image)

    other.undelete.tag(A, tag) if by_tag else other.undelete.manifest(A, attached.digest)
    clock.advance(minutes=1)
    assert scan(registry) == 1
    assert is_suppressed(registry, image)


def test_a_document_that_is_deleted_during_a_comparison_is_followed_by_another_one(
    open_registry: Open, clock: FakeClock, scan: Callable[[Registry], int]
) -> None:
    registry = open_registry(release=KEY)
    image = image_of(registry, "v1", b"base")
    attached = attach(registry, image, bundle(signed(image)))
    scan(registry)
    clock.advance(days=1)
    claim = only_claim(registry)

    registry.deletion.manifest(A, attached.digest)
    accept(registry, claim, result_of(claim, clock, data=dict(claim.data), fingerprint="", sbom=None, report=None))

    clock.advance(minutes=1)
    assert [each.digest for each in claim_all(registry)] == [image.digest]


@pytest.mark.parametrize("keys", [{}, {"other": FORGER}, {"renamed": KEY}], ids=["no key", "another key", "its name"])
def test_other_keys_make_those_images_due_that_have_documents(
    keys: dict[str, Any], stores: Stores, open_registry: Open, clock: FakeClock, scan: Callable[[Registry], int]
) -> None:
    registry = open_registry(release=KEY)
    image = image_of(registry, "v1", b"base")
    others = [image_of(registry, f"other-{number}", b"other") for number in range(3)]
    attach(registry, image, bundle(signed(image)))
    scan(registry)
    before = [facts_of(registry, each) for each in others]
    clock.advance(hours=1)
    metadata = RecordedMetadata(stores.metadata)

    restarted = open_registry(metadata, **keys)
    assert scan(restarted) == 1

    assert is_suppressed(restarted, image) == ("renamed" in keys)
    assert [facts_of(restarted, each) for each in others] == before
    metadata.calls.clear()
    assert scan(open_registry(metadata, **keys)) == 0
    calls = ["due"] * 4 + ["read"] + ["due"] * 4
    assert metadata.calls == calls, "of each queue what killed scanners claimed, then the keys, then what is due"


def test_the_deletion_of_an_image_with_its_documents_changes_no_facts(
    open_registry: Open, clock: FakeClock, scan: Callable[[Registry], int]
) -> None:
    registry = open_registry(release=KEY)
    image = image_of(registry, "v1", b"base")
    attach(registry, image, bundle(signed(image)))
    scan(registry)
    before = facts_of(registry, image)

    registry.deletion.manifest(A, image.digest)

    assert facts_of(registry, image) == before


def test_the_first_scans_that_were_requested_come_after_pushes_and_comparisons(
    stores: Stores, open_registry: Open, clock: FakeClock, scan: Callable[[Registry], int]
) -> None:
    before = image_of(Registry(stores.blobs, stores.metadata, clock=clock), "before", b"base")
    registry = open_registry()
    known = image_of(registry, "known", b"base")
    scan(registry)
    assert [*registry.scans.missing.request(A).items] == [before.digest]
    clock.advance(days=1)
    pushed = image_of(registry, "v1", b"base")

    order = [each.digest for _ in range(3) for each in registry.scans.claims.claim(1, 1)]

    assert order == [pushed.digest, known.digest, before.digest]
    assert registry.image_scans.document(A, before.digest).pending

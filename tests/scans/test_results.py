"""Results and what becomes of them, on both pairs of stores: each is accepted once, and by its own claim only."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeVar

import pytest

from lading.registry.errors import RegistryError
from lading.registry.registry import Registry
from lading.registry.scans import claim as claim_module
from lading.scanning.findings import FAILED, UNSUPPORTED, WAITING
from lading_storage.protocols import Create, Delete
from lading_storage.query import Query
from lading_storage.records.core import Blob, Key
from lading_storage.records.scans import MATCH, LayerScan, VulnerabilityData
from lading_storage.stores import Stores
from tests.scans.scan_steps import (
    A,
    accept,
    facts_of,
    only_claim,
    pushed,
    referrers,
    result_of,
    scan,
)
from tests.support import images
from tests.support.fake_clock import FakeClock
from tests.support.registry_pushes import push_blob
from tests.support.store_hooks import hooked_registry

T = TypeVar("T")


def refused(act: Callable[[], object]) -> str:
    with pytest.raises(RegistryError) as error:
        act()
    return f"{error.value.descriptor.status} {error.value}"


def test_ecosystems_that_images_need_are_recorded_once(registry: Registry, clock: FakeClock) -> None:
    pushed(registry)
    scan(registry, clock, ecosystems=["Debian", "PyPI", "../../evil", "x" * 65])
    clock.advance(days=1)
    scan(registry, clock, 2, ecosystems=["PyPI", "Go"])

    seen = registry.metadata.find(Query(VulnerabilityData, limit=9))

    assert [each.id for each in seen] == ["Debian", "Go", "PyPI"]
    assert seen[0].seen < seen[1].seen


def test_images_cannot_make_any_number_of_ecosystems(registry: Registry, clock: FakeClock) -> None:
    pushed(registry)

    scan(registry, clock, ecosystems=[f"e{number}" for number in range(101)])

    assert registry.metadata.find(Query(VulnerabilityData, limit=9)) == []


def test_unchanged_data_only_moves_the_times_of_comparisons(registry: Registry, clock: FakeClock) -> None:
    image = pushed(registry)
    scan(registry, clock)
    before = facts_of(registry, image)
    clock.advance(days=1)

    scan(registry, clock, 2, is_unchanged=True, sbom=None, report=None)

    facts = facts_of(registry, image)
    assert facts.next > before.next
    assert before.at is not None
    assert facts.at is not None
    assert facts.at > before.at, "what was found before is what is found now"
    assert (facts.counts, facts.content, facts.data) == (before.counts, before.content, before.data)


def test_nothing_is_unchanged_before_the_first_result(registry: Registry, clock: FakeClock) -> None:
    image = pushed(registry)
    claim = only_claim(registry)
    unchanged = result_of(claim, clock, is_unchanged=True, sbom=None, report=None)

    assert refused(lambda: accept(registry, claim, unchanged)).startswith("400")
    assert facts_of(registry, image).state == WAITING


def test_a_repeated_result_changes_nothing(registry: Registry, stores: Stores, clock: FakeClock) -> None:
    image = pushed(registry)
    claim = only_claim(registry)
    result = result_of(claim, clock)
    accept(registry, claim, result)
    before, attached = facts_of(registry, image), referrers(registry, image)

    accept(registry, claim, result)

    assert stores.metadata.read([before.key])[before.key] == before
    assert referrers(registry, image) == attached


@pytest.mark.parametrize("nonce", ["", "0" * 32])
def test_a_wrong_nonce_changes_nothing(registry: Registry, clock: FakeClock, nonce: str) -> None:
    image = pushed(registry)
    claim = only_claim(registry)
    before = facts_of(registry, image)

    message = refused(lambda: registry.scans.results.accept(A, image.digest, nonce, result_of(claim, clock)))

    assert message.startswith("409")
    assert facts_of(registry, image) == before
    assert referrers(registry, image) == {}
    assert registry.metadata.find(Query(LayerScan, limit=1)) == []


def test_a_scanner_that_comes_too_late_changes_nothing(registry: Registry, clock: FakeClock) -> None:
    image = pushed(registry)
    slow = only_claim(registry)
    clock.advance(minutes=16)
    fast = only_claim(registry)
    accept(registry, fast, result_of(fast, clock))

    assert refused(lambda: accept(registry, slow, result_of(slow, clock, 2))).startswith("409")

    assert facts_of(registry, image).counts == '{"high":[1,0]}'


def test_a_result_of_an_unknown_image_is_refused(registry: Registry, clock: FakeClock) -> None:
    pushed(registry)
    claim = only_claim(registry)

    for repository, digest in (("other", claim.digest), (A, "sha256:" + "0" * 64)):
        accept_it = partial(registry.scans.results.accept, repository, digest, claim.nonce, result_of(claim, clock))
        assert refused(accept_it).startswith("409")


@pytest.mark.parametrize(
    "fields",
    [{"state": "clean"}, {"counts": {"horrible": (1, 1)}}, {"report": None}, {"worst": b"x" * (256 * 1024 + 1)}],
    ids=["state", "severity", "documents", "worst"],
)
def test_a_result_that_no_scanner_makes_is_refused(
    registry: Registry, clock: FakeClock, fields: dict[str, Any]
) -> None:
    image = pushed(registry)
    claim = only_claim(registry)

    assert refused(lambda: accept(registry, claim, result_of(claim, clock, **fields))).startswith("400")
    assert facts_of(registry, image).claim == claim.nonce


def test_what_a_scanner_says_of_other_layers_is_dropped(registry: Registry, clock: FakeClock) -> None:
    other = push_blob(registry, A, images.blob()).id
    pushed(registry)

    scan(registry, clock, layers={other: b"forged"})

    assert registry.metadata.find(Query(LayerScan, limit=1)) == []


def test_packages_that_no_record_holds_are_read_again(registry: Registry, clock: FakeClock) -> None:
    image = pushed(registry)
    scan(registry, clock, layers={image.blobs[1]: b"x" * (512 * 1024 + 1)})
    clock.advance(days=1)

    assert [layer.packages for layer in only_claim(registry).layers] == [None]


def test_notes_are_bounded(registry: Registry, clock: FakeClock) -> None:
    image = pushed(registry)

    scan(registry, clock, notes=["x" * 10_000, *(str(number) for number in range(500))])

    notes = facts_of(registry, image).notes
    assert len(notes) == claim_module.MAX_NOTES
    assert max(map(len, notes)) == claim_module.MAX_NOTE_LENGTH
    assert notes[-1] == "and 302 more"


@pytest.mark.parametrize("state", [UNSUPPORTED, FAILED])
def test_states_without_findings_say_why(registry: Registry, clock: FakeClock, state: str) -> None:
    image = pushed(registry)

    scan(registry, clock, state=state, reason="because")

    facts = facts_of(registry, image)
    assert (facts.state, facts.reason) == (state, "because")
    assert (facts.task == MATCH) == (state == UNSUPPORTED)


def test_a_try_that_did_not_finish_keeps_the_layers_that_it_read(registry: Registry, clock: FakeClock) -> None:
    image = pushed(registry, layers=2)
    claim = only_claim(registry)
    part = {image.blobs[1]: b"packages"}
    accept(registry, claim, result_of(claim, clock, state=WAITING, reason="out of time", layers=part))

    clock.advance(minutes=2)
    again = only_claim(registry)

    assert [layer.packages for layer in again.layers] == [b"packages", None]
    assert facts_of(registry, image).reason == "out of time"
    assert referrers(registry, image) == {}


def test_packages_of_a_layer_that_is_deleted_meanwhile_leave_no_record(stores: Stores, clock: FakeClock) -> None:
    deleted: list[str] = []

    def delete_blob(method: str, arguments: Mapping[str, Any], forward: Callable[[], T], /) -> T:
        writes = arguments["writes"] if method == "commit" else ()
        for each in writes:
            if isinstance(each, Create) and isinstance(each.record, LayerScan) and not deleted:
                # As a collection that has read no record of the layer.
                blob = Key(Blob, each.record.id)
                found = stores.metadata.read([blob])[blob]
                assert found is not None
                stores.metadata.commit([Delete(found)])
                deleted.append(each.record.id)
        return forward()

    registry = hooked_registry(stores, delete_blob, clock=clock, scans_images=True)
    image = pushed(registry)

    scan(registry, clock)

    assert deleted == [image.blobs[1]]
    assert registry.metadata.find(Query(LayerScan, limit=1)) == []

"""Rules that change while something is deleted or moved: none is moved or deleted against a rule in effect."""

import contextlib
from collections.abc import Callable

import pytest

from lading.registry.change_context import now
from lading.registry.errors import RegistryError
from lading.registry.registry import Registry
from lading.registry.rules.changes import REGISTRY, RulesDocument, apply_configured, change_rules
from lading_storage.records.rules import REGISTRY_RULES
from lading_storage.stores import Stores
from tests.support import images
from tests.support.concurrency import run_concurrently
from tests.support.interleaving import InterleavingStore
from tests.support.registry_pushes import push_image, push_manifest

MAX_POINTS = 40


def immutable(stores: Stores) -> object:
    return change_rules(stores.metadata, RulesDocument({REGISTRY: {"immutable": ("*:v1",)}}), "alice", now)


CHANGES: dict[str, Callable[[Registry, str], object]] = {
    "delete a tag": lambda registry, digest: registry.tags.delete("a", "v1"),
    "delete a manifest": lambda registry, digest: registry.deletion.manifest("a", digest),
    "delete a repository": lambda registry, digest: registry.deletion.repository("a"),
    "push": lambda registry, digest: push_manifest(registry, "a", images.manifest([], annotations={"n": "2"}), "v1"),
    "roll back": lambda registry, digest: registry.rollback.by_steps("a", "v1", 1),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_rule_in_effect_is_honoured_by_a_change_in_flight(stores: Stores, change: str) -> None:
    whole = Registry(stores.blobs, stores.metadata)
    apply_configured(stores.metadata, RulesDocument({}), "configuration", now)
    reached = True
    for point in range(MAX_POINTS):
        change_rules(stores.metadata, RulesDocument({REGISTRY: {}}), "alice", now)
        push_image(whole, "a", "v1")
        digest = push_image(whole, "a", "v1").digest
        at_change: list[str] = []

        def protect(at_change: list[str] = at_change) -> None:
            immutable(stores)
            with contextlib.suppress(RegistryError):
                at_change.append(whole.manifests.find("a", "v1").digest)

        between = InterleavingStore(stores.metadata, point, protect)
        with contextlib.suppress(RegistryError):
            CHANGES[change](Registry(stores.blobs, between), digest)
        reached = between.calls > point
        for named in at_change:
            assert whole.manifests.find("a", "v1").digest == named, f"changed against the rule, at call {point}"
        if not reached:
            break
    assert not reached


def test_rules_that_are_changed_at_once_are_all_kept(stores: Stores) -> None:
    def change(number: int) -> object:
        document = RulesDocument({f"team{number}": {"immutable": (f"*:v{number}",)}})
        return change_rules(stores.metadata, document, f"user {number}", now)

    run_concurrently(*(lambda number=number: change(number) for number in range(6)))

    rules = Registry(stores.blobs, stores.metadata).rules.read_all()
    assert {name: each.immutable for name, each in rules.namespaces.items()} == {
        f"team{number}": (f"*:v{number}",) for number in range(6)
    }
    assert rules.registry is not None
    assert rules.registry.number == 6


def test_of_starts_at_once_the_highest_serial_applies(stores: Stores) -> None:
    def start(serial: int) -> object:
        document = RulesDocument({REGISTRY: {"immutable": (f"*:v{serial}",)}}, serial)
        return apply_configured(stores.metadata, document, "configuration", now)

    run_concurrently(*(lambda serial=serial: start(serial) for serial in range(1, 7)))

    record = stores.metadata.read([REGISTRY_RULES])[REGISTRY_RULES]
    assert record is not None
    assert (record.serial, record.immutable) == (6, ("*:v6",))

"""Clean-up takes no manifest along with an index that anyone who may push can name it in."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from lading.jobs import cleanup
from lading.jobs.cleanup import CleanupContext
from lading.registry.cleanup.policy_json import parse_policies
from lading.registry.registry import Registry
from lading_storage.protocols import Replace
from lading_storage.records.core import Manifest
from lading_storage.stores import Stores
from tests.cleanup.manifest_nodes import decisions, digest, digests, kept, node
from tests.support import images
from tests.support.fake_clock import FakeClock
from tests.support.registry_pushes import push_image, push_manifest

OLD = '{"name": "old", "action": {"type": "Delete"}, "condition": {"tagPrefixes": ["v"], "olderThan": "30d"}}'
UNTAGGED = '{"name": "untagged", "action": {"type": "Delete"}, "condition": {"tagState": "untagged"}}'

Clean = Callable[..., set[str]]


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def clean(registry: Registry, clock: FakeClock) -> Clean:
    """Plan and clean up a month later, twice: what was left over goes in the second run; returns what lives then."""

    def clean(*policies: str) -> set[str]:
        clock.advance(days=31)
        left: set[str] = set()
        for _ in range(2):
            made = cleanup.plan(
                registry, "a", CleanupContext(parse_policies(f"[{', '.join(policies or (OLD,))}]"), [], clock())
            )
            cleanup.apply(registry, made)
            left = {node.digest for node in registry.inventory.nodes("a")}
            assert left == {verdict.digest for verdict in made.decisions if verdict.kept}
        return left

    return clean


def push_index(registry: Registry, tag: str, *children: Manifest) -> Manifest:
    contents = [child.content or b"" for child in children]
    return push_manifest(registry, "a", images.index(contents, annotations={"n": tag}), tag)


def forget_birth(stores: Stores, manifest: Manifest) -> None:
    """Leave the record as an earlier release wrote it."""
    record = stores.metadata.read([manifest.key])[manifest.key]
    assert record is not None
    stores.metadata.commit([Replace(replace(record, attachment=""))])


@pytest.mark.parametrize("known", [True, False])
def test_a_manifest_older_than_the_build_of_an_index_stays(
    registry: Registry, stores: Stores, clock: FakeClock, clean: Clean, known: bool
) -> None:
    deployed = push_image(registry, "a")
    if not known:
        forget_birth(stores, deployed)
    clock.advance(hours=25)
    push_index(registry, "v1", deployed)

    assert clean() == {deployed.digest}
    assert clean(OLD, UNTAGGED) == set(), "it is a version without a tag, as any other"


def test_the_parts_of_one_build_go_and_come_back_with_their_index(
    registry: Registry, stores: Stores, clock: FakeClock, clean: Clean
) -> None:
    first, unknown = push_image(registry, "a"), push_image(registry, "a", "v0")
    forget_birth(stores, unknown)
    clock.advance(hours=23)
    index = push_index(registry, "v1", first, unknown, push_image(registry, "a"))

    assert clean() == set()
    assert len(registry.undelete.manifest("a", index.digest)) == 4


def test_a_manifest_that_was_created_under_its_own_tag_stays_without_it(registry: Registry, clean: Clean) -> None:
    version = push_image(registry, "a", "latest")
    push_index(registry, "v1", version)
    push_image(registry, "a", "latest")

    assert version.digest in clean()
    assert version.digest not in clean(OLD, UNTAGGED)


def test_a_part_that_a_later_index_names_too_goes_with_the_last_one(
    registry: Registry, clock: FakeClock, clean: Clean
) -> None:
    part = push_image(registry, "a")
    push_index(registry, "v1", part)
    clock.advance(days=25)
    later = push_index(registry, "v2", part)
    clock.advance(days=-20)
    assert clean() == {part.digest, later.digest}

    assert clean() == set()


def test_a_part_stays_whose_last_index_a_person_deleted(registry: Registry, clock: FakeClock, clean: Clean) -> None:
    part = push_image(registry, "a")
    push_index(registry, "v1", part)
    clock.advance(days=2)
    later = push_index(registry, "stays", part)
    assert clean() == {part.digest, later.digest}

    registry.deletion.manifest("a", later.digest)

    assert clean() == {part.digest}


def counting(places: int) -> str:
    keep = {"name": "keep", "action": {"type": "Keep"}, "mostRecentVersions": {"keepCount": places, "tagGlobs": ["v*"]}}
    return json.dumps([{"name": "all", "action": {"type": "Delete"}, "condition": {"tagState": "any"}}, keep])


def versions() -> Iterator[tuple[str, float]]:
    return ((f"n{number}", 100 - number) for number in range(4))


@pytest.mark.parametrize("age", [97, 1])
def test_an_index_takes_no_tagged_version_out_of_its_place(age: float) -> None:
    """Be it of the same day or not, and whether or not the policy counts the index."""
    nodes = [node(name, f"v-{name}", age=old) for name, old in versions()]
    assert kept([*nodes, node("i", "x", age=age, children=["n2", "n3"])], counting(2)) == digests("n2 n3")
    assert kept([*nodes, node("i", "v-i", age=age, children=["n3"])], counting(2)) == digests("i n2 n3")


def test_tagged_parts_take_no_places_of_the_indexes_that_name_them() -> None:
    nodes = []
    for name, age in versions():
        nodes += [
            node(f"{name}-amd64", f"v-{name}-amd64", age=age),
            node(name, f"v-{name}", age=age, children=[f"{name}-amd64"]),
        ]
    assert kept(nodes, counting(2)) == digests("n2 n2-amd64 n3 n3-amd64")


def test_an_index_that_may_lose_its_immutable_tag_takes_no_other_one_along() -> None:
    strict = OLD.replace('"v"', '"prod"')
    lenient = OLD[:-1].replace('"old"', '"lenient"') + ', "immutableTags": true}'
    manifests = [node("a", "prod", immutable_tags=("prod",)), node("i", "v1", children=["a"], age=99)]
    assert kept(manifests, f"[{strict}, {lenient}]") == digests("a")


def test_a_plan_says_why_a_child_stays_alone() -> None:
    verdicts = decisions([node("a"), node("i", "v1", children=["a"], age=90)], f"[{OLD}]")
    assert verdicts[digest("a")].reason == "no policy deletes it, and no index that references it is of the same build"

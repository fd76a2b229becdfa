"""What belonged to something that clean-up deleted goes after it, unless it was pushed or restored since."""

from collections.abc import Callable

import pytest

from lading.jobs.cleanup import CleanupContext, clean_up
from lading.registry.cleanup.policy_json import parse_policies
from lading.registry.registry import Registry
from lading_storage.records.core import Manifest
from tests.support import images
from tests.support.fake_clock import FakeClock
from tests.support.registry_pushes import push_blob, push_image, push_manifest

OLD = '[{"name": "old", "action": {"type": "Delete"}, "condition": {"tagPrefixes": ["v"], "olderThan": "30d"}}]'


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def clean(registry: Registry, clock: FakeClock) -> Callable[[], set[str]]:
    """Clean up a month later; return what lives then."""

    def clean() -> set[str]:
        clock.advance(days=31)
        clean_up(registry, "a", CleanupContext(parse_policies(OLD), [], clock()), apply_plan=True)
        return {node.digest for node in registry.inventory.nodes("a")}

    return clean


def index_of(registry: Registry, children: list[Manifest], *tags: str) -> Manifest:
    contents = [child.content or b"" for child in children]
    return push_manifest(registry, "a", images.index(contents, annotations={"n": "".join(tags)}), *tags)


def signature_of(registry: Registry, subject: Manifest, text: str) -> Manifest:
    push_blob(registry, "a", images.EMPTY_CONFIG)
    described = images.descriptor(subject.content or b"")
    return push_manifest(registry, "a", images.manifest([], subject=described, annotations={"n": text}))


def push_within_the_hour(registry: Registry, image: Manifest) -> None:
    """Push a deleted image again, as a client that saw its layers a moment ago."""
    push_manifest(registry, "a", image.content or b"")


def test_children_that_were_undeleted_or_pushed_again_stay(registry: Registry, clean: Callable[[], set[str]]) -> None:
    children = [push_image(registry, "a") for _ in range(3)]
    index_of(registry, children, "v1")
    assert clean() == set()

    registry.undelete.manifest("a", children[0].digest)
    again = push_image(registry, "a")
    pushed = index_of(registry, [again], "v3")
    assert clean() == {children[0].digest}

    registry.undelete.manifest("a", again.digest)
    registry.deletion.manifest("a", again.digest)
    push_within_the_hour(registry, again)

    assert clean() == {children[0].digest, again.digest}
    assert pushed.digest not in clean()


def test_a_signature_pushed_after_its_subject_went_stays(registry: Registry, clean: Callable[[], set[str]]) -> None:
    subject = push_image(registry, "a", "v1")
    before = signature_of(registry, subject, "before")
    assert clean() == set()

    after = signature_of(registry, subject, "after")

    assert clean() == {after.digest}
    assert before.digest != after.digest


def test_children_of_a_second_index_stay_when_that_was_undeleted_and_deleted_by_hand(
    registry: Registry, clean: Callable[[], set[str]]
) -> None:
    child = push_image(registry, "a")
    index_of(registry, [child], "v1")
    other = index_of(registry, [child], "v2")
    assert clean() == set()
    registry.undelete.manifest("a", other.digest)
    registry.tags.delete("a", "v2")
    assert clean() == {child.digest, other.digest}

    registry.deletion.manifest("a", other.digest)

    assert clean() == {child.digest}


def test_a_child_whose_last_index_was_deleted_by_hand_stays(registry: Registry, clean: Callable[[], set[str]]) -> None:
    child = push_image(registry, "a")
    index_of(registry, [child], "v1")
    other = index_of(registry, [child], "stays")
    assert clean() == {child.digest, other.digest}

    registry.deletion.manifest("a", other.digest)

    assert clean() == {child.digest}


def test_a_child_that_was_pushed_again_while_it_lived_stays_without_its_tag(
    registry: Registry, clean: Callable[[], set[str]]
) -> None:
    child = push_image(registry, "a", "keep")
    index_of(registry, [child], "v1")
    assert clean() == {child.digest}

    push_manifest(registry, "a", child.content or b"")
    registry.tags.delete("a", "keep")

    assert clean() == {child.digest}


def test_a_child_that_was_not_pushed_again_is_deleted_with_its_tag(
    registry: Registry, clock: FakeClock, clean: Callable[[], set[str]]
) -> None:
    child = push_image(registry, "a")
    index_of(registry, [child], "v1")
    clock.advance(days=2)
    push_manifest(registry, "a", child.content or b"", "keep")
    assert clean() == {child.digest}

    registry.tags.delete("a", "keep")

    assert clean() == set()

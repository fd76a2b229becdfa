"""The use cases pull and push: what they decide, in which order, and what they record, on both pairs of stores."""

import ast
from collections.abc import Callable
from pathlib import Path

import pytest

from lading.registry.change_context import ChangeContext
from lading.registry.content.manifests import MAX_MANIFEST
from lading.registry.errors import RegistryError
from lading.registry.preconditions import Precondition
from lading.registry.pull import PullRequest
from lading.registry.push import MAX_TAGS, PushRequest
from lading.registry.registry import Registry
from lading.registry.rules.effective import LocalRules
from lading.registry.rules.immutable import ImmutableTags
from lading_storage.digests import digest_of
from lading_storage.records.core import Key, Manifest
from lading_storage.records.jobs import LastPull
from lading_storage.stores import Stores
from tests.support import images
from tests.support.registry_pushes import push_blob, push_image
from tests.support.store_hooks import RecordedMetadata

API = Path(__file__).parents[2] / "functions/lading/api"

BY_ALICE = ChangeContext("push", "alice")
ABSENT = digest_of(b"absent")


def read_of(content: bytes) -> Callable[..., bytes | None]:
    """Return what reads `content` unless it is too large."""
    return lambda max_size, *, digest_checked: content if len(content) <= max_size else None


def never_read(max_size: int, *, digest_checked: bool) -> bytes | None:
    raise AssertionError("the content was read")


def last_pull(registry: Registry, digest: str) -> LastPull | None:
    key = Key(LastPull, digest, "a")
    return registry.metadata.read([key])[key]


def refusal_of(call: Callable[[], object]) -> str:
    """Return the code of the error that a call raises."""
    with pytest.raises(RegistryError) as refused:
        call()
    return refused.value.descriptor.code


@pytest.fixture
def image(registry: Registry) -> Manifest:
    return push_image(registry, "a", "v1")


def test_a_pull_is_one_read_and_recorded_once_an_hour(stores: Stores, image: Manifest) -> None:
    metadata = RecordedMetadata(stores.metadata)
    registry = Registry(stores.blobs, metadata)

    registry.pull("a", PullRequest("v1"))
    assert metadata.calls == ["read", "read", "commit"]
    assert last_pull(registry, image.digest) is not None

    metadata.calls.clear()
    for reference in ("v1", image.digest):
        assert registry.pull("a", PullRequest(reference)).digest == image.digest
        assert registry.pull("a", PullRequest(reference, is_head=True)).digest == image.digest
    assert metadata.calls == ["read"] * 4


@pytest.mark.parametrize("by_digest", [False, True])
def test_a_head_is_a_pull(registry: Registry, image: Manifest, by_digest: bool) -> None:
    """A node that has the image already requests no more."""
    registry.pull("a", PullRequest(image.digest if by_digest else "v1", is_head=True))

    assert last_pull(registry, image.digest) is not None


def test_a_refused_pull_is_not_recorded(registry: Registry, image: Manifest) -> None:
    condition = Precondition(match={ABSENT})

    assert refusal_of(lambda: registry.pull("a", PullRequest("v1", condition=condition))) == "DENIED"
    assert last_pull(registry, image.digest) is None


def test_rights_to_the_past_are_looked_up_for_the_past_alone(registry: Registry, image: Manifest) -> None:
    asked = []

    def may_see_past() -> bool:
        asked.append(True)
        return False

    for reference in ("v1", image.digest):
        registry.pull("a", PullRequest(reference, may_see_past=may_see_past))
    assert asked == []

    registry.tags.delete("a", "v1")
    past = PullRequest("v1.asof-20990101T000000Z", may_see_past=may_see_past)
    assert refusal_of(lambda: registry.pull("a", past)) == "MANIFEST_UNKNOWN"
    assert asked == [True]


def test_a_push_stores_the_manifest_with_all_its_tags(registry: Registry) -> None:
    push_blob(registry, "a", images.EMPTY_CONFIG)
    content = images.manifest([])

    pushed = registry.push("a", PushRequest("v1", read_of(content), tags=["v2", "v1"]), BY_ALICE)

    assert pushed.manifest.content == content
    assert (pushed.change.kind, pushed.change.digest) == ("manifest-pushed", digest_of(content))
    assert pushed.change.tags == ("v1", "v2")
    assert {registry.pull("a", PullRequest(tag)).digest for tag in ("v1", "v2")} == {digest_of(content)}
    assert {event.by for event in registry.tags.history("a", "", "", 10).items} == {"alice"}


@pytest.mark.parametrize(
    ("reference", "tags", "code"),
    [
        ("v1", ["v2"] * (MAX_TAGS + 1), "TAG_INVALID"),
        ("v1", ["not a tag"], "TAG_INVALID"),
        ("-", [], "TAG_INVALID"),
        ("sha256:short", [], "DIGEST_INVALID"),
    ],
    ids=["too many tags", "a malformed tag", "a malformed reference", "a malformed digest"],
)
def test_an_impossible_push_reads_nothing(registry: Registry, reference: str, tags: list[str], code: str) -> None:
    assert refusal_of(lambda: registry.push("a", PushRequest(reference, never_read, tags=tags))) == code


def test_the_content_of_a_push_is_read_once_and_limited(registry: Registry) -> None:
    large = PushRequest("v1", read_of(b"x" * (MAX_MANIFEST + 1)))
    assert refusal_of(lambda: registry.push("a", large)) == "SIZE_INVALID"


@pytest.mark.parametrize(("reference", "checked"), [("v1", False), (ABSENT, True)], ids=["tag", "digest"])
def test_a_push_says_whether_the_digest_of_its_content_is_known(
    registry: Registry, reference: str, checked: bool
) -> None:
    said = []

    def read(max_size: int, *, digest_checked: bool) -> bytes | None:
        said.append(digest_checked)
        return None

    refusal_of(lambda: registry.push("a", PushRequest(reference, read)))

    assert said == [checked]


def test_immutable_tags_stand_for_a_push_and_for_tagging(stores: Stores) -> None:
    registry = Registry(stores.blobs, stores.metadata, LocalRules(ImmutableTags.parse(["a:v*"])))
    first, second = push_image(registry, "a", "v1"), push_image(registry, "a", "latest")

    again = PushRequest("v1", read_of(second.content or b""))
    assert refusal_of(lambda: registry.push("a", again)) == "DENIED"
    assert refusal_of(lambda: registry.push.tag("a", second.digest, "v1", BY_ALICE)) == "DENIED"
    registry.push.tag("a", second.digest, "v2", BY_ALICE)

    assert registry.pull("a", PullRequest("v1")).digest == first.digest
    assert registry.pull("a", PullRequest("v2")).digest == second.digest


def test_handlers_pull_and_push_by_the_use_cases_alone() -> None:
    used = {
        f"{path.name}: {name}"
        for path in API.glob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute)
        and (name := ast.unparse(node)).endswith((".manifests.find", ".manifests.put", ".last_pulls", ".tags.move"))
    }
    assert used == set()

"""Upload sessions, on both pairs of stores."""

import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from itertools import pairwise
from typing import Any, TypeVar

import pytest

from lading.registry.content import uploads
from lading.registry.content.uploads import Body
from lading.registry.errors import (
    DIGEST_INVALID,
    RANGE_INVALID,
    UPLOAD_INVALID,
    UPLOAD_UNKNOWN,
    ErrorDescriptor,
    RegistryError,
)
from lading.registry.registry import Registry
from lading_storage import digests
from lading_storage.digests import digest_of
from lading_storage.protocols import Replace
from lading_storage.stores import Stores
from tests.support import images
from tests.support.registry_pushes import pull_blob, push_blob
from tests.support.store_hooks import hooked_registry

T = TypeVar("T")


def refused(error: pytest.ExceptionInfo[RegistryError]) -> ErrorDescriptor:
    return error.value.descriptor


def instance(stores: Stores) -> Registry:
    """One more instance of the registry over the same stores, as another request may meet it."""
    return Registry(stores.blobs, stores.metadata)


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_each_chunk_may_meet_another_instance(stores: Stores, algorithm: str) -> None:
    content = images.blob(50_000)
    cuts = [0, *sorted(random.Random(7).sample(range(1, 50_000), 6)), 50_000]
    upload = instance(stores).uploads.start("a", algorithm=algorithm)
    *chunks, last = [content[start:stop] for start, stop in pairwise(cuts)]

    for chunk in chunks:
        upload = instance(stores).uploads.append("a", upload.id, Body([chunk], len(chunk), upload.offset))
    instance(stores).uploads.finish("a", upload.id, digest_of(content, algorithm), Body([last]))

    assert pull_blob(instance(stores), "a", digest_of(content, algorithm)) == content
    assert len(stores.blobs.names("", limit=100)) == 1, "the parts are gone, the whole is there"


def test_a_platform_that_cannot_carry_a_hash_reads_again(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digests, "_resumable", lambda algorithm: False)

    test_each_chunk_may_meet_another_instance(stores, "sha256")


def test_a_carried_hash_that_is_of_no_use_is_made_again(stores: Stores) -> None:
    registry, content = instance(stores), images.blob(1000)
    upload = registry.uploads.start("a")
    registry.uploads.append("a", upload.id, Body([content[:600]]))
    upload = registry.uploads.get("a", upload.id)
    stores.metadata.commit([Replace(replace(upload, resume="sha256-elsewhere-00"))])

    registry.uploads.finish("a", upload.id, digest_of(content), Body([content[600:]]))

    assert pull_blob(registry, "a", digest_of(content)) == content


def test_the_algorithm_may_turn_out_at_the_end(registry: Registry) -> None:
    content = images.blob(1000)
    upload = registry.uploads.start("a")
    registry.uploads.append("a", upload.id, Body([content[:400]]))
    registry.uploads.append("a", upload.id, Body([content[400:]]))

    registry.uploads.finish("a", upload.id, digest_of(content, "sha512"), Body(()))

    assert pull_blob(registry, "a", digest_of(content, "sha512")) == content


def test_a_blob_may_be_empty(registry: Registry) -> None:
    for algorithm in ("sha256", "sha512"):
        push_blob(registry, "a", b"", algorithm)
        assert pull_blob(registry, "a", digest_of(b"", algorithm)) == b""


def test_the_same_layer_in_ten_repositories_is_stored_once(registry: Registry, stores: Stores) -> None:
    content = images.blob()

    links = [push_blob(registry, f"team/{number}", content) for number in range(10)]

    assert len({link.object for link in links}) == 1
    assert stores.blobs.names("", limit=100) == [links[0].object]
    assert all(pull_blob(registry, link.repository, link.id) == content for link in links)


def test_another_digest_leaves_nothing(registry: Registry, stores: Stores) -> None:
    content = images.blob()
    upload = registry.uploads.start("a")
    registry.uploads.append("a", upload.id, Body([content]))

    with pytest.raises(RegistryError) as error:
        registry.uploads.finish("a", upload.id, digest_of(b"else"), Body([b"more"]))

    assert refused(error) is DIGEST_INVALID
    assert stores.blobs.names("", limit=10) == []
    with pytest.raises(RegistryError) as error:
        registry.uploads.get("a", upload.id)
    assert refused(error) is UPLOAD_UNKNOWN


def test_a_chunk_out_of_order_changes_nothing(registry: Registry) -> None:
    content = images.blob()
    upload = registry.uploads.start("a")
    registry.uploads.append("a", upload.id, Body([content[:40]]))

    for start in (0, 39, 41):
        with pytest.raises(RegistryError) as error:
            registry.uploads.append("a", upload.id, Body([b"x"], 1, start))
        assert refused(error) is RANGE_INVALID
        assert error.value.upload is not None
        assert error.value.upload.offset == 40
    registry.uploads.finish("a", upload.id, digest_of(content), Body([content[40:]], 60, 40))

    assert pull_blob(registry, "a", digest_of(content)) == content


def test_finishing_again_answers_the_same(registry: Registry) -> None:
    content = images.blob()
    upload = registry.uploads.start("a")
    first = registry.uploads.finish("a", upload.id, digest_of(content), Body([content]))

    assert registry.uploads.finish("a", upload.id, digest_of(content), Body(())) == first
    with pytest.raises(RegistryError) as error:
        registry.uploads.finish("a", upload.id, digest_of(b"else"), Body(()))
    assert refused(error) is UPLOAD_UNKNOWN
    with pytest.raises(RegistryError) as error:
        registry.uploads.append("a", upload.id, Body([b"x"]))
    assert refused(error) is UPLOAD_UNKNOWN


def test_a_session_belongs_to_its_repository_and_its_principal(registry: Registry) -> None:
    upload = registry.uploads.start("a", "ann@example.com")

    for repository, principal in (("b", "ann@example.com"), ("a", "bob@example.com"), ("a", "")):
        with pytest.raises(RegistryError) as error:
            registry.uploads.append(repository, upload.id, Body([b"x"]), principal)
        assert refused(error) is UPLOAD_UNKNOWN
    assert registry.uploads.append("a", upload.id, Body([b"x"]), "ann@example.com").offset == 1


def test_a_cancelled_session_and_its_bytes_are_gone(registry: Registry, stores: Stores) -> None:
    upload = registry.uploads.start("a")
    registry.uploads.append("a", upload.id, Body([b"x"]))

    registry.uploads.cancel("a", upload.id)

    assert stores.blobs.names("", limit=10) == []
    with pytest.raises(RegistryError) as error:
        registry.uploads.cancel("a", upload.id)
    assert refused(error) is UPLOAD_UNKNOWN


def test_a_body_that_fails_leaves_the_session_as_it_was(registry: Registry, stores: Stores) -> None:
    def cut() -> Iterator[bytes]:
        yield b"half"
        raise RegistryError(UPLOAD_INVALID)

    content = images.blob()
    upload = registry.uploads.start("a")
    registry.uploads.append("a", upload.id, Body([content[:50]]))
    with pytest.raises(RegistryError):
        registry.uploads.append("a", upload.id, Body(cut()))
    assert len(stores.blobs.names("", limit=10)) == 1

    registry.uploads.finish("a", upload.id, digest_of(content), Body([content[50:]]))

    assert pull_blob(registry, "a", digest_of(content)) == content


def test_a_session_has_a_last_part(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "MAX_PARTS", 3)
    upload = registry.uploads.start("a")
    for _ in range(3):
        registry.uploads.append("a", upload.id, Body([b"x"]))

    with pytest.raises(RegistryError) as error:
        registry.uploads.append("a", upload.id, Body([b"x"]))

    assert refused(error) is UPLOAD_INVALID
    registry.uploads.finish("a", upload.id, digest_of(b"xxx"), Body(()))


def test_a_chunk_whose_commit_is_not_answered_is_kept(registry: Registry, stores: Stores) -> None:
    content = images.blob()
    upload = registry.uploads.start("a")

    def unanswered(method: str, arguments: Mapping[str, Any], forward: Callable[[], T], /) -> T:
        # As Google's client does it: written, no answer, tried again, and the version is another one by then.
        if method == "commit":
            forward()
        return forward()

    registry = hooked_registry(stores, unanswered)
    assert registry.uploads.append("a", upload.id, Body([content[:50]])).offset == 50
    link = registry.uploads.finish("a", upload.id, digest_of(content), Body([content[50:]]))

    assert pull_blob(registry, "a", link.id) == content


def test_what_comes_too_late_for_its_session_leaves_nothing(registry: Registry, stores: Stores) -> None:
    def slow() -> Iterator[bytes]:
        yield b"begun"
        registry.uploads.cancel("a", upload.id)
        yield b"ended"

    for digest in (digest_of(b"begunended"), digest_of(b"else")):
        upload = registry.uploads.start("a")
        with pytest.raises(RegistryError):
            registry.uploads.finish("a", upload.id, digest, Body(slow()))

    assert stores.blobs.names("", limit=9) == []


def test_a_blob_whose_bytes_were_lost_is_whole_for_all_when_it_is_pushed_again(
    registry: Registry, stores: Stores
) -> None:
    content = images.blob()
    link = push_blob(registry, "a", content)
    for pushed in ("a", "b"):
        stores.blobs.delete(link.object)

        push_blob(registry, pushed, content)

        assert pull_blob(registry, "a", link.id) == content
        assert pull_blob(registry, pushed, link.id) == content

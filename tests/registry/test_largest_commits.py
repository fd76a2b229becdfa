"""The largest commit of each operation, by Firestore's formulas, the indexes of Terraform and the fields of each kind.

A kind, a field or an index that makes one too large fails here. What is larger is split (test_large_manifests):
these are the commits that cannot be.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from lading.registry.content.uploads import MAX_PARTS
from lading.registry.names import MAX_NAME
from lading_storage.commit_size import BATCH_SIZE, MAX_COMMIT_SIZE, size_of
from lading_storage.digests import digest_of
from lading_storage.protocols import MAX_CONTENT_SIZE, Create, Delete, Replace, Touch, Write
from lading_storage.records.core import MAX_TAG_CONTENT, Key, Link, Manifest, Record, Tag, Upload
from lading_storage.records.deleted import DeletedLink, DeletedManifest, DeletedTag, TagEvent, TagHistory
from lading_storage.records.fields import converted
from tests.support.record_examples import EXAMPLES

LAYERS = 4_990
"""As many as an image may name, beside its config and its own bytes."""

NOW = datetime(2026, 11, 1, 12, 30, 15, 123456, tzinfo=UTC)
DIGESTS = [digest_of(b"%d" % number) for number in range(LAYERS + 2)]
SHORT, LONG = "team/app", "team/" + "a" * (MAX_NAME - 5)


def image(repository: str) -> Manifest:
    """The largest image, which is kept as an object."""
    common = {"media_type": "application/vnd.oci.image.manifest.v1+json", "size": 900_000, "object": "0" * 32 + "/0"}
    return Manifest(id=DIGESTS[0], repository=repository, blobs=tuple(DIGESTS), created=NOW, **common)  # type: ignore[arg-type]


def dead(repository: str) -> DeletedManifest:
    return converted(image(repository), DeletedManifest, deleted=NOW, by="somebody@example.com", cause=DIGESTS[0])


def touched(kind: type[Record], repository: str) -> list[Write]:
    return [Touch(Key(kind, digest, repository), "v") for digest in DIGESTS]


def tagged(repository: str, count: int) -> list[Write]:
    """Tags move, each with what it had and what it gets, and its history."""
    content = b"x" * MAX_TAG_CONTENT
    tag = Tag(id="t" * 128, repository=repository, digest=DIGESTS[0], media_type="a" * 60, size=len(content), moved=NOW)
    move = TagEvent(
        id="0" * 157,
        repository=repository,
        tag=tag.id,
        number=1,
        digest=tag.digest,
        before=tag.digest,
        action="push",
        by="b" * 100,
        request="r" * 40,
        moved=NOW,
    )
    history = TagHistory(id=tag.id, repository=repository, moves=1, moved=NOW)
    return [Replace(replace(tag, content=content)), Create(move), Replace(history)] * count


def operations(repository: str) -> dict[str, list[Write]]:
    whole = replace(image(repository), object="", content=b"x" * MAX_CONTENT_SIZE, blobs=tuple(DIGESTS[:4_500]))
    buried = converted(whole, DeletedManifest, deleted=NOW, cause="")
    return {
        "put": [*touched(Link, repository), Create(image(repository)), *tagged(repository, 1)],
        "put where it was deleted": [Touch(image(repository).key), Delete(dead(repository))],
        "undelete": [*touched(Link, repository), Create(image(repository)), Touch(dead(repository).key)],
        "delete": [Delete(image(repository)), Replace(dead(repository))],
        "forget": [*touched(DeletedLink, repository), Delete(dead(repository))],
        "delete of one with its content": [Delete(whole), Create(buried)],
        "100 tags": tagged(repository, 100),
    }


@pytest.mark.parametrize("repository", [SHORT, LONG], ids=["a short name", "the longest name"])
@pytest.mark.parametrize("name", operations(SHORT))
def test_the_largest_commit_of_an_operation_fits(name: str, repository: str) -> None:
    assert size_of(operations(repository)[name]) < MAX_COMMIT_SIZE


def test_the_largest_session_fits() -> None:
    parts = tuple(f"{part:032x}/{part}" for part in range(MAX_PARTS))
    session = Upload(id="0" * 32, target=LONG, parts=parts, sizes=(2**30,) * MAX_PARTS, created=NOW, touched=NOW)

    assert size_of([Delete(session), Replace(session)]) < MAX_COMMIT_SIZE / 8


@pytest.mark.parametrize("record", EXAMPLES, ids=lambda record: record.KIND)
def test_a_hundred_of_any_kind_fit(record: Record) -> None:
    # Jobs commit as many at once of what has no large fields: moves, pulls, tags.
    large = replace(record, repository=record.repository and LONG)
    writes: Sequence[Write] = [Create(large), Replace(large), Delete(large)]

    assert size_of(writes) * 100 < BATCH_SIZE


def test_links_changed_in_batches_fit() -> None:
    link = Link(id=DIGESTS[0], repository=LONG, object="0" * 34, size=1, created=NOW, since=NOW)
    hidden = converted(link, DeletedLink, deleted=NOW)
    tag = DeletedTag(id="t", repository=LONG, digest="", media_type="", size=0, moved=NOW, deleted=NOW, cause="")

    assert size_of([Create(link), Delete(hidden), Replace(tag)] * 500) < BATCH_SIZE

"""Scans, finds and queues of MetadataStore, on every driver: what they return, in which order and in which pages."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from lading_storage.digests import digest_of
from lading_storage.protocols import Create, Delete, MetadataStore, Replace
from lading_storage.query import Query
from lading_storage.records.core import (
    ENDED,
    HIDDEN,
    MARKED,
    OPEN,
    UNVERIFIED,
    Blob,
    Link,
    Manifest,
    Repository,
    Tag,
    Upload,
)
from lading_storage.records.deleted import DeletedLink
from lading_storage.records.fields import converted
from lading_storage.stores import Stores
from tests.support.record_examples import DIGEST, NOW, OTHER, get, link, manifest, tag


@pytest.fixture
def metadata(stores: Stores) -> MetadataStore:
    return stores.metadata


def test_a_scan_is_sorted_and_comes_in_pages_without_content(metadata: MetadataStore) -> None:
    names = ["1.0", "Alpha", "alpha", "alpha-1", "Beta", "gamma", "v1", "V2"]
    metadata.commit([Create(tag(name, content=b"{}")) for name in reversed(names)])
    metadata.commit([Create(tag("elsewhere", "team/app2"))])

    assert [each.id for each in metadata.find(Query(Tag, repository="team/app", limit=100))] == names
    assert [each.id for each in metadata.find(Query(Tag, repository="team/app", limit=3))] == names[:3]
    assert [each.id for each in metadata.find(Query(Tag, repository="team/app", after="alpha", limit=3))] == names[3:6]
    assert [each.id for each in metadata.find(Query(Tag, repository="team/app", after="b", limit=3))] == names[4:7]
    assert metadata.find(Query(Tag, repository="team/app", after="V2", limit=3)) == []
    assert metadata.find(Query(Tag, repository="team/app", limit=1))[0].content is None


def test_repositories_are_scanned_in_lexical_order(metadata: MetadataStore) -> None:
    names = ["a-b", "a.b", "a/b", "a/b/c", "a0", "ab"]
    metadata.commit([Create(Repository(id=name, created=NOW)) for name in reversed(names)])

    assert [each.id for each in metadata.find(Query(Repository, limit=100))] == sorted(names)
    assert [each.id for each in metadata.find(Query(Repository, after="a/b", limit=2))] == [
        "a/b/c",
        "a0",
    ]


def test_records_are_found_by_field_and_by_item(metadata: MetadataStore) -> None:
    digests = sorted(digest_of(str(number).encode()) for number in range(5))
    for number, digest in enumerate(digests):
        kind = "sbom" if number % 2 else "signature"
        metadata.commit([Create(manifest(digest, subject=DIGEST, artifact_type=kind, blobs=(OTHER, DIGEST)))])
    metadata.commit([Create(manifest(digests[0], "other", subject=DIGEST, artifact_type="sbom", blobs=(OTHER,)))])

    def find(where: dict[str, str], **page: Any) -> list[str]:
        return [each.id for each in metadata.find(Query(Manifest, where, repository="team/app", **{"limit": 9} | page))]

    assert find({"subject": DIGEST}) == digests
    assert find({"subject": OTHER}) == []
    assert find({"blobs": OTHER}) == digests
    assert find({"subject": DIGEST, "artifact_type": "sbom"}) == digests[1::2]
    assert find({"subject": DIGEST}, limit=2) == digests[:2]
    assert find({"subject": DIGEST}, after=digests[1], limit=2) == digests[2:4]


def test_found_records_follow_what_is_written(metadata: MetadataStore) -> None:
    metadata.commit([Create(tag("v1")), Create(tag("v2"))])
    first = get(metadata, tag("v1").key)
    metadata.commit([Replace(replace(first, digest=OTHER))])

    def find(digest: str) -> list[str]:
        return [each.id for each in metadata.find(Query(Tag, {"digest": digest}, repository="team/app", limit=9))]

    assert find(DIGEST) == ["v2"]
    assert find(OTHER) == ["v1"]
    metadata.commit([Delete(get(metadata, first.key))])
    assert find(OTHER) == []


def test_links_are_found_in_all_repositories(metadata: MetadataStore) -> None:
    metadata.commit([Create(link(DIGEST, name)) for name in ("a", "b/c", "d")] + [Create(link(OTHER, "a"))])
    metadata.commit([Create(Blob(id=DIGEST, object="u/0", size=1, crc32c=0, created=NOW))])

    found = metadata.find(Query(Link, {"id": DIGEST}, repository=None, limit=9))

    assert sorted(each.repository for each in found) == ["a", "b/c", "d"]
    assert all(get(metadata, each.key).version == each.version for each in found)
    assert len(metadata.find(Query(Link, {"id": DIGEST}, repository=None, limit=2))) == 2


def test_what_is_found_in_all_repositories_comes_in_pages(metadata: MetadataStore) -> None:
    places = [(DIGEST, name) for name in ("a", "a/b", "a-b", "b", "c", "d", "e", "f")]
    metadata.commit([Create(link(*place)) for place in places])
    metadata.commit([Create(link(OTHER, "c"))])

    found: list[Link] = []
    query = Query(Link, {"id": DIGEST}, repository=None, limit=3)
    while page := metadata.find(query):
        found += page
        query = query.after_record(page[-1])

    assert sorted((each.id, each.repository) for each in found) == sorted(places)


def unverified_link(number: int, repository: str, minutes: int) -> Link:
    since = NOW + timedelta(minutes=minutes)
    return replace(link(digest_of(str(number).encode()), repository), state=UNVERIFIED, since=since)


def test_a_queue_gives_what_is_due_oldest_first_from_all_repositories(metadata: MetadataStore) -> None:
    waiting = [unverified_link(1, "b", 2), unverified_link(2, "a", 1), unverified_link(3, "c", 3)]
    hidden = converted(unverified_link(5, "a", 0), DeletedLink, state=HIDDEN, deleted=NOW)
    others = [link(DIGEST, "a"), replace(unverified_link(4, "a", 0), state=MARKED), hidden]
    metadata.commit([Create(each) for each in (*waiting, *others)])

    due = metadata.due(Link, UNVERIFIED, NOW + timedelta(minutes=2), limit=9)

    assert [each.record for each in due] == [waiting[1], waiting[0]]
    assert [each.entry for each in due] == [waiting[1].due, waiting[0].due]
    assert [each.record for each in metadata.due(Link, MARKED, NOW, limit=9)] == [others[1]]


def test_a_queue_is_read_in_pages_after_a_record_that_may_be_deleted(metadata: MetadataStore) -> None:
    waiting = [unverified_link(number, f"r{number % 3}", number // 4) for number in range(10)]
    metadata.commit([Create(each) for each in waiting])

    seen, after = [], None
    while page := metadata.due(Link, UNVERIFIED, NOW + timedelta(hours=1), after=after, limit=3):
        seen += [each.record for each in page]
        after = page[-1].cursor
        metadata.commit([Delete(page[-1].record)])

    assert sorted(each.key for each in seen) == sorted(each.key for each in waiting)
    assert [each.due for each in seen] == sorted(each.due for each in waiting)


def test_who_leaves_a_queue_is_in_it_no_more(metadata: MetadataStore) -> None:
    upload = Upload(id="u", target="a", created=NOW, touched=NOW)
    metadata.commit([Create(unverified_link(1, "a", 0)), Create(upload)])
    (first,) = metadata.due(Link, UNVERIFIED, NOW, limit=2)
    metadata.commit(
        [Replace(replace(first.record, state="")), Replace(replace(get(metadata, upload.key), cancelled=True))]
    )

    assert metadata.due(Link, UNVERIFIED, NOW, limit=2) == []
    assert metadata.due(Upload, OPEN, NOW, limit=2) == []
    assert [each.record.id for each in metadata.due(Upload, ENDED, NOW, limit=2)] == ["u"]

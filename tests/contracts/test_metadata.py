"""What MetadataStore promises, on every driver."""

import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from lading_storage.digests import digest_of
from lading_storage.errors import Conflict
from lading_storage.google.firestore import FirestoreMetadata
from lading_storage.protocols import MAX_CONTENT_SIZE, Create, Delete, MetadataStore, Replace, Touch, Verify
from lading_storage.query import Query
from lading_storage.records.core import (
    Key,
    Manifest,
    Record,
    Tag,
)
from lading_storage.records.kinds import KINDS
from lading_storage.records.rules import REGISTRY_RULES, NamespaceRules, RegistryRules
from lading_storage.stores import Stores
from tests.support.record_examples import DIGEST, EXAMPLES, NOW, OTHER, get, link, manifest, tag


@pytest.fixture
def metadata(stores: Stores) -> MetadataStore:
    return stores.metadata


@pytest.mark.parametrize("record", EXAMPLES, ids=lambda record: type(record).__name__)
def test_a_record_is_read_as_it_was_written(metadata: MetadataStore, record: Record) -> None:
    metadata.commit([Create(record)])

    assert get(metadata, record.key) == record
    assert get(metadata, record.key).version


def test_every_kind_has_an_example() -> None:
    assert {type(record) for record in EXAMPLES} == set(KINDS)


def test_what_is_not_there_reads_as_none(metadata: MetadataStore) -> None:
    there, absent = tag("there"), tag("absent")
    metadata.commit([Create(there)])

    found = metadata.read([absent.key, there.key])

    assert found[absent.key] is None
    assert found[there.key] == there
    assert metadata.read([])[there.key] is None


def test_records_are_read_without_content_as_listings_give_them(metadata: MetadataStore) -> None:
    whole, small = manifest(content=b"{}", blobs=(OTHER,)), tag("v1", content=b"{}")
    metadata.commit([Create(whole), Create(small), Create(link(OTHER, "team/app"))])
    keys = [whole.key, small.key, link(OTHER, "team/app").key, tag("absent").key]
    for _ in range(2):
        metadata.read(keys)

        found = metadata.read(keys, content=False)

        records = [found[key] for key in keys]
        assert records == [replace(whole, content=None), replace(small, content=None), link(OTHER, "team/app"), None]
        assert found[whole.key] != get(metadata, whole.key)
        assert records[0] is not None
        assert records[0].version == get(metadata, whole.key).version


def test_a_read_tells_the_stores_own_time_where_it_has_one(metadata: MetadataStore) -> None:
    before = datetime.now(UTC)
    found = metadata.read([tag("absent").key])

    # Both run on this machine, so that their clocks agree.
    assert (found.read_at is not None) == isinstance(metadata, FirestoreMetadata)
    assert abs((found.read_at or before) - before) < timedelta(minutes=1)


@pytest.mark.parametrize("name", ["__all__", "a.b", "A", "a-b", "x" * 128, "_"])
def test_any_tag_can_be_an_id(metadata: MetadataStore, name: str) -> None:
    metadata.commit([Create(tag(name))])

    assert get(metadata, Key(Tag, name, "team/app")).id == name
    assert [each.id for each in metadata.find(Query(Tag, repository="team/app", limit=5))] == [name]


def test_ids_that_look_alike_are_apart(metadata: MetadataStore) -> None:
    metadata.commit([Create(tag("v1", repository)) for repository in ("a/b", "a-b", "a.b", "a_b", "a/b/c")])

    assert [each.repository for each in metadata.find(Query(Tag, repository="a/b", limit=5))] == ["a/b"]


def test_content_may_be_as_large_as_promised(metadata: MetadataStore) -> None:
    blobs = tuple(digest_of(str(number).encode()) for number in range(5_000))
    large = manifest(content=bytes(MAX_CONTENT_SIZE), blobs=blobs)

    metadata.commit([Create(large)])

    assert get(metadata, large.key) == large


def test_create_wants_nothing_there(metadata: MetadataStore) -> None:
    metadata.commit([Create(tag("v1"))])

    with pytest.raises(Conflict):
        metadata.commit([Create(tag("v1", digest=OTHER))])
    assert get(metadata, tag("v1").key).digest == DIGEST


def test_replace_wants_the_version_that_was_read(metadata: MetadataStore) -> None:
    metadata.commit([Create(tag("v1"))])
    first = get(metadata, tag("v1").key)

    metadata.commit([Replace(replace(first, digest=OTHER))])

    assert get(metadata, first.key).digest == OTHER
    with pytest.raises(Conflict):
        metadata.commit([Replace(replace(first, digest=DIGEST))])


def test_replacing_by_the_same_values_is_a_change(metadata: MetadataStore) -> None:
    metadata.commit([Create(tag("v1"))])
    first = get(metadata, tag("v1").key)
    metadata.commit([Replace(first)])

    with pytest.raises(Conflict):
        metadata.commit([Replace(first)])


def test_delete_wants_the_version_that_was_read(metadata: MetadataStore) -> None:
    metadata.commit([Create(tag("v1"))])
    first = get(metadata, tag("v1").key)
    metadata.commit([Touch(first.key)])

    with pytest.raises(Conflict):
        metadata.commit([Delete(first)])
    metadata.commit([Delete(get(metadata, first.key))])

    assert metadata.read([first.key])[first.key] is None
    with pytest.raises(Conflict):
        metadata.commit([Delete(first)])


def test_a_record_made_again_is_at_another_version(metadata: MetadataStore) -> None:
    metadata.commit([Create(tag("v1"))])
    first = get(metadata, tag("v1").key)
    metadata.commit([Delete(first)])
    metadata.commit([Create(tag("v1"))])

    with pytest.raises(Conflict):
        metadata.commit([Delete(first)])


def test_a_version_is_the_same_however_it_is_come_by(metadata: MetadataStore) -> None:
    # Some of so many times end in a zero, which one way to write them leaves out.
    names = [f"v{number}" for number in range(40)]
    for name in names:
        metadata.commit([Create(tag(name))])
    keys = [Key(Tag, name, "team/app") for name in names]
    read = metadata.read(keys)
    versions = {key.id: record.version for key in keys if (record := read[key])}
    for listed in (
        metadata.find(Query(Tag, repository="team/app", limit=50)),
        metadata.find(Query(Tag, {"digest": DIGEST}, repository="team/app", limit=50)),
    ):
        assert {record.id: record.version for record in listed} == versions


def test_touch_wants_a_record_and_changes_only_its_version(metadata: MetadataStore) -> None:
    record = manifest(content=b"{}", blobs=(DIGEST,))
    with pytest.raises(Conflict):
        metadata.commit([Touch(record.key)])
    metadata.commit([Create(record)])
    before = get(metadata, record.key)

    metadata.commit([Touch(record.key)])

    after = get(metadata, record.key)
    assert after == before
    assert after.version != before.version
    assert metadata.find(Query(Manifest, {"blobs": DIGEST}, repository="team/app", limit=5)) == [
        replace(record, content=None)
    ]


def test_a_touch_at_a_version_wants_that_version(metadata: MetadataStore) -> None:
    metadata.commit([Create(tag("v1"))])
    first = get(metadata, tag("v1").key)
    metadata.commit([Touch(first.key, first.version)])
    second = get(metadata, first.key)

    with pytest.raises(Conflict):
        metadata.commit([Create(tag("v2")), Touch(first.key, first.version)])

    assert get(metadata, first.key).version == second.version != first.version
    assert metadata.read([tag("v2").key])[tag("v2").key] is None
    metadata.commit([Touch(second.key, second.version), Create(tag("v2"))])


def test_a_verify_wants_a_version_and_changes_nothing(metadata: MetadataStore) -> None:
    metadata.commit([Create(RegistryRules(id=REGISTRY_RULES.id, changed=NOW))])
    first = get(metadata, REGISTRY_RULES)

    metadata.commit([Create(tag("v1")), Verify(first.key, first.version)])

    assert get(metadata, first.key).version == first.version
    metadata.commit([Replace(replace(first, serial=1))])
    with pytest.raises(Conflict):
        metadata.commit([Delete(get(metadata, tag("v1").key)), Verify(first.key, first.version)])
    with pytest.raises(Conflict):
        metadata.commit([Verify(Key(NamespaceRules, "absent"), first.version)])
    assert get(metadata, tag("v1").key) == tag("v1")
    assert get(metadata, first.key).serial == 1


def test_many_commits_verify_one_version_at_a_time(metadata: MetadataStore) -> None:
    metadata.commit([Create(RegistryRules(id=REGISTRY_RULES.id, changed=NOW))])
    rules = get(metadata, REGISTRY_RULES)
    outcomes: list[bool] = []

    def create(number: int) -> None:
        metadata.commit([Create(tag(f"v{number}")), Verify(rules.key, rules.version)])
        outcomes.append(True)

    threads = [threading.Thread(target=create, args=[number]) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(outcomes) == len(threads)


def test_a_read_tells_absent_records_from_unread_ones(metadata: MetadataStore) -> None:
    found = metadata.read([REGISTRY_RULES])

    assert found.has_read(REGISTRY_RULES)
    assert found[REGISTRY_RULES] is None
    assert not found.has_read(Key(NamespaceRules, "team"))


def test_a_commit_is_all_or_nothing(metadata: MetadataStore) -> None:
    metadata.commit([Create(tag("there"))])
    there = get(metadata, tag("there").key)

    with pytest.raises(Conflict):
        metadata.commit([Create(tag("new")), Delete(there), Touch(tag("absent").key)])

    assert metadata.read([tag("new").key])[tag("new").key] is None
    assert get(metadata, there.key) == there


def race(writers: int, attempt: Any) -> int:
    """How many of `writers` threads got their commit through, all beginning at once."""
    barrier, won = threading.Barrier(writers), []

    def run(number: int) -> None:
        barrier.wait()
        try:
            attempt(number)
            won.append(number)
        except Conflict:
            pass

    threads = [threading.Thread(target=run, args=(number,)) for number in range(writers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return len(won)


def test_of_many_creators_one_wins(metadata: MetadataStore) -> None:
    assert race(16, lambda number: metadata.commit([Create(tag("v1", size=number))])) == 1


def test_of_many_that_replace_one_version_one_wins(metadata: MetadataStore) -> None:
    metadata.commit([Create(tag("v1"))])
    first = get(metadata, tag("v1").key)

    assert race(16, lambda number: metadata.commit([Replace(replace(first, size=number))])) == 1
    # The same values for all: a write that changes nothing must still count as one.
    second = get(metadata, first.key)
    assert race(16, lambda number: metadata.commit([Replace(second)])) == 1

"""Pages of what a repository stores: each costs what it holds, and none reveals what the caller may not pull."""

import re
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from lading.auth import bulkhead
from lading.registry import usage_pages
from lading.registry.registry import Registry
from lading.registry.usage_pages import UsagePages
from lading_storage.digests import digest_of
from lading_storage.forwarding import ForwardingMetadata
from lading_storage.protocols import Create, Found
from lading_storage.query import Query
from lading_storage.records.core import Key, Link, Manifest, R, Record, Repository
from lading_storage.records.jobs import InUseReport
from lading_storage.stores import Stores
from tests.support.app_client import make_client
from tests.support.registry_pushes import push_image

TIME = datetime(2026, 1, 1, tzinfo=UTC)
DIGESTS = sorted(digest_of(f"{number}".encode()) for number in range(30))


class CountingStore(ForwardingMetadata):
    """Counts calls, and the records or keys that they read."""

    calls = 0
    records = 0

    def read(self, keys: Sequence[Key[Any]], *, content: bool = True) -> Found:
        self.calls, self.records = self.calls + 1, self.records + len(keys)
        return super().read(keys, content=content)

    def find(self, query: Query[R]) -> list[R]:
        found = super().find(query)
        self.calls, self.records = self.calls + 1, self.records + len(found)
        return found


@pytest.fixture
def store(stores: Stores) -> CountingStore:
    return CountingStore(stores.metadata)


def write(store: CountingStore, records: Sequence[Record]) -> None:
    for start in range(0, len(records), 100):
        store.commit([Create(record) for record in records[start : start + 100]])
    store.calls = store.records = 0


def links(repository: str, digests: Sequence[str] = DIGESTS) -> list[Link]:
    return [Link(id=each, repository=repository, object="x/y", size=10, created=TIME) for each in digests]


def manifests(count: int, blobs: int) -> list[Manifest]:
    named = tuple(digest_of(f"blob {number}".encode()) for number in range(blobs))
    one = Manifest(id="", repository="a", media_type="x", size=1, attachment="tag", blobs=named, created=TIME)
    return [replace(one, id=digest) for digest in DIGESTS[:count]]


@pytest.mark.parametrize("of", ["blobs", "manifests", "tags", "pulls", "deleted"])
def test_a_page_is_one_query_of_its_records(of: str, store: CountingStore) -> None:
    write(store, [*links("a"), *links("b"), *manifests(30, 1)])
    page = getattr(UsagePages(store), of)("a", "", 5)

    assert [each.digest for each in page.items] == (DIGESTS[:5] if of in ("blobs", "manifests") else [])
    assert store.calls == 1
    assert store.records <= 6


def test_a_page_of_manifests_ends_after_as_many_digests(store: CountingStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usage_pages, "MAX_DIGESTS", 25)
    write(store, manifests(6, 10))
    sizes, after = [], ""
    for _ in range(6):
        page = UsagePages(store).manifests("a", after, 100)
        sizes.append(len(page.items))
        after = page.next
        if not after:
            break

    assert sizes == [3, 3]


def all_shared(store: CountingStore, visible: Callable[[str], bool], limit: int = 10, scanned: int = 5_000) -> set[str]:
    """Return the shared blobs of the repository `a`, from all pages."""
    found, after = set[str](), ""
    for _ in range(len(DIGESTS) + 1):
        page = UsagePages(store).shared_blobs("a", after, limit, visible, scanned)
        assert page.next > after or not page.next
        found |= {each.digest for each in page.items}
        after = page.next
        if not after:
            return found
    raise AssertionError("the listing does not end")


def test_shared_are_the_blobs_of_others_that_the_caller_may_pull(store: CountingStore) -> None:
    hidden = [link for number in range(12) for link in links(f"hidden-{number:02}", DIGESTS[5:20])]
    write(store, [*links("a"), *hidden, *links("zoo", DIGESTS[10:15]), *links("b", DIGESTS[18:22])])

    assert all_shared(store, lambda name: True) == {*DIGESTS[5:22]}
    assert all_shared(store, lambda name: not name.startswith("hidden")) == {*DIGESTS[10:15], *DIGESTS[18:22]}
    assert all_shared(store, lambda name: name == "a") == set()
    assert all_shared(store, lambda name: not name.startswith("hidden"), scanned=70) == {
        *DIGESTS[10:15],
        *DIGESTS[18:22],
    }, "a page that ends early goes on"


def test_a_page_of_shared_blobs_costs_what_it_holds_however_many_others_there_are(store: CountingStore) -> None:
    write(store, [*links("a"), *(link for number in range(40) for link in links(f"r-{number}", DIGESTS[:10]))])
    UsagePages(store).shared_blobs("a", "", 10, lambda name: True)
    assert (store.calls, store.records <= 11 + 2 * 10) == (1 + 10, True)

    store.calls = store.records = 0
    page = UsagePages(store).shared_blobs("a", "", 10, lambda name: name == "a", 100)
    assert (page.items, page.next != "") == ([], True)
    assert store.calls <= 1 + 10 + 3
    assert store.records <= 11 + 2 * 10 + 100


def test_what_runs_is_named_to_callers_of_its_repository_alone(store: CountingStore, registry: Registry) -> None:
    mine, other = push_image(registry, "team/app", "v1").digest, push_image(registry, "other/app", "v1").digest
    tagged = push_image(registry, "team/app", "v2").digest
    references = (mine, other, "host:5000/team/app:v2", "other/app:v1", f"host/elsewhere/app@{other}")
    write(store, [InUseReport(id=f"r{number:02}", references=references, reported=TIME) for number in range(12)])

    page = UsagePages(store).in_use("team/app", "", 100)
    assert [each.digest for each in page.items] == sorted([mine, tagged])
    assert (store.calls, page.next) == (2, "r09")


def test_pages_are_linked_and_hold_a_slot_of_searches(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    slots: list[str] = []
    slot = bulkhead.Bulkhead.slot

    def counted(self: bulkhead.Bulkhead, key: str = "") -> AbstractContextManager[None]:
        slots.append(key)
        return slot(self, key)

    monkeypatch.setattr(bulkhead.Bulkhead, "slot", counted)
    registry.metadata.commit([Create(record) for record in [Repository(id="a", created=TIME), *links("a")]])
    client = make_client(registry)

    found, pages, target = [], 0, "/v2/_lading/a/usage?of=blobs&n=20"
    while target:
        response = client.request("GET", target)
        found += [each["digest"] for each in response.json["blobs"]]
        pages += 1
        target = "".join(re.findall(r"<(.+)>", response.headers.get("Link", "")))
        assert (target == "") == (response.json["next"] == "")

    assert (found, pages, len(slots)) == (DIGESTS, 2, 2)


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("a/usage", 400),
        ("a/usage?of=pulls", 400),
        ("a/cleanup?of=blobs", 400),
        ("a/usage?of=blobs&last=x", 400),
        ("a/usage?of=tags&last=%2F..", 400),
        ("a/usage?of=blobs&n=x", 400),
        ("a/usage?of=tags&n=0", 200),
        ("absent/usage?of=blobs", 404),
        ("absent/cleanup?of=in-use", 404),
    ],
)
def test_what_is_wrong_has_an_error_of_the_spec(target: str, status: int, registry: Registry) -> None:
    push_image(registry, "a", "v1")
    response = make_client(registry).request("GET", f"/v2/_lading/{target}")
    assert response.status == status
    assert status == 200 or response.json["errors"][0]["code"] in ("UNSUPPORTED", "NAME_UNKNOWN")

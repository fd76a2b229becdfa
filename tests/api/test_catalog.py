"""A listing of repositories costs what its page holds, whatever a caller may read and however many there are."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import bcrypt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lading import settings as registry_settings
from lading.api import catalog
from lading.app import App
from lading.auth.patterns import Patterns
from lading.auth_composition import open_authenticator
from lading.composition import open_blobs, open_metadata
from lading.registry import globs
from lading.registry.pagination import Page
from lading.registry.registry import Registry
from lading_storage.forwarding import ForwardingMetadata
from lading_storage.protocols import Create, Found
from lading_storage.query import Query
from lading_storage.records.core import Key, R, Repository
from lading_storage.stores import Stores
from tests.support.app_client import Client, Response
from tests.support.server_process import basic, user_environment

NAMES = [f"team-{number:02d}/app-{number % 7}" for number in range(60)]
GRANTS = {
    "exact": [f"team-{number:02d}/app-{number % 7}" for number in range(0, 60, 3)] + [f"absent-{n}" for n in range(20)],
    "suffix": ["*-6"],
    "folders": [f"team-{number:02d}/*" for number in range(0, 60, 2)] + ["team-05*-5", "zoo"],
    "all": ["*"],
}


class CountingStore(ForwardingMetadata):
    """Counts what is asked for of repositories: calls, and records or keys."""

    calls_on_repositories = 0
    records = 0

    def read(self, keys: Sequence[Key[Any]], *, content: bool = True) -> Found:
        if any(key.kind is Repository for key in keys):
            self.calls_on_repositories, self.records = self.calls_on_repositories + 1, self.records + len(keys)
        return super().read(keys, content=content)

    def find(self, query: Query[R]) -> list[R]:
        found = super().find(query)
        if query.kind is Repository:
            self.calls_on_repositories, self.records = self.calls_on_repositories + 1, self.records + len(found)
        return found


@dataclass
class RestrictedRegistry:
    """A registry with repositories, and users whose grants are those of GRANTS."""

    client: Client
    store: CountingStore

    def request(self, user: str, target: str) -> Response:
        self.store.calls_on_repositories = self.store.records = 0
        return self.client.request("GET", target, headers={"Authorization": basic(user, "secret")})

    def listed(self, user: str, target: str, page_size: int = 100) -> list[list[str]]:
        """The pages of a listing."""
        pages = []
        while target:
            answer = self.request(user, target)
            assert answer.status == 200
            pages.append(answer.json["repositories"])
            assert len(pages) <= page_size
            target = "".join(re.findall(r"<(.+)>", answer.headers.get("Link", "")))
        return pages


@pytest.fixture
def local_stores(tmp_path: Path) -> Iterator[Stores]:
    """Stores that thousands of repositories are quick to make in."""
    read = registry_settings.load_settings({"LADING_DATA": str(tmp_path / "local")})
    opened = Stores(open_blobs(read.blobs), open_metadata(read.metadata))
    yield opened
    opened.close()


def make(stores: Stores, names: Sequence[str]) -> None:
    now = datetime.now(UTC)
    for start in range(0, len(names), 100):
        records = [Repository(id=name, created=now) for name in names[start : start + 100]]
        stores.metadata.commit([Create(record) for record in records])


def make_app(stores: Stores, folder: Path, grants: dict[str, list[str]]) -> RestrictedRegistry:
    variables, _ = user_environment(folder / "access")
    hashed = bcrypt.hashpw(b"secret", bcrypt.gensalt(4)).decode()
    Path(variables["LADING_USERS"]).write_text("".join(f"{name}:{hashed}\n" for name in grants))
    lines = [f"{name} {pattern} pull\n" for name, patterns in grants.items() for pattern in patterns]
    Path(variables["LADING_GRANTS"]).write_text("".join(lines))
    read = registry_settings.load_settings({"LADING_DATA": str(folder), **variables})
    store = CountingStore(stores.metadata)
    app = App(Registry(stores.blobs, store), read, open_authenticator(read, stores.metadata))
    return RestrictedRegistry(Client(app), store)


@pytest.fixture
def guarded(stores: Stores, tmp_path: Path) -> RestrictedRegistry:
    make(stores, NAMES)
    return make_app(stores, tmp_path, GRANTS)


def visible(user: str, names: Sequence[str] = NAMES) -> list[str]:
    patterns = Patterns(GRANTS[user])
    return [name for name in names if patterns.matches(name)]


@pytest.mark.parametrize("user", GRANTS)
@pytest.mark.parametrize("size", [1, 3, 20, 1000])
def test_a_caller_sees_what_the_patterns_match_and_no_more(guarded: RestrictedRegistry, user: str, size: int) -> None:
    pages = guarded.listed(user, f"/v2/_catalog?n={size}")

    assert [name for page in pages for name in page] == visible(user)
    assert all(len(page) <= size for page in pages)


@pytest.mark.parametrize("user", ["suffix", "folders", "all"])
def test_a_bounded_request_goes_on_where_it_ended(
    guarded: RestrictedRegistry, user: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalog, "MAX_SCANNED", 10)
    monkeypatch.setattr(catalog, "FIRST_SCAN", 2)

    pages = guarded.listed(user, "/v2/_catalog?n=50")

    assert [name for page in pages for name in page] == visible(user)
    assert len(pages) > 1


def test_no_cursor_tells_what_is_hidden(guarded: RestrictedRegistry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalog, "MAX_SCANNED", 3)
    monkeypatch.setattr(catalog, "FIRST_SCAN", 2)
    target, seen, cursors = "/v2/_catalog?n=2", set[str](), []
    while target:
        answer = guarded.request("suffix", target)
        seen.update(answer.json["repositories"])
        target = "".join(re.findall(r"<(.+)>", answer.headers.get("Link", "")))
        cursors += re.findall(r"last=([^&>]+)", target)

    assert seen == set(visible("suffix"))
    sealed = [cursor for cursor in cursors if cursor.startswith("~")]
    assert len(sealed) > 5
    assert {cursor.replace("%2F", "/") for cursor in cursors if cursor not in sealed} <= seen
    assert not any("team" in cursor for cursor in sealed)
    for cursor in (sealed[0][:-2], sealed[0][:-4] + "AAAA", "~", "~" + "A" * 2000):
        assert guarded.request("suffix", f"/v2/_catalog?last={cursor}").status == 400
    assert guarded.request("all", f"/v2/_catalog?last={sealed[0]}").status == 400, "it was another caller's"


def test_a_listing_of_exact_names_reads_those_alone(local_stores: Stores, tmp_path: Path) -> None:
    """As with 1,000 grants among 100,000 repositories: each record that is read is on the page, but for one."""
    make(local_stores, [f"r{number:05d}" for number in range(5_000)])
    guarded = make_app(local_stores, tmp_path, {"exact": [f"r{number:05d}" for number in range(0, 5_000, 5)]})

    for size in (10, 100, 1000):
        answer = guarded.request("exact", f"/v2/_catalog?n={size}")
        assert len(answer.json["repositories"]) == size
        assert guarded.store.records <= size + 1
        assert guarded.store.calls_on_repositories <= 3


def test_a_listing_of_folders_reads_twice_as_much_as_it_shows(local_stores: Stores, tmp_path: Path) -> None:
    make(local_stores, [f"team-{number // 50:02d}/r{number:05d}" for number in range(5_000)])
    guarded = make_app(local_stores, tmp_path, {"folders": [f"team-{number:02d}/*" for number in range(0, 100, 2)]})

    for size in (10, 100, 1000):
        answer = guarded.request("folders", f"/v2/_catalog?n={size}")
        assert len(answer.json["repositories"]) == size
        assert guarded.store.records <= 3 * size + 2 * catalog.FIRST_SCAN


def test_a_scan_does_not_begin_among_names_that_sort_before_a_folder(local_stores: Stores, tmp_path: Path) -> None:
    make(local_stores, [f"team-{number:04d}" for number in range(1_000)] + ["team/app"])
    guarded = make_app(local_stores, tmp_path, {"folder": ["team/*"]})

    assert guarded.listed("folder", "/v2/_catalog") == [["team/app"]]
    assert guarded.store.records <= 2


@pytest.mark.parametrize("pattern", ["*-nothing", "*a*b", "r*-nothing"])
def test_no_request_looks_at_more_than_it_may(local_stores: Stores, tmp_path: Path, pattern: str) -> None:
    make(local_stores, [f"r{number:05d}" for number in range(8_000)])
    guarded = make_app(local_stores, tmp_path, {"some": [pattern]})

    answer = guarded.request("some", "/v2/_catalog")

    assert (answer.json["repositories"], "Link" in answer.headers) == ([], True)
    assert guarded.store.records < catalog.MAX_SCANNED + 2 * catalog.MAX_SCAN
    assert guarded.listed("some", "/v2/_catalog") == [[], []]


def test_no_request_compares_more_names_with_globs_than_it_may(
    local_stores: Stores, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalog, "MAX_COMPARISONS", 20_000)
    names = [f"r{number:04d}" for number in range(200)]
    make(local_stores, names)
    compared: list[str] = []
    matches = globs.matches

    def noted(glob: str, text: str) -> bool:
        compared.append(text)
        return matches(glob, text)

    monkeypatch.setattr(globs, "matches", noted)
    grants = [f"*-nothing-{number}" for number in range(500)]
    guarded = make_app(local_stores, tmp_path, {"some": [*grants, "*7"], "all": [*grants, "*"]})

    for user, visible in (("some", [name for name in names if name.endswith("7")]), ("all", names)):
        target, listed = "/v2/_catalog", list[str]()
        while target:
            compared.clear()
            answer = guarded.request(user, target)
            assert len(compared) <= 20_000
            listed += answer.json["repositories"]
            target = "".join(re.findall(r"<(.+)>", answer.headers.get("Link", "")))
        assert listed == visible


@dataclass
class FakeRegistry:
    """The repositories of a registry, some of which were deleted."""

    names: list[str]
    deleted: set[str] = field(default_factory=set)

    def repositories(self, after: str, limit: int) -> Page[str]:
        following = sorted(name for name in self.names if name > after)
        there = [name for name in following[:limit] if name not in self.deleted]
        return Page(there, following[limit - 1] if 0 < limit < len(following) else "")

    def existing(self, names: Sequence[str]) -> list[str]:
        return [name for name in names if name in self.names and name not in self.deleted]


TEXTS = st.text(alphabet="ab/*", max_size=6)
PLAIN = st.text(alphabet="ab/", min_size=1, max_size=6)


@given(
    st.lists(TEXTS, max_size=6),
    st.sets(PLAIN, max_size=20),
    st.sets(PLAIN, max_size=5),
    st.integers(1, 4),
    st.sampled_from((1, 3, 1000)),
)
def test_pages_hold_each_visible_name_once_and_in_order(
    patterns: list[str], names: set[str], deleted: set[str], size: int, max_scanned: int
) -> None:
    fake, prepared = FakeRegistry(sorted(names), deleted), Patterns(patterns)
    after, listed = "", list[str]()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(catalog, "MAX_SCANNED", max_scanned)
        patched.setattr(catalog, "MAX_COMPARISONS", 2 * max_scanned)
        patched.setattr(catalog, "FIRST_SCAN", 1)
        for _ in range(200):
            page = catalog.page_of(fake, prepared, after, size)  # type: ignore[arg-type]
            assert len(page.names) <= size
            assert not page.next or page.next > after
            listed += page.names
            after = page.next
            if not after:
                break
            assert page.hidden or after in names or any(after.startswith(each.partition("*")[0]) for each in patterns)

    assert not after
    assert listed == sorted(name for name in names - deleted if prepared.matches(name))

"""What callers may see of other repositories: the catalog, mounts, and other people's uploads."""

import pytest

from lading.api import catalog
from lading.registry.pagination import Page
from lading.registry.registry import Registry
from lading_storage.digests import digest_of
from lading_storage.stores import Stores
from tests.support import images
from tests.support.app_client import Client, Response, make_client
from tests.support.auth_fixtures import AppFactory
from tests.support.fake_iam_world import BUCKET, PULL, PUSH, FakeIamWorld, RestrictedApp, bearer, token_as_basic

ALICE = "user:alice@example.com"
NAMES = ["library/a", "other/a", "team-a", "team-a/one", "team-a/two", "team-ab/x", "team-b/x", "zoo"]


@pytest.fixture
def owner(local_stores: Stores) -> Client:
    """A client with all rights, in the same stores."""
    return make_client(Registry(local_stores.blobs, local_stores.metadata))


@pytest.fixture
def app(make_app: AppFactory, world: FakeIamWorld, owner: Client) -> RestrictedApp:
    """A registry where alice may pull in team-a, and push to team-b."""
    for name in NAMES:
        owner.push_image(name, "v1")
    world.token("alice")
    world.folder("team-a/", PULL, member=ALICE)
    world.folder("team-b/", PUSH, member=ALICE)
    return make_app(access=f"gs://{BUCKET}", folders="team-a,team-b,absent", public="library/*")


VISIBLE = ["library/a", "team-a", "team-a/one", "team-a/two"]


@pytest.mark.parametrize("way", ["basic", "token"])
@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_the_catalog_lists_what_can_be_pulled_and_names_nothing_else(app: RestrictedApp, way: str, size: int) -> None:
    authorization = {"Authorization": token_as_basic("ya29.alice")}
    if way == "token":
        authorization = bearer(app.token("registry:catalog:*", authorization=token_as_basic("ya29.alice")))
    listed: list[str] = []
    target = f"/v2/_catalog?n={size}"
    while target:
        answer = app.client.request("GET", target, headers=authorization)
        listed += answer.json["repositories"]
        link = answer.headers.get("Link", "")
        target = link.partition("<")[2].partition(">")[0].removeprefix("https://registry.example")
        if target:
            assert f"last={listed[-1].replace('/', '%2F')}" in target

    assert listed == VISIBLE


def test_the_catalog_calls_no_authorizer_with_a_token(app: RestrictedApp, world: FakeIamWorld) -> None:
    token = app.token("registry:catalog:*", authorization=token_as_basic("ya29.alice"))
    world.requests()

    assert app.client.request("GET", "/v2/_catalog", headers=bearer(token)).json == {"repositories": VISIBLE}
    assert world.requests() == []


def test_a_listing_does_not_read_what_it_does_not_show(app: RestrictedApp, monkeypatch: pytest.MonkeyPatch) -> None:
    """Anybody with an account at Google can log in, and a registry can be large."""
    read: list[str] = []
    repositories = Registry.repositories

    def counted(registry: Registry, after: str, limit: int) -> Page[str]:
        page = repositories(registry, after, limit)
        read.extend(page.items)
        return page

    monkeypatch.setattr(Registry, "repositories", counted)
    monkeypatch.setattr(catalog, "FIRST_SCAN", 1)
    headers = {"Authorization": token_as_basic("ya29.alice")}

    assert app.client.request("GET", "/v2/_catalog?n=2&last=m", headers=headers).json == {
        "repositories": ["team-a", "team-a/one"]
    }
    assert set(read) <= {"team-a/one", "team-a/two", "team-ab/x"}
    read.clear()
    assert app.client.request("GET", "/v2/_catalog?last=team-b", headers=headers).json == {"repositories": []}
    assert read == []


def test_a_token_for_something_else_does_not_list(app: RestrictedApp) -> None:
    token = app.token("repository:team-a/one:pull", authorization=token_as_basic("ya29.alice"))

    answer = app.client.request("GET", "/v2/_catalog", headers=bearer(token))

    assert answer.status == 401
    assert 'scope="registry:catalog:*"' in answer.headers["WWW-Authenticate"]


def mount(app: RestrictedApp, digest: str, source: str, headers: dict[str, str]) -> Response:
    query = f"mount={digest}" + (f"&from={source}" if source else "")
    return app.client.request("POST", f"/v2/team-b/x/blobs/uploads/?{query}", headers=headers)


def mounted(app: RestrictedApp, digest: str, source: str, headers: dict[str, str]) -> bool:
    answer = mount(app, digest, source, headers)
    assert answer.status in (201, 202), answer
    return answer.status == 201


@pytest.mark.parametrize("way", ["basic", "token"])
def test_a_mount_needs_pull_on_the_source(app: RestrictedApp, owner: Client, way: str) -> None:
    mine, others, public = (owner.push_blob(name, images.blob()) for name in ("team-a/one", "other/a", "library/a"))
    headers = {"Authorization": token_as_basic("ya29.alice")}
    if way == "token":
        scopes = ["repository:team-b/x:pull,push"]
        scopes += [f"repository:{name}:pull" for name in ("team-a/one", "other/a", "absent")]
        headers = bearer(app.token(*scopes, authorization=token_as_basic("ya29.alice")))

    assert mounted(app, mine, "team-a/one", headers)
    assert not mounted(app, others, "other/a", headers)
    assert not mounted(app, others, "absent", headers)
    assert mounted(app, public, "library/a", headers)


def test_a_token_that_was_not_asked_for_the_source_is_sent_back_for_it(app: RestrictedApp, owner: Client) -> None:
    digest = owner.push_blob("team-a/one", images.blob())
    headers = bearer(app.token("repository:team-b/x:pull,push", authorization=token_as_basic("ya29.alice")))

    for source in ("team-a/one", "other/a", "absent"):
        answer = mount(app, digest, source, headers)
        assert answer.status == 401
        challenge = answer.headers["WWW-Authenticate"]
        assert f'scope="repository:team-b/x:pull,push repository:{source}:pull"' in challenge
        assert 'error="insufficient_scope"' in challenge


@pytest.mark.parametrize("way", ["basic", "token"])
def test_a_mount_without_a_source_looks_only_where_the_caller_may_pull(
    app: RestrictedApp, owner: Client, way: str
) -> None:
    mine, others = (owner.push_blob(name, images.blob()) for name in ("team-a/one", "other/a"))
    headers = {"Authorization": token_as_basic("ya29.alice")}
    if way == "token":
        scopes = ("repository:team-b/x:push", "repository:team-a/one:pull", "repository:other/a:pull")
        headers = bearer(app.token(*scopes, authorization=token_as_basic("ya29.alice")))

    assert mounted(app, mine, "", headers)
    assert not mounted(app, others, "", headers)


def test_a_mount_needs_push_on_the_target(app: RestrictedApp, owner: Client) -> None:
    digest = owner.push_blob("team-a/one", images.blob())
    headers = {"Authorization": token_as_basic("ya29.alice")}

    answer = app.client.request(
        "POST", f"/v2/team-a/two/blobs/uploads/?mount={digest}&from=team-a/one", headers=headers
    )

    assert (answer.status, answer.code) == (403, "DENIED")


def test_an_upload_belongs_to_whom_the_credentials_name(app: RestrictedApp, world: FakeIamWorld) -> None:
    world.token("bob")
    world.folder("team-b/", PUSH, member="user:bob@example.com")
    alice, bob = ({"Authorization": token_as_basic(f"ya29.{name}")} for name in ("alice", "bob"))
    started = app.client.request("POST", "/v2/team-b/x/blobs/uploads/", headers=alice)
    path = started.headers["Location"].removeprefix("https://registry.example")

    assert app.client.request("PATCH", path, b"bytes", bob).status == 404
    assert app.client.request("DELETE", path, headers=bob).status == 404

    # The token of the middle of a push is another one than that of its beginning.
    again = bearer(
        app.token("repository:team-b/x:push", authorization=token_as_basic(world.token("alice", sub="12345")))
    )
    assert app.client.request("PATCH", path, b"bytes", again).status == 202
    assert app.client.request("PUT", f"{path}?digest={digest_of(b'bytes')}", headers=alice).status == 201

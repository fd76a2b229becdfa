"""Every kind of principal, on every route, in every kind of repository: what is written down here is what happens.

Three repositories hold the same image: `team/app`, where the grants are; `library/app`, which is public as well; and
`other/app`, where no principal has a grant. A cell is one request: allowed, denied (403), or unauthorized (401).
"""

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pytest

from lading.json_values import rfc3339
from lading.registry.registry import Registry
from lading.routes import all_routes, surface_of
from lading_storage.digests import digest_of
from lading_storage.stores import Stores
from tests.auth.access_routes import CHANGES, NAMED_BY_A_POLICY, ROUTE_OF
from tests.auth.upload_sessions import session_of
from tests.support import images
from tests.support.app_client import make_client
from tests.support.fake_iam_world import (
    BUCKET,
    DELETE,
    PLATFORM_SCOPE,
    POOL,
    PULL,
    PUSH,
    READ_ONLY_SCOPE,
    SERVICE_ACCOUNT,
    STORAGE,
    FakeIamWorld,
    RestrictedApp,
    bearer,
    register_service_account,
    restricted_app,
    self_signed,
    service_account_key,
    token_as_basic,
)
from tests.support.published_events import publish, published_event
from tests.support.server_process import basic, run_lading

REPOSITORIES: Final = ("team/app", "library/app", "other/app")

NO_RIGHTS: Final[frozenset[str]] = frozenset()
ALL: Final = frozenset({"pull", "push", "delete"})

# A refused client is told to log in (401), or that logging in again is of no use (403).
PRINCIPALS: Final[Mapping[str, tuple[frozenset[str], int]]] = {
    # kind: what it may do in team/app, and the status of all else
    "an anonymous client": (NO_RIGHTS, 401),
    "an anonymous client, with a token": (NO_RIGHTS, 401),
    "a user who may do nothing": (NO_RIGHTS, 403),
    "a user who may pull": (frozenset({"pull"}), 403),
    "a user who may pull, with a token": (frozenset({"pull"}), 403),
    "a user who may push alone": (frozenset({"push"}), 403),
    "a user who may pull and push, with a token": (frozenset({"pull", "push"}), 403),
    "a user who may delete alone": (frozenset({"delete"}), 403),
    "a user who may do all": (ALL, 403),
    "a user who may do all, with a token for pulling": (frozenset({"pull"}), 401),
    "a user who may do all, whose Google token may only read": (frozenset({"pull"}), 403),
    "a federated caller whom no token names": (frozenset({"pull"}), 403),
    "a federated caller, with a token": (frozenset({"pull"}), 403),
    "a federated caller, where such may push": (frozenset({"pull", "push"}), 403),
    "a federated caller, where such may delete": (ALL, 403),
    "a federated caller, where such are refused": (NO_RIGHTS, 401),
    "a user whose Google token has no scope for storage": (NO_RIGHTS, 403),
    "a user whose Google token has no scope for storage, with a token": (NO_RIGHTS, 403),
    "a user whose Google token tokeninfo refuses": (frozenset({"pull"}), 403),
    "a service account with its key": (frozenset({"pull", "push"}), 403),
    "a service account that signs for reading": (frozenset({"pull"}), 403),
    "a service account that signs for an audience": (frozenset({"pull"}), 403),
    "a robot that may pull": (frozenset({"pull"}), 403),
    "a robot that may pull and push, with a token": (frozenset({"pull", "push"}), 403),
    "a user with a wrong secret": (NO_RIGHTS, 401),
}
BAD: Final = "a user with a wrong secret"
REJECTED: Final = frozenset({BAD, "a federated caller, where such are refused"})  # bad also for what is public

UNSCOPED: Final[Mapping[str, str]] = {
    "a federated caller, where such may push": "push",
    "a federated caller, where such may delete": "delete",
    "a federated caller, where such are refused": "refuse",
}
"""By kind: --unscoped-tokens, where it is not the default."""

NARROW: Final = "a user who may do all, with a token for pulling"
"""Of what the token was not asked for it does not say whether it is refused (401); of pulling it does (403)."""


class Callers:
    """The registry and everybody who comes to it."""

    def __init__(self, world: FakeIamWorld, stores: Stores, folder: Path, unscoped: str, folders: str = "") -> None:
        environment = {"LADING_ACCESS": f"gs://{BUCKET}", "LADING_PUBLIC": "library/*", "LADING_FOLDERS": folders}
        environment |= {"LADING_UNSCOPED_TOKENS": unscoped, "LADING_SCAN": "on"}
        self.app: RestrictedApp = restricted_app(stores, environment, folder)
        self.open = make_client(Registry(stores.blobs, stores.metadata))
        world.folder("other/", member="user:nobody@example.com")
        world.folder("library/", member="user:nobody@example.com")
        self._world, self._folder = world, folder

    def user(self, name: str, *permissions: str, scope: str = PLATFORM_SCOPE, **more: int) -> str:
        self._world.folder("team/", *permissions, member=f"user:{name}@example.com")
        return token_as_basic(self._world.token(name, scope, **more))

    def robot(self, name: str, may: str) -> str:
        words = ["robots", "create", name, "--repositories", "team/*", "--may", may]
        done = run_lading(words, self._folder, {"LADING_DATA": str(self._folder)})
        return basic(f"robot+{name}", done.stdout.split()[-1])

    def federated(self) -> str:
        self._world.folder("team/", PULL, PUSH, DELETE, member=f"{POOL}/subject/s")
        return token_as_basic(self._world.federated("s"))

    def service_account(self) -> str:
        register_service_account(self._world)
        self._world.folder("team/", PULL, PUSH, member=f"serviceAccount:{SERVICE_ACCOUNT}")
        return basic("_json_key", service_account_key())

    def self_signing(self, **claims: Any) -> str:
        register_service_account(self._world)
        self._world.folder("team/", PULL, PUSH, DELETE, member=f"serviceAccount:{SERVICE_ACCOUNT}")
        return token_as_basic(self_signed(**claims))

    def token(self, authorization: str, actions: str = "pull,push,delete") -> str:
        scopes = [f"repository:{name}:{actions}" for name in REPOSITORIES]
        return bearer(self.app.token(*scopes, authorization=authorization))["Authorization"]


CREDENTIALS: Final[Mapping[str, Callable[[Callers], str]]] = {
    "an anonymous client": lambda cast: "",
    "an anonymous client, with a token": lambda cast: cast.token(""),
    "a user who may do nothing": lambda cast: cast.user("stranger"),
    "a user who may pull": lambda cast: cast.user("puller", PULL),
    "a user who may pull, with a token": lambda cast: cast.token(cast.user("puller2", PULL)),
    "a user who may push alone": lambda cast: cast.user("pusher", PUSH),
    "a user who may pull and push, with a token": lambda cast: cast.token(cast.user("both", PULL, PUSH)),
    "a user who may delete alone": lambda cast: cast.user("deleter", DELETE),
    "a user who may do all": lambda cast: cast.user("owner", PULL, PUSH, DELETE),
    "a user who may do all, with a token for pulling": lambda cast: cast.token(
        cast.user("owner2", PULL, PUSH, DELETE), "pull"
    ),
    "a user who may do all, whose Google token may only read": lambda cast: cast.user(
        "owner3", PULL, PUSH, DELETE, scope=READ_ONLY_SCOPE
    ),
    "a federated caller whom no token names": Callers.federated,
    "a federated caller, with a token": lambda cast: cast.token(cast.federated()),
    **dict.fromkeys(UNSCOPED, Callers.federated),
    "a user whose Google token has no scope for storage": lambda cast: cast.user(
        "owner4", PULL, PUSH, DELETE, scope="openid email"
    ),
    "a user whose Google token has no scope for storage, with a token": lambda cast: cast.token(
        cast.user("owner5", PULL, PUSH, DELETE, scope="openid email")
    ),
    "a user whose Google token tokeninfo refuses": lambda cast: cast.user("owner6", PULL, PUSH, DELETE, tokeninfo=403),
    "a service account with its key": Callers.service_account,
    "a service account that signs for reading": lambda cast: cast.self_signing(scope=READ_ONLY_SCOPE),
    "a service account that signs for an audience": lambda cast: cast.self_signing(scope=None, aud=STORAGE),
    "a robot that may pull": lambda cast: cast.robot("puller", "pull"),
    "a robot that may pull and push, with a token": lambda cast: cast.token(cast.robot("pusher", "pull,push")),
    BAD: lambda cast: token_as_basic("ya29.wrong"),
}


@pytest.fixture
def cast(kind: str, world: FakeIamWorld, local_stores: Stores, tmp_path: Path) -> Callers:
    return Callers(world, local_stores, tmp_path / "data", UNSCOPED.get(kind, "pull"))


def expected(kind: str, repository: str, right: str) -> int:
    """What the table says: 200 for allowed, else the status."""
    rights, otherwise = PRINCIPALS[kind]
    if kind in REJECTED:
        return 401
    if repository == "library/app" and right == "pull":
        return 200
    if repository == "team/app" and right in rights:
        return 200
    if kind == NARROW and right == "pull":
        return 403
    return otherwise


def test_the_table_is_whole() -> None:
    rows = {route.spec for route in all_routes() if route.action.value in ALL}
    tried = {
        surface_of(target).match(method, target).route.spec
        for method, path, _ in ROUTE_OF.values()
        for target in [f"/v2/{path.partition('?')[0]}".replace("{name}", "a")]
    }

    assert tried == rows
    assert PRINCIPALS.keys() == CREDENTIALS.keys()
    assert len(PRINCIPALS) * len(ROUTE_OF) * len(REPOSITORIES) > 500


@pytest.mark.parametrize("kind", PRINCIPALS)
def test_each_cell_is_as_it_is_written_down(kind: str, cast: Callers) -> None:
    authorization = CREDENTIALS[kind](cast)
    headers = {"Authorization": authorization} if authorization else {}
    wrong = []
    for repository in REPOSITORIES:
        is_changed = True
        for name, (method, path, right) in ROUTE_OF.items():
            if is_changed:
                manifest = cast.open.push_image(repository, "v1", layer := images.blob())
            session = session_of(cast.app.client, cast.open, repository, headers) if "{session}" in path else ""
            names = {"manifest": digest_of(manifest), "layer": digest_of(layer), "session": session}
            has_body = right == "push" and method not in {"GET", "DELETE"} and name != "begin an upload"
            body = (manifest if "/manifests/" in path else layer) if has_body else b""
            if name in CHANGES:
                cast.open.push_manifest(repository, "v1", images.manifest([layer], annotations={"number": "2"}))
                if name == "restore a tag":
                    cast.open.request("DELETE", f"/v2/{repository}/manifests/v1")
                body = CHANGES[name].replace("MANIFEST", names["manifest"]).encode()
            if name == "delete a blob":
                # Without a manifest that names it: then it could not be deleted.
                names["layer"] = cast.open.push_blob(repository, images.blob())
            media = {"Content-Type": json.loads(manifest)["mediaType"]} if "/manifests/" in path and body else {}
            answer = cast.app.client.request(
                method, f"/v2/{path.format(name=repository, **names)}", body, headers | media
            )
            status = 200 if answer.status < 300 else answer.status
            if name in NAMED_BY_A_POLICY and b"breakGlass" in answer.body:
                status = 200
            assert ("WWW-Authenticate" in answer.headers) == (status == 401), "a HEAD needs it, too"
            is_changed = name in CHANGES or name == "delete a blob" or (method not in {"GET", "HEAD"} and status == 200)
            if status != expected(kind, repository, right):
                wrong.append((name, repository, answer.status, answer.body))
    assert wrong == []


@pytest.mark.parametrize("kind", PRINCIPALS)
def test_a_caller_receives_the_events_of_what_it_may_pull(
    kind: str, world: FakeIamWorld, local_stores: Stores, tmp_path: Path
) -> None:
    # As a listing, a request without a repository knows the managed folders that the settings name.
    cast = Callers(world, local_stores, tmp_path / "data", UNSCOPED.get(kind, "pull"), folders="team")
    authorization = CREDENTIALS[kind](cast)
    headers = {"Authorization": authorization} if authorization else {}
    since = rfc3339(datetime.now(UTC) - timedelta(minutes=1))
    publish(local_stores.metadata, *(published_event(0, datetime.now(UTC), name) for name in REPOSITORIES))

    def read(query: str) -> tuple[int, list[str]]:
        answer = cast.app.client.request("GET", f"/v2/_lading/events?since={since}{query}", headers=headers)
        return answer.status, sorted(each["data"]["repository"] for each in answer.json.get("events", ()))

    pulls = {name: expected(kind, name, "pull") for name in REPOSITORIES}
    allowed = sorted(name for name, status in pulls.items() if status == 200)
    assert read("") == (401 if kind in REJECTED else 200, allowed)
    for name, status in pulls.items():
        assert read(f"&repository={name}") == (status, [name] if status == 200 else [])


REGISTRY_WIDE: Final = {
    # kind: GET /v2/, GET /v2/_catalog, GET /v2/token
    "an anonymous client": (401, 401, 200),
    "an anonymous client, with a token": (200, 401, 401),
    "a user who may do nothing": (200, 200, 200),
    "a user who may pull, with a token": (200, 401, 401),
    "a federated caller whom no token names": (200, 200, 200),
    "a federated caller, with a token": (200, 401, 401),
    "a federated caller, where such are refused": (401, 401, 401),
    "a user whose Google token has no scope for storage": (200, 200, 200),
    "a service account with its key": (200, 200, 200),
    "a service account that signs for an audience": (200, 200, 200),
    "a robot that may pull": (200, 200, 200),
    BAD: (401, 401, 401),
}


@pytest.mark.parametrize("kind", REGISTRY_WIDE)
def test_what_concerns_no_one_repository(kind: str, cast: Callers) -> None:
    authorization = CREDENTIALS[kind](cast)
    headers = {"Authorization": authorization} if authorization else {}

    answers = [cast.app.client.request("GET", path, headers=headers) for path in ("/v2/", "/v2/_catalog", "/v2/token")]

    assert tuple(answer.status for answer in answers) == REGISTRY_WIDE[kind]
    assert all("WWW-Authenticate" in answer.headers for answer in answers if answer.status == 401)


WITHOUT_CATALOG: Final = (
    "an anonymous client",
    BAD,
    "a user who may do nothing",
    "a federated caller whom no token names",
    "a federated caller, where such are refused",
    "a user whose Google token has no scope for storage",
)


@pytest.mark.parametrize("kind", WITHOUT_CATALOG)
def test_a_principal_without_access_cannot_tell_whether_a_repository_exists(kind: str, cast: Callers) -> None:
    layer = images.blob()
    manifest = cast.open.push_image("other/app", "v1", layer)
    names = {"manifest": digest_of(manifest), "layer": digest_of(layer), "session": "0" * 32}
    authorization = CREDENTIALS[kind](cast)
    headers = {"Authorization": authorization} if authorization else {}

    def told(method: str, path: str, repository: str) -> tuple[int, bytes, str]:
        answer = cast.app.client.request(method, f"/v2/{path.format(name=repository, **names)}", headers=headers)
        challenge = answer.headers.get("WWW-Authenticate", "")
        return answer.status, answer.body.replace(repository.encode(), b"X"), challenge.replace(repository, "X")

    for method, path, _ in ROUTE_OF.values():
        assert told(method, path, "other/app") == told(method, path, "other/not"), path

"""The leader responds after one bounded read and no more: whatever takes longer, it does after it has stepped down."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import pytest

from lading import settings
from lading.app import App
from lading.auth.access import Caller
from lading.auth.authenticator import OpenAuthenticator
from lading.http.client_address import ClientAddress
from lading.leader import Leader, is_leader, step_down
from lading.routes import all_routes
from lading_storage.digests import digest_of
from lading_storage.protocols import MAX_CONTENT_SIZE, Replace
from lading_storage.records.core import Key, Manifest, Tag
from lading_storage.stores import Stores
from tests.support import images
from tests.support.app_client import Client
from tests.support.store_hooks import hooked_registry

T = TypeVar("T")

LAYER = b"layer"
HINTED = digest_of(images.manifest([LAYER]))
ABSENT = digest_of(b"absent")


@dataclass
class LeaderCalls:
    """What one request does as the leader, call by call."""

    calls: list[str] = field(default_factory=list)

    def did(self, call: str) -> None:
        if is_leader():
            self.calls.append(call)

    def record(self, method: str, arguments: Mapping[str, Any], forward: Callable[[], T], /) -> T:
        """Hook around the calls of the stores."""
        keys = len(arguments.get("keys", "1"))
        self.did(method if keys == 1 else f"{method} {keys}")
        return forward()


class RecordingAuthenticator(OpenAuthenticator):
    """A door that tells `leader` when it looks at a password."""

    def __init__(self, leader: LeaderCalls) -> None:
        self._leader = leader

    def authenticate(self, authorization: str, client: ClientAddress) -> Caller:
        if authorization.startswith("Basic "):
            self._leader.did("password")
        return super().authenticate(authorization, client)


@pytest.fixture
def leader() -> LeaderCalls:
    return LeaderCalls()


@pytest.fixture
def client(stores: Stores, leader: LeaderCalls) -> Iterator[Client]:
    """A client of an app that has an image, a large manifest, and a history."""
    registry = hooked_registry(stores, leader.record)
    client = Client(App(registry, settings.load_settings({}), RecordingAuthenticator(leader)))
    client.push_image("a", "v1", LAYER)
    client.push_manifest("a", "large", images.manifest([LAYER], annotations={"": "x" * 100_000}))
    client.push_manifest("a", "spilled", images.manifest([LAYER], annotations={"": "x" * MAX_CONTENT_SIZE}))
    client.push_image("hinted", "v1", LAYER)
    _hint(stores, Key(Tag, "v1", "hinted"), Key(Manifest, HINTED, "hinted"))
    yield client
    step_down()


def _hint(stores: Stores, *keys: Key[Any]) -> None:
    """Let a tag and a manifest say that a blob may be damaged which they need."""
    found = stores.metadata.read(keys)
    stores.metadata.commit([Replace(replace(record, damaged=True)) for key in keys if (record := found[key])])


REQUESTS = [
    ("GET", "/v2/", 200),
    ("GET", "/v2/a/manifests/v1", 200),
    ("HEAD", "/v2/a/manifests/v1", 200),
    ("GET", "/v2/a/manifests/large", 200),
    ("HEAD", "/v2/a/manifests/large", 200),
    ("GET", "/v2/a/manifests/spilled", 200),
    ("GET", "/v2/hinted/manifests/v1", 200),
    ("HEAD", "/v2/hinted/manifests/v1", 200),
    ("HEAD", f"/v2/hinted/manifests/{HINTED}", 200),
    ("GET", "/v2/a/manifests/v1.asof-20990101T000000Z", 200),
    ("HEAD", "/v2/a/manifests/v1.asof-20200101T000000Z", 404),
    ("GET", f"/v2/a/blobs/{digest_of(LAYER)}", 200),
    ("HEAD", f"/v2/a/blobs/{digest_of(LAYER)}", 200),
    ("GET", "/v2/a/manifests/absent", 404),
    ("GET", f"/v2/a/manifests/{ABSENT}", 404),
    ("HEAD", f"/v2/a/blobs/{ABSENT}", 404),
    ("GET", "/v2/a/tags/list", 200),
    ("GET", "/v2/nothing", 404),
    ("POST", "/v2/a/manifests/v1", 405),
]
CREDENTIALS: Sequence[dict[str, str]] = (
    {},
    {"Authorization": "Basic YWxpY2U6c2VjcmV0"},
    {"Authorization": "Bearer token"},
)


@pytest.mark.parametrize("headers", CREDENTIALS, ids=["anonymous", "password", "token"])
@pytest.mark.parametrize("request_", REQUESTS, ids=[f"{method} {target}" for method, target, _ in REQUESTS])
def test_the_leader_reads_once_and_does_nothing_else(
    client: Client, leader: LeaderCalls, request_: tuple[str, str, int], headers: dict[str, str]
) -> None:
    Leader().acquire()
    leader.calls.clear()

    method, target, status = request_
    answer = client.request(method, target, headers=headers)

    assert answer.status == status, answer
    # The first pull in a while reads the rules of the registry and of the namespace as well, by the same call.
    assert leader.calls in ([], ["read"], ["read 3"])


def test_a_pull_by_tag_is_answered_by_the_leader(client: Client, leader: LeaderCalls) -> None:
    # The first pull of an hour writes when it was, and steps down for that.
    client.request("GET", "/v2/a/manifests/v1")
    # The first pull of an hour is put on record, by a thread that has stepped down.
    client.request("GET", "/v2/a/manifests/v1")
    Leader().acquire()
    leader.calls.clear()

    client.request("GET", "/v2/a/manifests/v1")

    assert is_leader()
    assert leader.calls == ["read"]


def test_each_handler_that_the_leader_runs_is_tried() -> None:
    tried = {
        route.handler
        for route in all_routes()
        for method, target, _ in REQUESTS
        if method in route.method_set and route.pattern.fullmatch(target)
    }
    assert tried >= {route.handler for route in all_routes() if route.is_non_blocking} != set()

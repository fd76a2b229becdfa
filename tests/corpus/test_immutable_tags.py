"""Ways to move or delete an immutable tag over HTTP, on both pairs of stores: each is refused, and nothing changes."""

from collections.abc import Callable
from typing import Final

import pytest

from lading import settings
from lading.app import App
from lading.auth.authenticator import OpenAuthenticator
from lading.registry.content.manifest_format import OCI_INDEX, OCI_MANIFEST
from lading.registry.registry import Registry
from lading.registry.rules.effective import LocalRules
from lading.registry.rules.immutable import ImmutableTags
from lading_storage.digests import digest_of
from lading_storage.stores import Stores
from tests.support import images
from tests.support.app_client import Client, Response

RULES: Final = ("team/*:v*", "!team/*:v*-rc*", "team/app:pinned")
LAYER: Final = b"a layer"
IMAGE: Final = images.manifest([LAYER])
OTHER: Final = images.manifest([LAYER], annotations={"other": "yes"})
INDEX: Final = images.index([OTHER])
DIGEST: Final = digest_of(IMAGE)
DOCKER: Final = "application/vnd.docker.distribution.manifest.v2+json"

Attack = Callable[[Client], Response]


def put(reference: str, content: bytes = OTHER, media_type: str = OCI_MANIFEST) -> Attack:
    return lambda client: client.request(
        "PUT", f"/v2/team/app/manifests/{reference}", content, {"Content-Type": media_type}
    )


def delete(reference: str, name: str = "team/app") -> Attack:
    return lambda client: client.request("DELETE", f"/v2/{name}/manifests/{reference}")


# v1 and pinned name IMAGE, v-multi names INDEX, which names OTHER; that has no tag.
REFUSED: Final[dict[str, tuple[int, Attack]]] = {
    "another image": (409, put("v1")),
    "an index": (409, put("v1", INDEX, OCI_INDEX)),
    "the same bytes as another type": (400, put("v1", IMAGE, DOCKER)),
    "the same image with a blank more": (409, put("v1", IMAGE + b" ")),
    "by digest and ?tag=": (409, put(f"{digest_of(OTHER)}?tag=v1")),
    "by digest and two ?tag=": (409, put(f"{digest_of(OTHER)}?tag=free&tag=v1")),
    "by another tag and ?tag=": (409, put("free?tag=v1")),
    "by the tag and ?tag= of another": (409, put("v1?tag=free")),
    "percent-encoded": (409, put("%76%31")),
    "by ?tag= percent-encoded": (409, put("free?tag=%761")),
    "a tag of a rule without a star": (409, put("pinned")),
    "the tag's deletion": (409, delete("v1")),
    "the tag's deletion, percent-encoded": (409, delete("%761")),
    "its image's deletion": (409, delete(DIGEST)),
    "its image's deletion, percent-encoded": (409, delete(DIGEST.replace(":", "%3A"))),
    "its image's index": (409, delete(digest_of(INDEX))),
    "a rule without a star, deleted": (409, delete("pinned")),
    "its config as a blob": (405, lambda client: client.request("DELETE", f"/v2/team/app/blobs/{digest_of(b'{}')}")),
}

ALLOWED: Final[dict[str, Attack]] = {
    "the same image again": put("v1", IMAGE),
    "the same image by digest and ?tag=": put(f"{DIGEST}?tag=v1", IMAGE),
    "a new tag of the rule": put("v2"),
    "an exception": put("v1-rc1"),
    "an exception again": put("v1-rc1", IMAGE),
    "a tag of no rule": put("latest"),
    "the same in capitals, which is another tag": put("V1"),
    "an exception's deletion": delete("v1-rc1"),
}


@pytest.fixture
def client(stores: Stores) -> Client:
    """A client that may do everything with a registry that has RULES."""
    registry = Registry(stores.blobs, stores.metadata, LocalRules(ImmutableTags.parse(RULES)))
    made = Client(App(registry, settings.load_settings({}), OpenAuthenticator()))
    made.push_image("team/app", "v1", LAYER)
    made.push_manifest("team/app", "pinned", IMAGE)
    made.push_manifest("team/app", digest_of(OTHER), OTHER)
    made.push_manifest("team/app", "v-multi", INDEX)
    return made


def seen(client: Client) -> list[tuple[str, bytes]]:
    """What each tag names, all tags, and the history."""
    tags = [client.request("HEAD", f"/v2/team/app/manifests/{name}") for name in ("v1", "pinned", "v-multi")]
    lists = [client.request("GET", path) for path in ("/v2/team/app/tags/list", "/v2/_lading/team/app/history")]
    return [(answer.headers.get("Docker-Content-Digest", ""), answer.body) for answer in tags + lists]


def test_an_immutable_tag_is_neither_moved_nor_deleted(client: Client) -> None:
    before = seen(client)
    wrong = []
    for name, (status, attack) in REFUSED.items():
        answer = attack(client)
        if answer.status != status or seen(client) != before:
            wrong.append((name, answer))
    assert wrong == []


def test_what_no_rule_forbids_is_allowed(client: Client) -> None:
    assert [name for name, act in ALLOWED.items() if act(client).status not in (201, 202)] == []
    assert client.request("HEAD", "/v2/team/app/manifests/v1").headers["Docker-Content-Digest"] == DIGEST

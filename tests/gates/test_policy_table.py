"""Every kind of caller, on every route to an image, in every state of a policy: what is written down happens."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final

import pytest

from lading.api.distribution import DISTRIBUTION
from lading.auth.access import Action
from lading.json_values import rfc3339
from lading.registry.policies.policy_cache import PolicyCache
from lading.registry.registry import Registry
from lading_storage.protocols import Replace
from lading_storage.records.core import Manifest
from tests.support import images
from tests.support.app_client import content_type_header
from tests.support.named_callers import NamedClient, named_client
from tests.support.policies import REPOSITORY, policy, refused_pull, set_policies, signed_by
from tests.support.registry_pushes import push_blob, push_image, push_manifest
from tests.support.signatures import FORGER, sign, sign_by_tag

CALLERS: Final = ("", "node", "signer", "oncall")
EXEMPT: Final = "signer"


@dataclass(frozen=True)
class Route:
    """A way to an image, or past it.

    gate  what a policy that refuses the image does to it: "refuse", "warn", or "" for nothing
    """

    method: str
    path: str
    gate: str = ""
    body: str = ""
    headers: Mapping[str, str] | None = None


ROUTES: Final[Mapping[str, Route]] = {
    "pull by tag": Route("GET", "manifests/v1", "refuse"),
    "pull by digest": Route("GET", "manifests/{image}", "refuse"),
    "pull as of a time": Route("GET", "manifests/v1.asof-20990101T000000Z", "refuse"),
    "pull what the client has": Route("GET", "manifests/v1", "refuse", headers={"If-None-Match": '"{image}"'}),
    "pull if it is another": Route("GET", "manifests/v1", "refuse", headers={"If-Match": '"sha256:{zeros}"'}),
    "look at a tag": Route("HEAD", "manifests/v1", "warn"),
    "look at a digest": Route("HEAD", "manifests/{image}", "warn"),
    "pull an index": Route("GET", "manifests/index"),
    "pull a signature": Route("GET", "manifests/{bundle}"),
    "pull a signature by its tag": Route("GET", "manifests/{tagged}"),
    "pull a layer": Route("GET", "blobs/{layer}"),
    "list tags": Route("GET", "tags/list"),
    "list referrers": Route("GET", "referrers/{image}"),
    "push it again by digest": Route("PUT", "manifests/{image}", body="{content}"),
    "push it by another tag": Route("PUT", "manifests/build", body="{content}"),
    "push it by a gated tag": Route("PUT", "manifests/prod", "refuse", body="{content}"),
    "mount a layer": Route("POST", "blobs/uploads/?mount={layer}&from=" + REPOSITORY),
}

OWN: Final[Mapping[str, Route]] = {
    "set a gated tag": Route("POST", "tag", "refuse", body='{"reference": "v1", "tag": "prod"}'),
    "set another tag": Route("POST", "tag", body='{"reference": "v1", "tag": "other"}'),
    "read its details": Route("GET", "manifest?reference=v1"),
    "read its scan": Route("GET", "scan?tag=v1"),
    "ask why": Route("GET", "policy?reference=v1"),
}
"""Below /v2/_lading."""


MOVES: Final = frozenset({"push it by a gated tag", "set a gated tag"})


@dataclass(frozen=True)
class State:
    """A state of the policy.

    refuses   whether it refuses the image for those who are not exempt
    warns     whether it only warns
    is_newer  whether this release cannot read it
    """

    set: Callable[[Registry, Manifest], object]
    refuses: bool = False
    warns: bool = False
    is_newer: bool = False


RULE: Final = {"tags": ["prod"], "exempt": [EXEMPT], "breakGlass": ["oncall"], **signed_by()}


def enforce(registry: Registry, image: Manifest | None = None) -> None:
    set_policies(registry, policy(**RULE))


def signed(registry: Registry, image: Manifest) -> None:
    enforce(registry)
    sign(registry, image)


def forged(registry: Registry, image: Manifest) -> None:
    enforce(registry)
    sign(registry, image, FORGER)


def unsigned_again(registry: Registry, image: Manifest) -> None:
    enforce(registry)
    signature = sign(registry, image)
    assert refused_pull(registry, "v1") == ""
    registry.deletion.manifest(REPOSITORY, signature.digest)


def opened(registry: Registry, image: Manifest) -> None:
    enforce(registry)
    client = named_client(registry)
    until = rfc3339(datetime.now(UTC) + timedelta(hours=1))
    body = json.dumps({"reference": image.digest, "reason": "incident 7", "until": until}).encode()
    assert client.ask("POST", f"_lading/{REPOSITORY}/exceptions", "oncall", body).status == 200


def closed(registry: Registry, image: Manifest) -> None:
    opened(registry, image)
    path = f"_lading/{REPOSITORY}/exceptions?reference={image.digest}"
    assert named_client(registry).ask("DELETE", path, "oncall").status == 200


def newer(registry: Registry, image: Manifest) -> None:
    enforce(registry)
    rules = registry.rules.read_all().registry
    assert rules is not None
    registry.metadata.commit([Replace(replace(rules, policies='{"version": 2, "policies": []}'))])
    registry.gates.policies = PolicyCache()


STATES: Final[Mapping[str, State]] = {
    "there is none": State(lambda registry, image: None),
    "it is of another repository": State(
        lambda registry, image: set_policies(registry, policy(**RULE) | {"repositories": ["other/*"]})
    ),
    "it audits": State(lambda registry, image: set_policies(registry, policy(**RULE) | {"mode": "audit"}), warns=True),
    "it refuses": State(enforce, refuses=True),
    "it refuses what a forger signed": State(forged, refuses=True),
    "it refuses what was signed": State(unsigned_again, refuses=True),
    "the image is signed": State(signed),
    "an exception is open": State(opened),
    "an exception was closed": State(closed, refuses=True),
    "this release cannot read it": State(newer, is_newer=True),
}


def expected(state: State, route: Route, name: str, caller: str) -> tuple[int, bool]:
    """What the tables say: a class of statuses, or a status of a refusal; and whether there is a warning."""
    is_decided = bool(route.gate) or name in {"pull an index", "pull a signature", "pull a signature by its tag"}
    changes = route.method == "PUT" or name == "set another tag"
    if state.is_newer and (is_decided or changes or name == "ask why"):
        return 503, False
    if not route.gate or caller == EXEMPT or not (state.refuses or state.warns):
        return _usual(name), False
    if state.refuses and route.gate == "refuse":
        return 403, False
    return _usual(name), _usual(name) != 412


def _usual(name: str) -> int:
    return {"pull what the client has": 304, "pull if it is another": 412}.get(name, 200)


@pytest.mark.parametrize("state", STATES)
def test_each_cell_is_as_it_is_written_down(registry: Registry, state: str) -> None:
    layer = images.blob()
    for blob in (images.EMPTY_CONFIG, layer):
        push_blob(registry, REPOSITORY, blob)
    content = images.manifest([layer])
    image = push_manifest(registry, REPOSITORY, content, "v1")
    push_manifest(registry, REPOSITORY, images.index([content]), "index")
    other = push_image(registry, REPOSITORY)
    bundle, tagged = sign(registry, other, FORGER), sign_by_tag(registry, other, FORGER)
    STATES[state].set(registry, image)
    client = named_client(registry)
    names = {"image": image.digest, "bundle": bundle.digest, "tagged": tagged.digest, "layer": image.blobs[1]}
    wrong = []
    for caller in CALLERS:
        for place, routes in ((f"{REPOSITORY}/", ROUTES), (f"_lading/{REPOSITORY}/", OWN)):
            for name, route in routes.items():
                body = content if route.body == "{content}" else route.body.encode()
                headers = {key: value.format(**names, zeros="0" * 64) for key, value in (route.headers or {}).items()}
                if route.method == "PUT":
                    headers |= content_type_header(content)
                path = place + route.path.format(**names)
                answer = client.ask(route.method, path, caller, body, **headers)
                status = 200 if answer.status < 300 else answer.status
                found = status, "Warning" in answer.headers
                if status == 200 and name in MOVES:
                    # A tag that names the image already is not moved.
                    registry.tags.delete(REPOSITORY, "prod")
                if found != expected(STATES[state], route, name, caller):
                    wrong.append((caller, name, found, answer.body))
    assert wrong == []


def test_the_table_has_each_route_to_a_manifest() -> None:
    pulled = {("GET", row.spec) for row in DISTRIBUTION.routes if row.action is Action.PULL}
    tried = {
        (route.method, DISTRIBUTION.match(route.method, f"/v2/a/{route.path.partition('?')[0]}").route.spec)
        for route in ROUTES.values()
    }

    assert pulled <= tried
    assert len(CALLERS) * (len(ROUTES) + len(OWN)) * len(STATES) > 800


def test_who_may_only_pull_asks_for_itself_alone(registry: Registry) -> None:
    push_image(registry, REPOSITORY, "v1")
    set_policies(registry, policy(**RULE))
    client: NamedClient = named_client(registry, node=frozenset({Action.PULL}))
    path = f"_lading/{REPOSITORY}/policy?reference=v1"

    assert client.ask("GET", path, "node").json["outcome"] == "denied"
    assert client.ask("GET", f"{path}&principal=node", "node").json["principal"] == "node"
    assert client.ask("GET", f"{path}&principal=signer", "node").status == 403
    assert client.ask("GET", f"{path}&principal=signer", "alice").json["outcome"] == "allowed"

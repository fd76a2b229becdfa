"""Attestations by the gate of pulls: what a real policy and a real signature of an image come to."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pytest

from lading.attester.wake_up import WakeUp
from lading.registry.content.manifest_format import OCI_INDEX, OCI_MANIFEST
from lading.registry.registry import Registry
from lading_storage.protocols import Delete
from lading_storage.records.core import Key, Manifest
from tests.attester.attester_server import AttesterServer, serving_attester
from tests.support import images
from tests.support.binary_authorization import Attestor, add_attestor, occurrences_of
from tests.support.fake_iam_world import FakeIamWorld
from tests.support.indexes import push_index
from tests.support.policies import content_of, policy, set_policies, signed_by
from tests.support.registry_pushes import push_blob, push_image, push_manifest
from tests.support.signatures import OTHER, RELEASE, sign, sign_by_tag


@pytest.fixture
def gated(registry: Registry, world: FakeIamWorld, tmp_path: Path) -> Iterator[AttesterServer]:
    """A registry whose own policies decide."""
    with serving_attester(world, registry, add_attestor(world), tmp_path / "keys") as server:
        yield server


def attested(gated: AttesterServer, digest: str, repository: str = "prod/app") -> int:
    return gated.run("prod/*").handle(WakeUp(repository, (digest,))).attested


@pytest.mark.parametrize("attach", [sign, sign_by_tag])
def test_the_push_of_a_signature_makes_the_attestation(
    registry: Registry, gated: AttesterServer, world: FakeIamWorld, attach: object
) -> None:
    set_policies(registry, policy(**signed_by(RELEASE)))
    image = push_image(registry, "prod/app", "v1")
    assert attested(gated, image.id) == 0
    forged = sign(registry, image, OTHER)
    assert attested(gated, forged.id) == 0

    signature = (sign if attach is sign else sign_by_tag)(registry, image, RELEASE)

    assert attested(gated, signature.id) == 1
    assert Attestor().admits(world, image.id)
    assert len(occurrences_of(world)) == 1


def test_a_signed_index_vouches_for_its_images(registry: Registry, gated: AttesterServer, world: FakeIamWorld) -> None:
    set_policies(registry, policy(**signed_by(RELEASE)))
    index, _, _ = push_index(registry, "prod/app", "v1")
    key = Key(Manifest, index, "prod/app")
    record = registry.metadata.read([key])[key]
    assert record is not None
    assert attested(gated, index) == 0

    signature = sign(registry, record, RELEASE)

    assert attested(gated, signature.id) == 1 + len(record.children)
    assert all(Attestor().admits(world, each) for each in (index, *record.children))


def test_an_exception_is_allowed_and_not_attested(registry: Registry, gated: AttesterServer) -> None:
    until = (datetime.now(UTC) + timedelta(days=30)).date().isoformat()
    exception = {"image": "prod/app", "until": until, "reason": "legacy"}
    set_policies(registry, policy(**signed_by(RELEASE), exceptions=[exception]))
    image = push_image(registry, "prod/app", "v1").id

    report = gated.run("prod/*").handle(WakeUp("prod/app", (image,)))

    assert (report.attested, report.refused) == (0, 1)
    assert "legacy" in report.reasons[f"prod/app@{image}"]


def test_a_policy_that_reports_attests_nothing(registry: Registry, gated: AttesterServer) -> None:
    set_policies(registry, policy(mode="audit", image={"maxAge": "90d"}))
    image = push_image(registry, "prod/app", "v1").id
    assert attested(gated, image) == 0
    set_policies(registry, policy(mode="enforce", image={"maxAge": "90d"}))
    assert attested(gated, image) == 1


def test_a_sweep_finds_what_a_changed_policy_allows(registry: Registry, gated: AttesterServer) -> None:
    set_policies(registry, policy(**signed_by(RELEASE)))
    push_image(registry, "prod/app", "v1")
    assert gated.run("prod/*").sweep().attested == 0
    set_policies(registry, policy(image={"maxAge": "90d"}))
    assert gated.run("prod/*").sweep().attested == 1


def test_an_image_that_is_deleted_meanwhile_does_not_pass(registry: Registry, gated: AttesterServer) -> None:
    """The manifest is listed for the decision, and gone when it is judged."""
    set_policies(registry, policy(image={"maxAge": "90d"}))
    image = push_image(registry, "prod/app", "v1").id
    judge = registry.judge

    def delete_first(repository: str, digest: str) -> object:
        key = Key(Manifest, digest, repository)
        record = registry.metadata.read([key])[key]
        if record is not None:
            registry.metadata.commit([Delete(record)])
        return judge(repository, digest)

    registry.judge = delete_first  # type: ignore[assignment]
    report = gated.run("prod/*").handle(WakeUp("prod/app", (image,)))
    assert (report.attested, report.reasons) == (0, {f"prod/app@{image}": "it is not in the repository"})


DISGUISED: Final[dict[str, Callable[[dict[str, Any]], dict[str, Any]]]] = {
    "a config of another type": lambda image: image | {"config": image["config"] | {"mediaType": "application/vnd.x"}},
    "layers that are called JSON": lambda image: (
        image | {"layers": [each | {"mediaType": "application/x+json"} for each in image["layers"]]}
    ),
    "an index with a config": lambda image: {
        "schemaVersion": 2,
        "mediaType": OCI_INDEX,
        "manifests": [],
        "config": image["config"],
    },
}
"""Manifests, made of that of an image, which do not say that they are images."""


def index_beside(registry: Registry, signed: Manifest, entry: dict[str, Any]) -> str:
    """Push an index of a signed image, and of something else; return its digest."""
    fields = json.loads(images.index([content_of(registry, signed)]))
    fields["manifests"].append(entry)
    return push_manifest(registry, "prod/app", json.dumps(fields).encode()).id


@pytest.mark.parametrize("made_of", DISGUISED)
def test_an_index_is_attested_only_if_all_that_a_runtime_may_run_passes(
    registry: Registry, gated: AttesterServer, made_of: str
) -> None:
    """Binary Authorization compares its digest alone, so that it admits what is in it from any other registry."""
    set_policies(registry, policy(**signed_by(RELEASE)))
    signed, image = push_image(registry, "prod/app"), push_image(registry, "prod/app")
    sign(registry, signed)
    assert attested(gated, signed.id) == 1
    content = json.dumps(DISGUISED[made_of](json.loads(content_of(registry, image)))).encode()
    other = push_manifest(registry, "prod/app", content)
    index = index_beside(registry, signed, images.descriptor(content, OCI_MANIFEST))

    assert attested(gated, index) == 0

    sign(registry, other)
    assert attested(gated, index) >= 1


@pytest.mark.parametrize("fields", [{"mediaType": "application/vnd.x"}, {"size": None}])
def test_an_index_with_an_entry_that_is_read_in_several_ways_is_not_attested(
    registry: Registry, gated: AttesterServer, fields: dict[str, Any]
) -> None:
    """Some runtimes choose by the platform alone, and neither read the type of an entry nor its size."""
    set_policies(registry, policy(**signed_by(RELEASE)))
    signed, image = push_image(registry, "prod/app"), push_image(registry, "prod/app")
    sign(registry, signed)
    assert attested(gated, signed.id) == 1
    content = content_of(registry, image)
    push_blob(registry, "prod/app", content)
    entry = images.descriptor(content, OCI_MANIFEST) | fields
    index = index_beside(registry, signed, {name: each for name, each in entry.items() if each is not None})

    assert attested(gated, index) == 0


def test_attestations_of_buildkit_in_an_index_need_no_signature(registry: Registry, gated: AttesterServer) -> None:
    set_policies(registry, policy(**signed_by(RELEASE)))
    signed = push_image(registry, "prod/app")
    sign(registry, signed)
    assert attested(gated, signed.id) == 1
    statement = json.dumps({"_type": "https://in-toto.io/Statement/v0.1", "predicate": {}}).encode()
    for each in (statement, b"{}"):
        push_blob(registry, "prod/app", each)
    content = images.signature(statement, "application/vnd.in-toto+json", config=b"{}")
    push_manifest(registry, "prod/app", content)
    index = index_beside(registry, signed, images.descriptor(content, OCI_MANIFEST))

    assert attested(gated, index) == 1


def test_an_index_that_is_deleted_meanwhile_does_not_pass(registry: Registry, gated: AttesterServer) -> None:
    """Its images are judged, and it is gone when it is asked whether it is gated itself."""
    set_policies(registry, policy(image={"maxAge": "90d"}))
    image = push_image(registry, "prod/app")
    index = push_manifest(registry, "prod/app", images.index([content_of(registry, image)]))
    judge = registry.judge

    def delete_then(repository: str, digest: str) -> object:
        key = Key(Manifest, digest, repository)
        if digest == index.id and (record := registry.metadata.read([key])[key]):
            registry.metadata.commit([Delete(record)])
        return judge(repository, digest)

    registry.judge = delete_then  # type: ignore[assignment]
    report = gated.run("prod/*").handle(WakeUp("prod/app", (index.id,)))
    reason = f"{index.id}: it is not in the repository"
    assert (report.attested, report.reasons) == (1, {f"prod/app@{index.id}": reason})
